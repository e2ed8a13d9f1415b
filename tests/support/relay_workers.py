"""Processes of the hosted relay, and the Redis by which they are one: what is killed and stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from myownmesh.relay.client import Limits
from myownmesh.relay_worker.messages import Job, Report, read_said
from myownmesh.worker.messages import Listening, line

if TYPE_CHECKING:
    from pathlib import Path

STARTS_S = 60.0


class Process:
    """One that can be killed and stopped."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def memory_kb(self) -> float:
        with open(f"/proc/{self.pid}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)


class Relay(Process):
    """A worker's process, as a daemon starts it; without limits."""

    def __init__(self, bus: str | None = None, port: int = 0) -> None:
        """Returns when it listens; port 0 takes a free one."""
        program = [sys.executable, "-P", "-m", "myownmesh.cli", "relay-worker"]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limits = Limits(max_connections_per_ip=0, max_event_rate=0, max_req_rate=0)
        self.process.stdin.write(line(Job(bind="127.0.0.1", port=port, limits=limits, bus=bus)))
        self.process.stdin.flush()
        self.bus = bus
        listening = read_said(self.process.stdout.readline())
        assert isinstance(listening, Listening), listening
        self.port = listening.port
        self.report: Report | None = None
        self.problems: list[str] = []
        """What it has told somebody to look after, in order."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            if isinstance(said := read_said(text), Report):
                if said.problem is not None and (self.report is None or self.report.problem != said.problem):
                    self.problems.append(said.problem)
                self.report = said

    @property
    def is_joined(self) -> bool:
        """With the others, as far as it has said."""
        return self.report is not None and self.report.problem is None

    @property
    def cpu_s(self) -> float:
        """Finer than the ticks of /proc/PID/stat."""
        nanoseconds = sum(
            int(open(f"/proc/{self.pid}/task/{task}/schedstat").read().split()[0])  # noqa: SIM115, PTH123
            for task in os.listdir(f"/proc/{self.pid}/task")  # noqa: PTH208
        )
        return nanoseconds / 1e9

    def kill(self) -> None:
        super().kill()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Redis(Process):
    """A server on a socket of its own, in this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        words = ["redis-server", "--port", "0", "--unixsocket", f"{self.folder}/redis.sock", "--save", ""]
        self.process = subprocess.Popen([*words, "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        return self.process

    def told(self, *words: str, stdin: bytes = b"") -> None:
        """By somebody else's hand."""
        program = ["redis-cli", "-e", "-s", f"{self.folder}/redis.sock", *words]
        subprocess.run(program, input=stdin, check=True, timeout=60, stdout=subprocess.DEVNULL)


def wait_until_joined(*relays: Relay) -> None:
    end = time.monotonic() + STARTS_S
    while not all(each.is_joined for each in relays):
        assert time.monotonic() < end, [each.report for each in relays]
        time.sleep(0.05)
