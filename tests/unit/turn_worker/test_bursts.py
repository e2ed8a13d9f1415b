"""Datagrams that leave together arrive one by one, in their order."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from myownmesh.turn_worker.bursts import LONGEST_SEGMENT, MOST_SEGMENTS, Burst

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire:
    """A socket that writes down its calls."""

    def __init__(self, refusal: OSError | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.refusal = refusal

    def sendto(self, data: bytes, address: object) -> None:
        self.calls.append(("one", len(data)))
        if isinstance(self.refusal, BlockingIOError):
            raise self.refusal

    def sendmsg(self, held: list[bytes], control: object, flags: int, address: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(("together", len(held)))


A, B = ("192.0.2.1", 1), ("192.0.2.2", 1)


def sent(burst: Burst, wire: Wire, *datagrams: tuple[int, Any]) -> list[tuple[str, int]]:
    wire.calls = []
    for size, address in datagrams:
        burst.put(cast("socket.socket", wire), bytes(size), address)
    burst.flush()
    burst.flush()
    return wire.calls


def test_what_is_like_the_one_in_front_leaves_together() -> None:
    burst, wire = Burst(), Wire()
    assert sent(burst, wire, (9, A), (9, A), (9, A), (9, B), (8, B), (8, B)) == [
        ("one", 9),
        ("together", 2),
        ("one", 9),
        ("one", 8),
        ("one", 8),
    ]
    assert sent(burst, wire, (8, B), (8, B), (8, A)) == [("together", 2), ("one", 8)], "also of the callback before"
    assert sent(burst, wire, (0, A), (0, A)) == [("one", 0), ("one", 0)]
    long = LONGEST_SEGMENT + 1
    assert sent(burst, wire, (9, A), (long, A), (long, A)) == [("one", 9), ("one", long), ("one", long)]
    assert sent(burst, wire, *[(9, A)] * (MOST_SEGMENTS + 3)) == [
        ("one", 9),
        ("together", MOST_SEGMENTS),
        ("together", 2),
    ]


def test_two_sockets_are_never_mixed() -> None:
    burst, one, other = Burst(), Wire(), Wire()
    burst.put(cast("socket.socket", one), b"1", A)
    burst.put(cast("socket.socket", other), b"2", A)
    burst.flush()
    assert (one.calls, other.calls) == ([("one", 1)], [("one", 1)])


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOPROTOOPT, errno.EIO])
def test_where_the_kernel_cannot_each_goes_by_itself_from_then_on(code: int) -> None:
    burst, wire = Burst(), Wire(OSError(code, "no"))
    assert sent(burst, wire, (9, A), (9, A), (9, A)) == [("one", 9)] * 3
    wire.refusal = None
    assert sent(burst, wire, (9, A), (9, A), (9, A)) == [("one", 9)] * 3


def test_a_place_without_a_way_costs_the_others_nothing() -> None:
    burst, wire = Burst(), Wire(OSError(errno.ENETUNREACH, "no way"))
    assert sent(burst, wire, (9, A), (9, A), (9, A)) == [("one", 9)] * 3
    wire.refusal = None
    assert sent(burst, wire, (9, A), (9, A)) == [("together", 2)]


def test_without_room_they_are_lost() -> None:
    burst, wire = Burst(), Wire(BlockingIOError())
    assert sent(burst, wire, (9, A), (9, A), (9, A), (8, A)) == [("one", 9), ("one", 8)]


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
            each.settimeout(10.0)
        yield one, other


@pytest.mark.parametrize("segments", [True, False])
def test_they_arrive_one_by_one(sockets: tuple[socket.socket, socket.socket], segments: bool) -> None:
    one, other = sockets
    wanted = [bytes([number]) * size for number, size in enumerate([1200] * 30 + [7] * 3 + [1400] * 2 + [1200])]
    burst = Burst(segments=segments)
    for data in wanted:
        burst.put(one, data, other.getsockname())
    burst.flush()
    assert [other.recv(2000) for _ in wanted] == wanted
