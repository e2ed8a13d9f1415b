"""Daemons as separate devices on one machine, ours or the reference's, driven by a blocking client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import request_line
from support.daemons import MYOWNMESH, network_record
from support.ports import free_port
from support.warm import Forked

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0
"""Every wait for something that has to happen; generous, for these machines are shared."""
NETWORK = "office-mesh"
RECORD_ID = "net_1"


class Wire(Connection):
    """A control connection that shows a test what stands on it."""

    def post(self, op: str, **members: object) -> None:
        """Send a request; its answer is received later."""
        self.send(request_line(op, members))

    def answer(self) -> Any:
        """The next line, decoded. Raises `ControlError` CLOSED at the end of the stream."""
        return json.loads(self.receive())

    def ask(self, op: str, **members: object) -> Any:
        """The whole answer to a request, whether it is a success or not."""
        self.post(op, **members)
        return self.answer()

    def data(self, op: str, **members: object) -> Any:
        """The data of an answer that must be a success."""
        answer = self.ask(op, **members)
        assert answer["ok"] is True, answer
        return answer["data"]

    def frame(self, kind: str) -> Any:
        """The next frame of this kind; others are skipped."""
        while (frame := self.answer())["kind"] != kind:
            pass
        return frame

    def event(self, kind: str) -> Any:
        """The next mesh event of this kind; others are skipped."""
        while (event := self.frame("event")["event"]).get("kind") != kind:
            pass
        return event


@define
class Device:
    """One daemon in a home of its own."""

    home: Path
    program: Path = MYOWNMESH
    process: subprocess.Popen[bytes] | Forked | None = None
    wires: list[Wire] = field(factory=list)
    key: str = ""
    """Bare id, known after the start."""
    enter: tuple[str, ...] = ()
    """What precedes its command: for a device on a machine of its own (`support.namespaces`)."""
    environ: dict[str, str] = field(factory=dict)

    @property
    def socket(self) -> Path:
        return self.home / "daemon.sock"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.home.mkdir(exist_ok=True)
        with (self.home / "log").open("ab") as log:
            environ = {**os.environ, "MYOWNMESH_HOME": str(self.home), **self.environ}
            if self.program == MYOWNMESH and not self.enter:
                self.process = Forked(environ, log)
            else:
                self.process = subprocess.Popen(
                    [*self.enter, str(self.program), "serve"],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.key = self.wire().data("identity_show")["pubkey"]
            except ControlError:
                assert self.process.poll() is None, (self.home / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def wire(self) -> Wire:
        """A connection that is closed with the device."""
        wire = Wire(self.socket, PATIENCE_S)
        self.wires.append(wire)
        return wire

    def subscribe(self) -> tuple[Wire, str]:
        wire = self.wire()
        return wire, wire.data("events_subscribe")["client_id"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        for wire in self.wires:
            wire.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@define
class Pair:
    """Two devices, one relay hosted by the first, one open network."""

    a: Device
    b: Device
    port: int

    def record(self) -> dict[str, Any]:
        relay = f"ws://127.0.0.1:{self.port}"
        return network_record(RECORD_ID, relay, network_id=NETWORK, auto_approve=True)

    def wait_active(self) -> None:
        """Wait until both see the other as active."""
        for device in (self.a, self.b):
            wire = device.wire()
            deadline = time.monotonic() + PATIENCE_S
            while not any(peer["status"] == "active" for peer in wire.data("peers_list", network=NETWORK)["peers"]):
                assert time.monotonic() < deadline, (device.home / "log").read_text()
                time.sleep(0.02)


@contextlib.contextmanager
def two_devices(*programs: Path) -> Iterator[Pair]:
    """Both joined and linked; ours unless other programs are given."""
    first, second = programs or (MYOWNMESH, MYOWNMESH)
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Device(Path(folder) / "a", first), Device(Path(folder) / "b", second), free_port())
        try:
            pair.a.start()
            pair.b.start()
            relay = {"signaling": {"enabled": True, "bind": "127.0.0.1", "port": pair.port}}
            pair.a.wire().data("services_set", services=relay)
            for device in (pair.a, pair.b):
                device.wire().data("network_add", config=pair.record())
            pair.wait_active()
            yield pair
        finally:
            pair.a.close()
            pair.b.close()
