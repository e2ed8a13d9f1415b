"""What the benchmarks share: daemons in throw-away homes, and connections to them.

The blocking client and prebuilt lines, so that the figures are the daemon's and not the client's.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError

PATIENCE_S = 60.0


class Control(Connection):
    """One control connection to a daemon by its home."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "daemon.sock", PATIENCE_S)


class Daemon:
    """One `myownmesh serve` in a home of its own."""

    def __init__(self, root: Path, name: str, command: list[str]) -> None:
        self.home = root / name
        self.home.mkdir()
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; returns the seconds from exec to the first `status` answer."""
        log = (self.home / "log").open("ab")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*self.command, "serve"],
            env={**os.environ, "MYOWNMESH_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        while True:
            try:
                control = Control(self.home)
                control.request("status")
            except ControlError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"serve exited with {self.process.returncode}; see {self.home}/log") from None
                if time.perf_counter() - began > 30:
                    raise
                time.sleep(0.002)
            else:
                control.close()
                return time.perf_counter() - began

    def stop(self, sig: int = signal.SIGTERM) -> float:
        """Signal it; returns the seconds until it has exited."""
        assert self.process is not None
        began = time.perf_counter()
        self.process.send_signal(sig)
        self.process.wait(10)
        return time.perf_counter() - began

    def memory_mb(self) -> float:
        """Resident set in MB."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system, of the process itself."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def busy_s(self) -> float:
        """CPU seconds used so far, finer than `cpu_s`; Linux only."""
        assert self.process is not None
        return busy_s(self.process.pid)


def busy_s(pid: int) -> float:
    """CPU seconds that a process has used, its threads that are over included; Linux only."""
    return time.clock_gettime(~pid << 3 | 2)  # the clock of another process, as clock_getcpuclockid(3) makes it


class Pair:
    """Two daemons, one relay hosted by the first, one open network with `auto_approve`."""

    def __init__(self, command: list[str] | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mesh-bench-"))
        command = command or [str(Path(sys.executable).with_name("myownmesh"))]
        self.a = Daemon(self.root, "a", command)
        self.b = Daemon(self.root, "b", command)
        self.port = free_port()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in (self.a, self.b):
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
        shutil.rmtree(self.root)

    def start(self) -> list[float]:
        """Start both and the relay; returns both start times in seconds."""
        times = [self.a.start(), self.b.start()]
        control = Control(self.a.home)
        relay = {"enabled": True, "bind": "127.0.0.1", "port": self.port}
        control.request("services_set", services={"signaling": relay})
        control.close()
        return times

    def record(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "network_id": name,
            "signaling": {"servers": [f"ws://127.0.0.1:{self.port}"], "mdns": False, "public_fallback": False},
            "stun_servers": [],
            "turn_servers": [],
            "auto_approve": True,
        }

    def join(self, name: str) -> float:
        """Join both; returns seconds from the second `network_add` until both see the other active."""
        a, b = Control(self.a.home), Control(self.b.home)
        a.request("network_add", config=self.record(name))
        time.sleep(1.0)
        began = time.perf_counter()
        b.request("network_add", config=self.record(name))
        wait_active(a, name)
        wait_active(b, name)
        took = time.perf_counter() - began
        a.close()
        b.close()
        return took

    def peer_of(self, daemon: Daemon) -> str:
        """The bare id of the other device, as this daemon's peer."""
        other = self.b if daemon is self.a else self.a
        control = Control(other.home)
        identity: Any = control.request("identity_show")
        control.close()
        return str(identity["pubkey"])


def wait_active(control: Control, network: str, timeout: float = 60.0) -> None:
    """Poll until some peer of the network is active."""
    deadline = time.perf_counter() + timeout
    while not any(peer["status"] == "active" for peer in _peers(control, network)):
        if time.perf_counter() > deadline:
            raise TimeoutError(f"no active peer in {network} after {timeout} s")
        time.sleep(0.005)


def _peers(control: Control, network: str) -> list[dict[str, Any]]:
    data: Any = control.request("peers_list", network=network)
    return list(data["peers"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
