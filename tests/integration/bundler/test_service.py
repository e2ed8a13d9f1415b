"""The packed single file as the machine's service under a real systemd: installed, hung, crashed, updated, removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.bundler.test_release_builder import release
from integration.bundler.test_updates import NEW, OLD, feed, first_file, published_file
from support.systemd_box import needs_systemd, status, systemd_box, the_next, until

if TYPE_CHECKING:
    from integration.bundler.test_updates import Feed
    from support.systemd_box import Box

__all__ = ["feed", "release"]

pytestmark = [pytest.mark.slow, needs_systemd, pytest.mark.timeout(600)]

PATIENCE_S = 90.0
"""For a first start, which unpacks, on a machine that does much else."""
BROUGHT = "/root/myownmesh"
"""Where root puts what was downloaded; no user of a service can run that."""
COPY = "/usr/local/lib/myownmesh/myownmesh"


def test_the_single_file_is_installed_comes_back_is_replaced_and_leaves_nothing(
    release: Path, feed: Feed, tmp_path: Path
) -> None:
    with systemd_box(tmp_path) as box:
        bring(box, first_file(release))
        shown = box.said(BROUGHT, "service", "--system", "install")
        assert "  active:  active" in shown
        first = until(lambda: status(box, BROUGHT), "it answers", PATIENCE_S)
        assert (first["version"], first["home"]) == (OLD, "/var/lib/myownmesh")
        assert box.said("stat", "-c", "%u", f"/proc/{first['pid']}").strip() != "0"
        assert "nothing was changed" in box.said(BROUGHT, "service", "--system", "install")

        turn = {"enabled": True, "bind": "127.0.0.1", "public_ip": "127.0.0.1"}
        hosted = {"signaling": {"enabled": True, "port": 443}, "turn": turn}
        box.said(BROUGHT, "ctl", "services", "set", json.dumps(hosted))
        assert serves(box) == {"signaling": "0.0.0.0:443", "turn": "127.0.0.1:3478"}

        box.said("mkdir", "/etc/systemd/system/myownmesh.service.d")
        haste = "[Service]\\nWatchdogSec=8\\nRestartSec=100ms\\n"
        box.said("sh", "-c", f"printf '{haste}' > /etc/systemd/system/myownmesh.service.d/haste.conf")
        box.said("systemctl", "daemon-reload")
        box.said(BROUGHT, "service", "--system", "restart")
        before = the_next(box, first, BROUGHT, patience_s=PATIENCE_S)
        for signal in ("-STOP", "-KILL"):  # it hangs; it crashes
            box.said("kill", signal, str(before["pid"]))
            before = the_next(box, before, BROUGHT, patience_s=PATIENCE_S)
            assert before["device_id"] == first["device_id"]
        assert box.shows("myownmesh", "NRestarts") == ["2"]

        bring(box, published_file(feed, NEW))
        assert "  active:  active" in box.said(BROUGHT, "service", "--system", "install")
        updated = the_next(box, before, BROUGHT, patience_s=PATIENCE_S)
        assert (updated["version"], updated["device_id"]) == (NEW, first["device_id"])
        until(lambda: all(serves(box).values()), "what it hosts is there again", PATIENCE_S)

        box.said(BROUGHT, "service", "--system", "uninstall")
        assert status(box, BROUGHT) is None
        assert box.run("test", "-e", COPY).returncode == 1
        assert box.run("test", "-e", str(Path(COPY).parent)).returncode == 1


def serves(box: Box) -> dict[str, str | None]:
    """Where its relay and TURN listen; None for what does not run."""
    told = json.loads(box.said(BROUGHT, "ctl", "services", "status"))["status"]
    return {name: told[name]["listen"] for name in ("signaling", "turn")}


def bring(box: Box, program: bytes) -> None:
    """Root has downloaded it, over what was there."""
    inside = Path(f"/proc/{box.pid}/root{BROUGHT}")
    inside.unlink(missing_ok=True)
    inside.write_bytes(program)
    inside.chmod(0o755)
