"""A wide-area network on one machine: network namespaces, joined by a router with delay, loss and a bottleneck.

    python tests/support/wan.py --delay 25 --loss 1 -- CMD...   run CMD in a 50 ms / 1 % network of two hosts
    python tests/support/wan.py --hosts 3 --rate 20 --queue 64  stay until EOF; lines change it ("1-2 loss=5", "stats")

CMD runs outside of the hosts, with WAN_HOSTS="wan1 wan2" (namespaces) and WAN_IPS="10.77.0.1 10.77.0.2"; it enters one
with `ip netns exec wan1 ...`. Every condition is for one direction: a round trip takes twice --delay. Needs root,
iproute2 and a C compiler, but no netem, which not every kernel has. As a library:

    with Wan(delay=25, loss=1) as wan:
        wan.popen(1, [...])
        wan.set(delay=50)
        wan.stats()
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

CONDITIONS: Final = {
    "delay": "ms one way",
    "jitter": "ms, uniform, ±",
    "loss": "%% of the packets",
    "burst": "mean length of a loss (default 1)",
    "reorder": "%% of the packets that overtake",
    "rate": "Mbit/s (0: no limit)",
    "queue": "KB before the bottleneck (default 256)",
    "seed": "of the dice",
}
"""What a path has, and how it is told on the command line."""

END_LIMIT_S: Final = 2.0
"""How long a program in a host gets between SIGTERM and SIGKILL."""


def missing_tools() -> list[str]:
    """What is needed and not here; empty where a network can be made."""
    missing = [name for name in ("ip", "cc") if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if not Path("/dev/net/tun").exists():
        missing.append("/dev/net/tun")
    return missing


def router() -> Path:
    """The compiled router, built once for each state of its source; WAN_BUILD names another folder to keep it in."""
    source = Path(__file__).resolve().with_name("wan.c")
    folder = Path(os.environ.get("WAN_BUILD") or tempfile.gettempdir())
    binary = folder / f"wan-router-{os.getuid()}-{zlib.crc32(source.read_bytes()):08x}"
    if not binary.exists():
        fresh = binary.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-o", str(fresh), str(source)], check=True)
        fresh.replace(binary)
    return binary


class Wan:
    """`hosts` namespaces NAME1, NAME2 … with the addresses 10.77.0.1 … and fd77::1 …"""

    def __init__(
        self, hosts: int = 2, name: str = "wan", mtu: int = 1500, net: str = "10.77.0", **conditions: float
    ) -> None:
        """`conditions` are those of every direction at first (`CONDITIONS`)."""
        self.names = [f"{name}{number}" for number in range(1, hosts + 1)]
        self.ips = [f"{net}.{number}" for number in range(1, hosts + 1)]
        self._mtu = mtu
        self._conditions = conditions
        self._made: list[str] = []
        self._router: subprocess.Popen[str] | None = None

    def __enter__(self) -> Wan:
        try:
            self._build()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._take_down()

    def tell(self, line: str) -> str:
        """Give the router a line; returns its answer."""
        told, heard = self._pipes()
        told.write(line + "\n")
        told.flush()
        return heard.readline()

    def set(self, direction: str = "", **conditions: float) -> None:
        """Change conditions, of one direction ("1-2") or of all."""
        if conditions:
            self.tell(" ".join([direction, *(f"{key}={value}" for key, value in conditions.items())]).strip())

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters of every direction since the last call: packets, bytes, lost, dropped, backlog_max."""
        counters: dict[str, dict[str, int]] = json.loads(self.tell("stats"))
        return counters

    def command(self, host: int, command: Sequence[str]) -> list[str]:
        """The command as it runs on a host: 1, 2 …"""
        return ["ip", "netns", "exec", self.names[host - 1], *command]

    def popen(self, host: int, command: Sequence[str], **how: Any) -> subprocess.Popen[Any]:
        """Start a program on a host. What still runs at the end is ended."""
        return subprocess.Popen(self.command(host, command), **how)

    def _build(self) -> None:
        for name in self.names:
            _ip("netns", "add", name)
            self._made.append(name)
        devices = [f"{name}tun" for name in self.names]
        self._router = subprocess.Popen([router(), *devices], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._pipes()[1].readline() != "ready\n":
            raise OSError("the router did not start")
        for number, (name, device, address) in enumerate(zip(self.names, devices, self.ips, strict=True), 1):
            _ip("link", "set", device, "netns", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", name, "-6", "addr", "add", f"fd77::{number}/64", "dev", device, "nodad")
            _ip("-n", name, "link", "set", device, "up", "mtu", str(self._mtu), "txqueuelen", "10000")
            _ip("-n", name, "route", "add", "224.0.0.0/4", "dev", device)
        self.set(**self._conditions)

    def _take_down(self) -> None:
        for name in self._made:
            _end_programs(name)
        if self._router is not None:
            told, heard = self._pipes()
            told.close()
            self._router.wait(5)
            heard.close()
            self._router = None
        for name in self._made:
            _ip("netns", "del", name)
        self._made.clear()

    def _pipes(self) -> tuple[Any, Any]:
        assert self._router is not None
        return self._router.stdin, self._router.stdout


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _end_programs(name: str) -> None:
    """End what still runs in a namespace of ours, by pid."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_LIMIT_S
        while pids := _ip("netns", "pids", name).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)


def _main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], epilog="Conditions: one direction.")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--name", default="wan", help="of the namespaces: NAME1, NAME2 …")
    parser.add_argument("--mtu", type=int, default=1500)
    for key, text in CONDITIONS.items():
        parser.add_argument(f"--{key}", type=int if key == "seed" else float, help=text)
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    if missing := missing_tools():
        print(f"no network can be made here; missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by default in the background of a shell
    chosen = {key: getattr(args, key) for key in CONDITIONS if getattr(args, key) is not None}
    with Wan(args.hosts, args.name, args.mtu, **chosen) as wan:
        env = {**os.environ, "WAN_HOSTS": " ".join(wan.names), "WAN_IPS": " ".join(wan.ips)}
        if args.command:
            code = subprocess.run(args.command, env=env, check=False).returncode
            print(wan.tell("stats"), end="", file=sys.stderr)
            return code
        print(f"hosts {env['WAN_HOSTS']} with {env['WAN_IPS']}; EOF ends", flush=True)
        for line in sys.stdin:
            print(wan.tell(line.strip()), end="", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(_main())
    except KeyboardInterrupt:
        sys.exit(130)
