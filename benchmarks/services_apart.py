"""How soon two devices meet that reach only a host with relay and TURN: the rows of `bench_services.py --apart`.

Three machines (network namespaces; root, Linux), no route between the outer two. Over UDP, and over TCP in a
network that names no other way to the TURN server.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.devices import Device  # noqa: E402
from support.lan import OURS, until_active, with_wire  # noqa: E402
from support.namespaces import machines_around  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC: Final = "203.0.113.1"
SETTLES_S: Final = 1.5
WAYS: Final = (("UDP", "", 0.6), ("TCP", "?transport=tcp", 1.0))


def apart_rows(times: int) -> Iterator[str]:
    with ExitStack() as opened:
        machines = opened.enter_context(machines_around(PUBLIC))
        base = Path(tempfile.mkdtemp(prefix="apart"))
        opened.callback(shutil.rmtree, base, ignore_errors=True)
        devices = []
        for number, machine in enumerate(machines):
            home = base / str(number)
            home.mkdir()
            device = Device(home, OURS, enter=machine.enter)
            opened.callback(device.close)
            device.start()
            devices.append(device)
        host, one, other = devices
        serving = {"enabled": True, "bind": PUBLIC, "public_ip": PUBLIC, "port": 3478, "tcp_enabled": True}
        relay = {"enabled": True, "bind": PUBLIC, "port": 4848}
        with_wire(host, "services_set", services={"signaling": relay, "turn": serving})
        for name, query, most in WAYS:
            taken = sorted(_joins(one, other, name, query, times))
            p95 = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
            what = f"TURN only, {name}, second join to active"
            yield f"{what:44} p50 {statistics.median(taken):6.2f} p95 {p95:6.2f} s ({most})"


def _joins(one: Device, other: Device, way: str, query: str, times: int) -> list[float]:
    seconds = []
    for number in range(times + 1):  # the first time loads what is loaded late
        record = _record(f"{way}-{number}".lower(), query)
        with_wire(one, "network_add", config=record)
        time.sleep(SETTLES_S)
        began = time.monotonic()
        with_wire(other, "network_add", config=record)
        until_active(one, other, record["id"])
        seconds.append(time.monotonic() - began)
        for device in (one, other):
            with_wire(device, "network_remove", network=record["id"])
    return seconds[1:]


def _record(name: str, query: str) -> dict[str, Any]:
    turn = {"urls": [f"turn:{PUBLIC}:3478{query}"], "username": "guest", "credential": "theguestpassword"}
    return {
        "id": name,
        "network_id": name,
        "signaling": {"servers": [f"ws://{PUBLIC}:4848"], "mdns": False, "public_fallback": False},
        "stun_servers": [],
        "turn_servers": [turn],
        "auto_approve": True,
    }
