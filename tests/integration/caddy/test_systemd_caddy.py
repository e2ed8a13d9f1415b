"""The system's own Caddy under a real systemd, set up by root for another user's device (spec 06 §10)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from integration.caddy.test_real_caddy import outcomes
from support.systemd_box import PROGRAM, needs_systemd, systemd_box
from support.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

    from support.systemd_box import Box

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    needs_systemd,
    needs("caddy", "caddy", "nothing is tried on a real Caddy"),
    needs("setpriv", "util-linux", "nobody but root tries it"),
]

FILE: Final = "/etc/caddy/Caddyfile"
HOME: Final = "/srv/ann"
ANN: Final = "4711"
OWN: Final = """\
{
	skip_install_trust
	local_certs
}

other.localhost {
	respond "the operator's"
}
"""


def caddy(box: Box, *words: str) -> dict[str, Any]:
    """A command of root's for Ann's device, and what it says as JSON."""
    ran = box.run("env", f"MYOWNMESH_HOME={HOME}", PROGRAM, *words, "--json")
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def install(box: Box, domain: str) -> dict[str, Any]:
    return caddy(box, "install", "caddy", domain, "--relay-only")


def test_root_puts_the_systems_caddy_before_another_users_relay(tmp_path: Path) -> None:
    with systemd_box(tmp_path) as box:
        box.said("sh", "-c", f"printf '%s' \"$1\" > {FILE}", "sh", OWN)
        box.said("install", "-d", "-m", "700", "-o", ANN, "-g", ANN, HOME)

        as_ann = ("setpriv", f"--reuid={ANN}", f"--regid={ANN}", "--clear-groups", "env", f"MYOWNMESH_HOME={HOME}")
        refused = box.run(*as_ann, PROGRAM, "install", "caddy", "localhost", "--relay-only")
        assert refused.returncode == 1
        assert f"only root may change {FILE}; run this instead: sudo MYOWNMESH_HOME={HOME} " in refused.stderr
        assert box.said("cat", FILE) == OWN

        told = install(box, "localhost")
        done = outcomes(told)
        assert [done[step] for step in ("caddy", "caddyfile", "apply", "services")] == [
            "unchanged", "done", "done", "done",
        ]  # fmt: skip
        assert details(told)["apply"] == "Caddy started"
        assert box.shows("caddy", "ActiveState", "UnitFileState") == ["active", "enabled"]
        # The daemon is Ann's, and so is what root has written for it.
        assert box.said("stat", "-c", "%u %a", f"{HOME}/config.json").split() == [ANN, "600"]
        shown = box.said(*as_ann, PROGRAM, "config", "show")
        assert json.loads(shown)["services"]["signaling"]["public_url"] == "wss://localhost"

        assert set(outcomes(install(box, "localhost")).values()) == {"unchanged", "advice"}
        (pid,) = box.shows("caddy", "MainPID")
        assert details(install(box, "second.localhost"))["apply"] == "Caddy reloaded"
        assert box.shows("caddy", "MainPID", "ActiveState") == [pid, "active"]

        # A reload that hangs, as a connection through layer 4 makes it do, is ended, and a restart follows.
        box.said("mkdir", "-p", "/etc/systemd/system/caddy.service.d")
        hangs = "[Service]\\nExecReload=\\nExecReload=/bin/sleep 300\\n"
        box.said("sh", "-c", f"printf '{hangs}' > /etc/systemd/system/caddy.service.d/hangs.conf")
        box.said("systemctl", "daemon-reload")
        assert details(install(box, "third.localhost"))["apply"] == "Caddy restarted"
        assert box.shows("caddy", "ActiveState") == ["active"]
        assert box.shows("caddy", "MainPID") != [pid]

        status = caddy(box, "caddy", "status")
        assert (status["running"], status["unfinished"]) == (True, False)
        assert status["sites"] == ["localhost", "second.localhost", "third.localhost"]
        box.said("rm", "-r", "/etc/systemd/system/caddy.service.d")
        box.said("systemctl", "daemon-reload")
        for site in status["sites"]:
            caddy(box, "caddy", "remove", site)
        assert box.said("cat", FILE) == OWN
        assert box.shows("caddy", "ActiveState") == ["active"]


def test_of_a_daemon_that_is_the_machines_service_root_need_not_name_the_home(tmp_path: Path) -> None:
    with systemd_box(tmp_path) as box:
        box.said("sh", "-c", f"printf '%s' \"$1\" > {FILE}", "sh", OWN)
        box.said(PROGRAM, "service", "--system", "install")
        told = json.loads(box.said(PROGRAM, "install", "caddy", "localhost", "--relay-only", "--json"))
        assert details(told)["services"] == "the running daemon hosts the relay"
        served = json.loads(box.said(PROGRAM, "ctl", "services", "status"))["status"]["signaling"]
        assert (served["running"], served["listen"]) == (True, "127.0.0.1:4848")
        kept = json.loads(box.said("cat", "/var/lib/myownmesh/config.json"))
        assert kept["services"]["signaling"]["public_url"] == "wss://localhost"
        assert box.run("test", "-e", "/root/.myownmesh").returncode == 1
        (owner,) = box.said("stat", "-c", "%u", "/var/lib/private/myownmesh/config.json").split()
        assert owner != "0"


def details(told: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["detail"] for step in told["steps"]}
