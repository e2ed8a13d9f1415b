"""The machine's service under a real systemd: installed, hung, crashed, reset, removed (spec 07 §7, 05 W26)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from support.systemd_box import PROGRAM, REPOSITORY, needs_systemd, status, systemd_box, the_next, until
from support.tls import self_signed
from support.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

    from support.systemd_box import Box

UNIT = "/etc/systemd/system/myownmesh.service"
HASTE = "[Service]\nWatchdogSec=8\nRestartSec=100ms\n"
"""What a machine's owner may put beside the unit; here, so that nobody waits half a minute."""


PAGE = REPOSITORY / "docs" / "service.md"


def service(box: Box, *words: str) -> str:
    return box.said(PROGRAM, "service", "--system", *words)


def documented(section: str) -> list[str]:
    """The commands of a section of the page, as root types them."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ sudo (.+)$", text, re.MULTILINE)
    assert commands, section
    return commands


@pytest.mark.slow
@needs_systemd
@pytest.mark.timeout(300)
def test_a_service_comes_back_whatever_ends_it_and_leaves_nothing_when_it_is_removed(tmp_path: Path) -> None:
    with systemd_box(tmp_path) as box:
        assert "not installed" in service(box, "status")
        assert box.run(PROGRAM, "service", "--system", "start").returncode == 1

        first_words, *others = documented("A home box")
        shown = box.said(*first_words.split())
        assert shown.splitlines() == [
            "MyOwnMesh (system service)",
            f"  unit:    {UNIT}",
            "  state:   /var/lib/myownmesh",
            "  enabled: enabled",
            "  active:  active",
            "  logs:    journalctl -u myownmesh",
        ]
        first = status(box)
        assert first is not None
        assert first["home"] == "/var/lib/myownmesh"
        assert box.shows("myownmesh", "Type") == ["notify"]
        until(lambda: "in 0 networks" in box.shows("myownmesh", "StatusText")[0], "its line for people")
        assert box.said("stat", "-c", "%a", "/var/lib/private/myownmesh").strip() == "700"
        assert box.said("stat", "-c", "%u", f"/proc/{first['pid']}").strip() != "0"

        for words in others:
            box.said(*words.split())
        assert "nothing was changed" in service(box, "install")
        assert status(box) == {**first, "joined_networks": ["office-mesh"]}
        assert json.loads(box.said(PROGRAM, "ctl", "services", "status"))["status"]["signaling"]["running"]

        box.said("mkdir", f"{UNIT}.d")
        box.said("sh", "-c", f"printf '{HASTE}' > {UNIT}.d/haste.conf; systemctl daemon-reload")
        service(box, "restart")
        before = the_next(box, first)

        box.said("kill", "-STOP", str(before["pid"]))  # the loop hangs
        after = the_next(box, before)
        assert box.shows("myownmesh", "NRestarts") == ["1"]
        assert after["device_id"] == first["device_id"]

        box.said("kill", "-KILL", str(after["pid"]))
        crashed = the_next(box, after)
        assert box.shows("myownmesh", "NRestarts") == ["2"]

        reset, uninstall = documented("Starting from nothing")
        box.said(*reset.split(), "--yes")
        another = the_next(box, crashed)
        assert another["device_id"] != first["device_id"]
        assert another["joined_networks"] == []
        # In the same process: systemd has seen no end, and still watches the one that it started.
        assert another["pid"] == crashed["pid"]
        assert box.shows("myownmesh", "NRestarts", "ActiveState", "MainPID") == ["2", "active", str(crashed["pid"])]

        assert "  active:  inactive" in service(box, "stop")
        assert status(box) is None
        assert "  active:  active" in service(box, "start")

        assert "are kept in /var/lib/myownmesh" in box.said(*uninstall.split())
        assert status(box) is None
        assert box.shows("myownmesh", "LoadState") == ["not-found"]
        box.said("rm", "-r", f"{UNIT}.d")  # the owner's own
        assert box.said("find", "/etc/systemd/system", "/usr/local/lib", "-name", "*myownmesh*") == ""
        assert "nothing was changed" in service(box, "uninstall")


@pytest.mark.slow
@needs_systemd
@needs("dbus-daemon", "dbus", "a person's service was not tried")
@pytest.mark.timeout(300)
def test_a_person_who_is_not_logged_in_has_a_service_and_no_trace_of_it_afterwards(tmp_path: Path) -> None:
    with systemd_box(tmp_path) as box:
        shown = box.said(PROGRAM, "service", "install")
        assert shown.startswith("MyOwnMesh (user service)\n")
        assert "  enabled: enabled\n  active:  active\n" in shown
        assert "nothing was changed" in box.said(PROGRAM, "service", "install")
        now = status(box)
        assert now is not None
        assert now["home"] == "/root/.myownmesh"
        assert box.said("ls", "/var/lib/systemd/linger").split() == ["root"]
        assert "  active:  inactive" in box.said(PROGRAM, "service", "stop")
        assert status(box) is None
        box.said(PROGRAM, "service", "uninstall")
        assert box.said("ls", "/var/lib/systemd/linger") == ""
        assert box.said("find", "/root/.config/systemd", "-name", "*myownmesh*") == ""


@pytest.mark.slow
@needs_systemd
@pytest.mark.timeout(300)
def test_the_machines_service_reads_a_certificate_by_the_group_that_the_page_names(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path).read_text()
    (box_folder := tmp_path / "box").mkdir()
    drop_in = re.findall(r"^```ini\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(drop_in) == 1
    group = drop_in[0].strip().rpartition("=")[2]
    turn = {"enabled": True, "bind": "127.0.0.1", "port": 0, "public_ip": "127.0.0.1"}
    tls = {"cert_file": "/etc/mesh.pem", "key_file": "/etc/mesh.pem", "port": 0}

    with systemd_box(box_folder) as box:

        def server() -> dict[str, Any]:
            told: dict[str, Any] = json.loads(box.said(PROGRAM, "ctl", "services", "status"))["status"]["turn"]
            return told

        box.said("sh", "-c", f"getent group {group} || groupadd --system {group}")
        box.said("sh", "-c", f"umask 077; printf '%s' '{certificate}' > /etc/mesh.pem")
        service(box, "install")
        box.said(PROGRAM, "ctl", "services", "set", json.dumps({"turn": {**turn, "tls": tls}}))
        assert not server()["running"]
        assert "Permission denied" in server()["error"]

        box.said("sh", "-c", f"chgrp {group} /etc/mesh.pem; chmod 640 /etc/mesh.pem")
        box.said("mkdir", f"{UNIT}.d")
        box.said("sh", "-c", f"printf '%s' '{drop_in[0]}' > {UNIT}.d/tls.conf; systemctl daemon-reload")
        service(box, "restart")
        until(lambda: status(box) and server()["running"], "TURN speaks TLS")
        assert server()["problem"] is None
