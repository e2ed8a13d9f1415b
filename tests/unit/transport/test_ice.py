"""Which checks are made, and which of several working pairs sends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from myownmesh.transport.addresses import HostAddresses, LocalAddress
from myownmesh.transport.candidates import RemoteCandidate
from myownmesh.transport.lean_imports import data_channels_only
from myownmesh.transport.udp import UdpSocket
from unit.transport.virtual_loop import run_virtual

with data_channels_only():
    import aioice
    from aioice.ice import CandidatePair
    from aioice.stun import Class, Message, Method, parse_message

    from myownmesh.transport.ice import Generation

if TYPE_CHECKING:
    from collections.abc import Callable

PRIORITIES = {"host": 2_130_706_431, "srflx": 1_694_498_815, "relay": 16_777_215}


class Case:
    """A generation that is asked nothing but what follows from a pair's success."""

    def __init__(self, *, controlling: bool) -> None:
        self.ups = 0
        self.sent_to: list[tuple[str, int]] = []
        self.generation = Generation(
            asyncio.get_running_loop(), controlling=controlling, on_data=lambda data: None, on_up=self._up
        )

    def _up(self, generation: Generation) -> None:
        self.ups += 1

    def succeed(self, kind: str, port: int) -> None:
        local = aioice.Candidate("1", 1, "udp", PRIORITIES[kind], "192.0.2.1", port, kind)
        remote = aioice.Candidate("2", 1, "udp", PRIORITIES["host"], "192.0.2.2", port, "host")
        transport = SimpleNamespace(sendto=lambda data, address: self.sent_to.append(address))
        pair = CandidatePair(cast("Any", SimpleNamespace(local_candidate=local, transport=transport)), remote)
        pair.state = CandidatePair.State.SUCCEEDED
        pair.nominated = True
        self.generation.check_complete(pair)

    @property
    def local_kind(self) -> str | None:
        kinds = self.generation.selected_kinds
        return kinds[0] if kinds else None


@pytest.mark.parametrize("controlling", [True, False])
def test_a_better_pair_takes_over_and_a_worse_one_does_not(controlling: bool) -> None:
    async def main() -> None:
        case = Case(controlling=controlling)
        assert case.local_kind is None
        assert not case.generation.is_up
        case.succeed("relay", 1)
        assert case.local_kind == "relay"
        case.succeed("host", 2)
        assert case.local_kind == "host"
        case.succeed("relay", 3)
        case.succeed("host", 4)
        assert case.local_kind == "host"
        case.generation.send_now(b"x")
        assert case.sent_to == [("192.0.2.2", 2)]
        assert case.ups == 2

    asyncio.run(main())


# ── which candidates and checks there are ─────────────────────────────────────────────────────────────────────────────

LAN = LocalAddress("eth0", "127.0.0.1", 8)


class Checks:
    """A generation on a socket of the loopback interface, that notes where its checks go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent_to: list[tuple[str, int]] = []
        self.said: list[bytes] = []
        monkeypatch.setattr(UdpSocket, "start", lambda _, on_datagram, on_lost: self._start(on_datagram))
        monkeypatch.setattr(UdpSocket, "sendto", lambda _, data, address: self._send(data, address))
        self.generation = Generation(
            asyncio.get_running_loop(), controlling=True, on_data=lambda data: None, on_up=lambda generation: None
        )
        self.generation.gather_host(HostAddresses((LAN,)))
        self.generation.set_remote("ufrag", "p" * 24)

    def _start(self, on_datagram: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._on_datagram = on_datagram

    def _send(self, data: bytes, address: tuple[str, int]) -> None:
        if parse_message(data).message_class is Class.REQUEST:
            self.said.append(data)
            self.sent_to.append(address)

    def add(self, host: str, priority: int, kind: str = "host") -> None:
        self.generation.add_remote(RemoteCandidate("1", priority, host, 9, kind))

    def hear(self, host: str) -> None:
        """A check of the other end, from one of its candidates."""
        asked = Message(message_method=Method.BINDING, message_class=Class.REQUEST)
        ours = self.generation.local_username, self.generation.local_password
        asked.attributes |= {"USERNAME": f"{ours[0]}:ufrag", "PRIORITY": 1, "ICE-CONTROLLED": 1}
        asked.add_message_integrity(ours[1].encode())
        self._on_datagram(bytes(asked), (host, 9))

    async def first(self, count: int) -> list[str]:
        """The first addresses that are checked, to the end of all checks."""
        checked = await self.begun(count)
        await self.generation.close_soon()
        return checked

    async def begun(self, count: int) -> list[str]:
        """The first addresses that are checked."""
        self.generation.start_checks()
        async with asyncio.timeout(10):
            while len(checked := list(dict.fromkeys(host for host, _ in self.sent_to))) < count:
                await asyncio.sleep(0.01)
        return checked


def test_what_lies_in_our_own_network_is_checked_first_then_by_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        checks = Checks(monkeypatch)
        for number in range(12):
            checks.add(f"10.9.{number}.1", 2_000 + number)
        checks.add("127.0.0.5", 1)
        checks.add("127.0.0.6", 2)
        assert await checks.first(4) == ["127.0.0.6", "127.0.0.5", "10.9.11.1", "10.9.10.1"]

    run_virtual(main())


def test_of_too_many_candidates_those_worth_most_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        checks = Checks(monkeypatch)
        for number in range(200):
            checks.add(f"10.9.{number}.1", 1_000 + number)
        checks.add("127.0.0.5", 1)
        checks.add("198.51.100.7", 5, "relay")
        checks.add("198.51.100.8", 3, "srflx")
        for _ in range(40):
            checks.add("127.0.0.5", 1)  # as descriptions and messages repeat them
        checked = await checks.first(34)
        best = [f"10.9.{number}.1" for number in range(199, 168, -1)]
        assert checked == ["127.0.0.5", *best, "198.51.100.7", "198.51.100.8"]

    run_virtual(main())


def test_a_check_that_is_under_way_is_repeated_at_once_when_the_other_end_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        checks, began = Checks(monkeypatch), asyncio.get_running_loop().time()
        checks.add("10.9.0.1", 2)
        checks.add("10.9.0.2", 1)
        assert await checks.begun(2) == ["10.9.0.1", "10.9.0.2"]
        for _ in range(3):
            checks.hear("10.9.0.1")
        assert [host for host, _ in checks.sent_to] == ["10.9.0.1", "10.9.0.2", "10.9.0.1"]
        assert checks.said[2] == checks.said[0]
        assert asyncio.get_running_loop().time() - began < 0.4  # of a clock that jumps: no retransmission was due
        await checks.generation.close_soon()

    run_virtual(main())
