"""Machines of their own on this one: network namespaces joined by a cable, for tests that need other interfaces.

Nothing of it touches the interfaces of this machine. Needs root and iproute2; `needs_namespaces` skips without them.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from attrs import frozen

from support.tools import absent, excused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or bool(excused(absent("ip"))),
    reason="NO NETWORK NAMESPACES HERE, so machines with other interfaces are not tested: needs root and iproute2, "
    "which scripts/test installs",
)

_numbers = itertools.count()
_ENTER = ("ip", "netns", "exec")


def entered(run_in: Sequence[str]) -> str:
    """The name of the machine that these words in front of a command enter; empty for other words."""
    *words, name = run_in or ("",)
    return name if tuple(words) == _ENTER else ""


def ip(*words: str) -> None:
    """Run `ip`; what it says of a failure is in the error."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@frozen
class Machine:
    """A namespace with a loopback interface and what a test adds to it."""

    name: str

    @property
    def enter(self) -> tuple[str, ...]:
        """What precedes a command that is to run here."""
        return *_ENTER, self.name

    def ip(self, *words: str) -> None:
        ip("-n", self.name, *words)

    def add_bridge(self, name: str, address: str) -> None:
        """A bridge without ports, as container programs leave them."""
        self.ip("link", "add", name, "type", "bridge")
        self.add_address(name, address)

    def add_address(self, interface: str, address: str) -> None:
        """Give an interface an address and switch it on. IPv6 addresses are usable at once."""
        self.ip("addr", "add", address, "dev", interface, *(("nodad",) if ":" in address else ()))
        self.ip("link", "set", interface, "up")


@contextmanager
def machines_apart(count: int) -> Iterator[list[Machine]]:
    """Machines without a network."""
    made: list[Machine] = []
    try:
        for _ in range(count):
            machine = Machine(f"mesh-{os.getpid()}-{next(_numbers)}")
            ip("netns", "add", machine.name)
            made.append(machine)
            machine.ip("link", "set", "lo", "up")
        yield made
    finally:
        for machine in made:
            ip("netns", "del", machine.name)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines without a network."""
    with machines_apart(2) as (first, second):
        yield first, second


@contextmanager
def lan(count: int) -> Iterator[tuple[Machine, list[Machine]]]:
    """A machine with a bridge, which is `LAN_HOST`, and others that are plugged in there: `lan0` of each has the
    address that `lan_address` gives its number, from 0 on."""
    with machines_apart(1 + count) as (host, *machines):
        host.ip("link", "add", "br0", "type", "bridge")
        host.add_address("br0", f"{LAN_HOST}/16")
        for number, machine in enumerate(machines):
            port = f"port{number}"
            machine.ip("link", "add", "lan0", "type", "veth", "peer", "name", port, "netns", host.name)
            host.ip("link", "set", port, "master", "br0")
            host.ip("link", "set", port, "up")
            machine.ip("link", "set", "lan0", "addrgenmode", "none")
            machine.add_address("lan0", f"{lan_address(number)}/16")
        yield host, machines


@contextmanager
def machines_around(public: str) -> Iterator[list[Machine]]:
    """One with this address, and two that reach nothing else."""
    with machines_apart(3) as (host, *outer):
        host.ip("addr", "add", f"{public}/32", "dev", "lo")
        for number, machine in enumerate(outer):
            inner = f"to{number}"
            machine.ip("link", "add", "up0", "type", "veth", "peer", "name", inner, "netns", host.name)
            host.add_address(inner, f"198.51.{number}.1/24")
            machine.add_address("up0", f"198.51.{number}.2/24")
            machine.ip("route", "add", "default", "via", f"198.51.{number}.1")
        yield [host, *outer]


LAN_HOST: Final = "10.77.255.254"


def lan_address(number: int, turn: int = 0) -> str:
    """Of a machine by its number, and another one for each turn below 200."""
    return f"10.77.{turn}.{number + 1}"


def plug_in(first: Machine, second: Machine, *, name: str = "lan0") -> None:
    """Join two machines by a cable whose ends have this name; neither end has an address, not even a link-local one."""
    first.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", second.name)
    for machine in (first, second):
        machine.ip("link", "set", name, "addrgenmode", "none")
