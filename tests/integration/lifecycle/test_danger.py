"""Networks or everything are forgotten, and the same process comes back as a new daemon (spec 05 §15, W25 to W27)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.lifecycle.process import PATIENCE_S, DaemonProcess
from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import request_line
from support.devices import NETWORK, two_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCAL: dict[str, Any] = {"signaling": {"strategy": "none"}, "stun_servers": [], "turn_servers": []}
CONFIG = {"networks": [{"id": name, "network_id": f"{name}-net", **LOCAL} for name in ("m3", "a2", "n1")]}


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        place = Path(directory) / "home"
        place.mkdir(mode=0o700)
        (place / "config.json").write_text(json.dumps(CONFIG))
        yield place


def the_next(status: Callable[[], dict[str, Any]], before: dict[str, Any]) -> dict[str, Any]:
    """What the daemon says that comes behind the one that said `before`."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(ControlError, ValueError):
            if (now := status())["instance"] != before["instance"]:
                return now
        assert time.monotonic() < deadline, "the daemon did not come back"
        time.sleep(0.02)


def test_all_networks_are_forgotten_and_the_daemon_is_back_under_its_number_and_its_lifeline(home: Path) -> None:
    with DaemonProcess(home, lifeline=True) as daemon:
        daemon.ready()
        before = daemon.ask("status")["data"]
        answer = daemon.ask("forget_all_networks")
        assert answer == {"ok": True, "data": {"forgotten": ["a2", "m3", "n1"], "restarting": True}}
        now = the_next(lambda: daemon.ask("status")["data"], before)
        assert {**before, "instance": "", "joined_networks": []} == {**now, "instance": ""}
        assert json.loads((home / "config.json").read_text())["networks"] == []
        assert not (home / "erasure.json").exists()
        assert daemon.lifeline is not None
        os.close(daemon.lifeline)
        daemon.lifeline = None
        assert daemon.wait() == 0


def test_a_stop_right_behind_the_answer_is_a_stop(home: Path) -> None:
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert daemon.ask("factory_reset") == {"ok": True, "data": {"reset": True, "restarting": True}}
        assert daemon.stop()[0] in (0, -signal.SIGTERM)  # the latter where the next one has just begun
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert daemon.ask("networks_list")["data"]["networks"] == []


def test_a_peer_hears_the_farewell_of_a_device_that_comes_back_as_another_one() -> None:
    with two_devices() as pair:
        heard, _ = pair.a.subscribe()
        before = pair.b.wire().data("status")
        (pair.b.home / "app").mkdir()
        assert pair.b.wire().ask("factory_reset") == {"ok": True, "data": {"reset": True, "restarting": True}}
        dropped = heard.event("dropped")
        assert (dropped["device_id"], dropped["reason"]) == (pair.b.key, {"kind": "user_left"})
        now = the_next(lambda: pair.b.wire().data("status"), before)
        assert now["pid"] == before["pid"]
        assert now["device_id"] != before["device_id"]
        assert now["joined_networks"] == []
        assert not (pair.b.home / "app").exists()
        assert not list((pair.b.home / "mesh").rglob("*.json"))
        pair.b.wire().data("network_add", config=pair.record())  # and it meets the other one as a stranger would
        pair.wait_active()
        rows = pair.a.wire().data("peers_list", network=NETWORK)["peers"]
        assert {row["device_id"]: row["status"] for row in rows}[now["device_id"].partition("-")[0]] == "active"


def test_a_daemon_that_is_killed_in_its_farewell_has_forgotten_everything_after_the_next_start(home: Path) -> None:
    with DaemonProcess(home) as daemon:
        daemon.ready()
        before = daemon.ask("status")["data"]
        with Connection(daemon.socket_path, PATIENCE_S) as connection:
            connection.send(request_line("factory_reset", {}))
            deadline = time.monotonic() + PATIENCE_S
            while not (home / "erasure.json").exists():
                assert time.monotonic() < deadline, "nothing was written down"
                time.sleep(0.002)
            daemon.stop(signal.SIGKILL)
    with DaemonProcess(home) as daemon:
        daemon.ready()
        now = daemon.ask("status")["data"]
        assert now["device_id"] != before["device_id"]
        assert now["joined_networks"] == []
        assert not (home / "erasure.json").exists()
        assert not (home / "config.json").exists()
