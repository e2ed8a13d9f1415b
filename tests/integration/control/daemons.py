"""Two real daemons on one machine: their own homes, one hosted relay, one open network, no internet."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0
NETWORK = "office-mesh"
RECORD_ID = "net_1"


@define
class Wire:
    """A plain blocking control client."""

    sock: socket.socket
    rest: bytes = b""

    @classmethod
    def dial(cls, home: Path) -> Wire:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(home / "daemon.sock"))
        except OSError:
            sock.close()
            raise
        sock.settimeout(PATIENCE_S)
        return cls(sock)

    def send(self, op: str, **members: object) -> None:
        self.sock.sendall(json.dumps({"op": op, **members}).encode() + b"\n")

    def receive(self) -> Any:
        while b"\n" not in self.rest:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def ask(self, op: str, **members: object) -> Any:
        self.send(op, **members)
        return self.receive()

    def data(self, op: str, **members: object) -> Any:
        """The data of an answer that must be a success."""
        answer = self.ask(op, **members)
        assert answer["ok"] is True, answer
        return answer["data"]

    def frame(self, kind: str) -> Any:
        """The next frame of this kind; others are skipped."""
        while (frame := self.receive())["kind"] != kind:
            pass
        return frame

    def event(self, kind: str) -> Any:
        """The next mesh event of this kind; others are skipped."""
        while (event := self.frame("event")["event"]).get("kind") != kind:
            pass
        return event


@define
class Device:
    home: Path
    process: subprocess.Popen[bytes] | None = None
    wires: list[Wire] = field(factory=list)
    key: str = ""

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "myownmesh.cli", "serve"],
                env={**os.environ, "MYOWNMESH_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.key = self.wire().data("identity_show")["pubkey"]
            except OSError:
                assert self.process.poll() is None, (self.home / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def wire(self) -> Wire:
        wire = Wire.dial(self.home)
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
            wire.sock.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@define
class Pair:
    a: Device
    b: Device
    port: int

    def record(self) -> dict[str, Any]:
        return {
            "id": RECORD_ID,
            "network_id": NETWORK,
            "signaling": {"servers": [f"ws://127.0.0.1:{self.port}"], "mdns": False, "public_fallback": False},
            "stun_servers": [],
            "turn_servers": [],
            "auto_approve": True,
        }

    def wait_active(self) -> None:
        for device in (self.a, self.b):
            wire = device.wire()
            deadline = time.monotonic() + PATIENCE_S
            while not any(peer["status"] == "active" for peer in wire.data("peers_list", network=NETWORK)["peers"]):
                assert time.monotonic() < deadline, (device.home / "log").read_text()
                time.sleep(0.02)


@contextlib.contextmanager
def two_devices() -> Iterator[Pair]:
    """Both joined and linked."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        homes = [Path(folder) / name for name in "ab"]
        for home in homes:
            home.mkdir()
        pair = Pair(Device(homes[0]), Device(homes[1]), port)
        try:
            pair.a.start()
            pair.b.start()
            relay = {"signaling": {"enabled": True, "bind": "127.0.0.1", "port": port}}
            pair.a.wire().data("services_set", services=relay)
            for device in (pair.a, pair.b):
                device.wire().data("network_add", config=pair.record())
            pair.wait_active()
            yield pair
        finally:
            pair.a.close()
            pair.b.close()
