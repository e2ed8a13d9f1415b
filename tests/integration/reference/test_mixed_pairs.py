"""Our daemon and the reference's own program in one network: they meet, call each other and recover, in both id orders.

Needs the reference's daemon, whose path `MYOWNMESH_REFERENCE` names; without it nothing here runs, and it says so.
Everything goes through the two control sockets, so the same code drives both programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import request_line
from myownmesh.store.identity_file import load_or_create_identity
from myownmesh.store.paths import Home
from support.reference import REFERENCE, needs_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS = str(Path(sys.executable).with_name("myownmesh"))
PATIENCE_S = 40.0
NETWORK = "mixed"

pytestmark = [
    pytest.mark.slow,
    needs_reference,
]


class Wire(Connection):
    """One blocking control connection."""

    def ask(self, op: str, **members: object) -> Any:
        return self.request(op, **members)

    def frame(self, kind: str) -> Any:
        while (frame := json.loads(self.receive()))["kind"] != kind:
            pass
        return frame


@define
class Device:
    """One daemon, ours or the reference's, in a home of its own."""

    program: str
    home: Path
    process: subprocess.Popen[bytes] | None = None
    device_id: str = ""
    _wires: list[Wire] = field(factory=list)

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        with (self.home / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve"],
                env={**os.environ, "MYOWNMESH_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._answers, f"{self.program} to answer on its socket")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "log.txt").read_text()
        try:
            self.device_id = self.wire().ask("identity_show")["pubkey"]
        except ControlError:
            return False
        return True

    def wire(self) -> Wire:
        self._wires.append(Wire(self.home / "daemon.sock", PATIENCE_S))
        return self._wires[-1]

    def ask(self, op: str, **members: object) -> Any:
        with Wire(self.home / "daemon.sock", PATIENCE_S) as wire:
            return wire.ask(op, **members)

    def join(self, *relays: str) -> None:
        record = {
            "id": NETWORK,
            "network_id": NETWORK,
            "signaling": {"servers": relays, "mdns": False, "public_fallback": False},
            "stun_servers": [],
            "turn_servers": [],
            "auto_approve": True,
        }
        self.ask("network_add", config=record)

    def sees(self, other: Device) -> str | None:
        peers = self.ask("peers_list", network=NETWORK)["peers"]
        return next((peer["status"] for peer in peers if peer["device_id"] == other.device_id), None)

    def why(self, other: Device) -> str | None:
        [peer] = [
            peer for peer in self.ask("peers_list", network=NETWORK)["peers"] if peer["device_id"] == other.device_id
        ]
        code: str | None = peer["why"] and peer["why"]["code"]
        return code

    def end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)

    def close(self) -> None:
        for wire in self._wires:
            wire.close()
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def meet(one: Device, other: Device) -> None:
    until(lambda: one.sees(other) == other.sees(one) == "active", "both active")


@contextlib.contextmanager
def room() -> Iterator[tuple[Path, str]]:
    """A folder with a short path, and a relay that a third daemon of ours hosts."""
    base = Path(tempfile.mkdtemp(prefix="mm-"))
    host = Device(OURS, base / "relay")
    try:
        host.start()
        services = {"signaling": {"enabled": True, "bind": "127.0.0.1", "port": 0}}
        listening = host.ask("services_set", services=services)["status"]["signaling"]["listen"]
        yield base, f"ws://{listening}"
    finally:
        host.close()
        shutil.rmtree(base)


def give_identity(ours: Device, theirs: Device, *, lower: bool) -> None:
    """An id below that of theirs, which runs, or above it: ids are drawn until one is."""
    while True:
        identity = load_or_create_identity(Home(ours.home))
        if (identity.device_id < theirs.device_id) == lower:
            return
        shutil.rmtree(ours.home)


@pytest.fixture(params=["we are lower", "we are higher"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Device, Device]]:
    """Ours and the reference's, which have met; the order of their ids is the parameter."""
    with room() as (base, relay):
        theirs = Device(REFERENCE, base / "t")
        ours = Device(OURS, base / "o")
        try:
            theirs.start()
            give_identity(ours, theirs, lower=request.param == "we are lower")
            ours.start()
            theirs.join(relay)
            ours.join(relay)
            meet(ours, theirs)
            yield ours, theirs
        finally:
            ours.close()
            theirs.close()


def call(caller: Device, callee: Device, payload: object) -> object:
    """One call that the callee's client answers with what it was sent."""
    events = callee.wire()
    client = events.ask("events_subscribe")["client_id"]
    callee.ask("rpc_register", client_id=client, network=NETWORK, method="echo", streaming=False)
    wire = caller.wire()
    members = {"network": NETWORK, "peer": callee.device_id, "method": "echo", "payload": payload}
    wire.send(request_line("rpc_call", members))
    inbound = events.frame("rpc_inbound")
    assert inbound["from"] == caller.device_id
    callee.ask("rpc_respond", request_id=inbound["request_id"], ok=inbound["payload"])
    answer = json.loads(wire.receive())
    assert answer["ok"], answer
    return answer["data"]["response"]


def both_ways(pair: tuple[Device, Device]) -> list[tuple[Device, Device]]:
    return [pair, pair[::-1]]


def test_they_call_each_other(pair: tuple[Device, Device]) -> None:
    for caller, callee in both_ways(pair):
        for payload in ({"text": "žluťoučký 🐎", "n": 2**63}, None, "x" * 40_000):
            assert call(caller, callee, payload) == payload


def test_streams_and_channels_pass_both_ways(pair: tuple[Device, Device]) -> None:
    for caller, callee in both_ways(pair):
        server, reader = callee.wire(), caller.wire()
        served_by = server.ask("events_subscribe")["client_id"]
        read_by = reader.ask("events_subscribe")["client_id"]
        callee.ask("rpc_register", client_id=served_by, network=NETWORK, method="count", streaming=True)
        target = {"network": NETWORK, "peer": callee.device_id}
        caller.ask("rpc_call_stream", client_id=read_by, method="count", payload=3, **target)
        request = server.frame("rpc_inbound")["request_id"]
        for n in range(3):
            callee.ask("rpc_stream_chunk", request_id=request, payload=n)
        callee.ask("rpc_stream_end", request_id=request)
        assert [reader.frame("rpc_call_stream_chunk")["payload"] for _ in range(3)] == [0, 1, 2]
        assert reader.frame("rpc_call_stream_end").get("error") is None

        callee.ask("channel_subscribe", client_id=served_by, network=NETWORK, channel="notice")
        caller.ask("channel_send_to", channel="notice", payload={"hi": 1}, **target)
        heard = server.frame("channel_inbound")
        assert (heard["from"], heard["payload"]) == (caller.device_id, {"hi": 1})


@pytest.mark.parametrize("who", ["ours", "theirs"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_they_meet_again_after_a_restart(pair: tuple[Device, Device], who: str, how: signal.Signals) -> None:
    ours, theirs = pair
    fallen, other = (ours, theirs) if who == "ours" else (theirs, ours)
    fallen.end(how)
    fallen.start()
    meet(fallen, other)
    assert call(other, fallen, "back") == "back"
    assert call(fallen, other, "again") == "again"


def test_a_reconnect_from_either_side_leads_back(pair: tuple[Device, Device]) -> None:
    for one, other in both_ways(pair):
        one.ask("network_reconnect", network=NETWORK)
        time.sleep(1.0)  # the reference answers before it has begun
        meet(one, other)
        assert call(other, one, 1) == 1


CONFIRM_S = 12.5
"""v0.3.8 drops a link 10 to 12 s after a restart behind which it heard no frame (spec 04 §7.8)."""


def events_of(device: Device) -> Wire:
    """An event connection that gives up when nothing comes for a second."""
    log = Wire(device.home / "daemon.sock", 1.0)
    log.subscribe()
    return log


def drops(log: Wire) -> int:
    """How many it has heard of by now."""
    heard = 0
    with contextlib.suppress(ControlError):
        while True:
            heard += log.frame("event")["event"].get("kind") == "dropped"
    log.close()
    return heard


def test_restarts_from_either_side_keep_the_link(pair: tuple[Device, Device]) -> None:
    logs = [events_of(device) for device in pair]
    for one, other in both_ways(pair):
        one.ask("network_reconnect", network=NETWORK)
        time.sleep(CONFIRM_S)
        assert call(one, other, 1) == 1
        assert call(other, one, 2) == 2
    assert [drops(log) for log in logs] == [0, 0]


def test_a_program_of_v0_3_8_that_stands_still_keeps_its_link(pair: tuple[Device, Device]) -> None:
    ours, theirs = pair
    log = events_of(ours)
    assert theirs.process is not None
    theirs.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: ours.why(theirs) == "path_down", "a reason")
        time.sleep(8.0)
    finally:
        theirs.process.send_signal(signal.SIGCONT)
    until(lambda: ours.why(theirs) is None, "the link to be well")
    assert call(ours, theirs, 1) == 1
    assert drops(log) == 0


def test_each_joins_on_the_others_relay() -> None:
    """The reference hosts, then we do; whoever does not host joins there."""
    for program in (REFERENCE, OURS):
        base = Path(tempfile.mkdtemp(prefix="mm-"))
        host, guest = Device(program, base / "h"), Device(OURS if program == REFERENCE else REFERENCE, base / "g")
        try:
            host.start()
            guest.start()
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            host.ask("services_set", services={"signaling": {"enabled": True, "bind": "127.0.0.1", "port": port}})
            for device in (host, guest):
                device.join(f"ws://127.0.0.1:{port}")
            meet(host, guest)
            assert call(guest, host, "hello") == "hello"
        finally:
            host.close()
            guest.close()
            shutil.rmtree(base)
