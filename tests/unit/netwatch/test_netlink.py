"""Which of the system's notices are worth a look at the network."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.netwatch.netlink import Notices

NEW_LINK, DEL_LINK, NEW_ADDRESS, DEL_ADDRESS, NEW_ROUTE, DEL_ROUTE = 16, 17, 20, 21, 24, 25
UP, RUNNING, PROMISC, LOWER_UP = 0x1, 0x40, 0x100, 0x10000


def message(kind: int, body: bytes) -> bytes:
    text = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return text + b"\0" * (-len(text) % 4)


def link(index: int, flags: int, kind: int = NEW_LINK) -> bytes:
    return message(kind, struct.pack("=BxHiII", 0, 1, index, flags, 0))


def address(scope: int = 0, kind: int = NEW_ADDRESS) -> bytes:
    return message(kind, struct.pack("=BBBBI", 2, 24, 0, scope, 3) + b"\x08\0\x01\0\x0a\0\0\1")


def route(table: int = 254, flags: int = 0, kind: int = NEW_ROUTE) -> bytes:
    return message(kind, struct.pack("=BBBBBBBBI", 2, 24, 0, 0, table, 3, 0, 1, flags))


@pytest.mark.parametrize(
    ("datagram", "is_news"),
    [
        (address(), True),
        (address(kind=DEL_ADDRESS), True),
        (address(scope=254), False),
        (route(), True),
        (route(table=52, kind=DEL_ROUTE), True),
        (route(table=255), False),
        (route(flags=0x200), False),
        (link(3, UP, DEL_LINK), True),
        (message(1, b""), False),
        (message(3, b"\0\0\0\0"), False),
        (message(4, b""), True),
        (b"", False),
        (b"\x01", True),
        (address()[:-4], True),
        (struct.pack("=IHHII", 20, NEW_ADDRESS, 0, 0, 0) + b"\2\x18\0\0", True),
        (struct.pack("=IHHII", 3, NEW_ADDRESS, 0, 0, 0), True),
        (address(scope=254) + address(), True),
        (address() + address(scope=254), True),
    ],
)
def test_what_is_worth_a_look(datagram: bytes, is_news: bool) -> None:
    assert Notices().are_news(datagram) is is_news


def test_an_interface_is_news_when_it_begins_or_ceases_to_work() -> None:
    notices = Notices()
    working = UP | RUNNING | LOWER_UP
    assert notices.are_news(link(3, working))
    assert not notices.are_news(link(3, working)), "a card that searches for Wi-Fi tells of itself all the time"
    assert not notices.are_news(link(3, working | PROMISC))
    assert notices.are_news(link(3, UP)), "the cable was pulled"
    assert notices.are_news(link(4, UP)), "another interface"
    assert notices.are_news(link(3, working))


def test_every_message_of_a_datagram_is_remembered() -> None:
    notices = Notices()
    assert notices.are_news(address() + link(3, UP))
    assert not notices.are_news(link(3, UP))


def test_interfaces_without_end_do_not_fill_the_memory() -> None:
    notices = Notices()
    for index in range(10_000):
        notices.are_news(link(index, UP))
    assert notices.are_news(link(0, UP)), "the first one is forgotten"


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer(datagram: bytes) -> None:
    assert Notices().are_news(datagram) in (True, False)


@given(
    st.lists(st.sampled_from([address(scope=254), route(table=255), message(3, b"")]), max_size=6),
    st.lists(st.sampled_from([address(), route(), link(9, UP)]), min_size=1, max_size=3),
    st.integers(0, 6),
)
def test_news_is_never_lost_among_noise(noise: list[bytes], news: list[bytes], where: int) -> None:
    assert Notices().are_news(b"".join([*noise[:where], *news, *noise[where:]]))
    assert not Notices().are_news(b"".join(noise))
