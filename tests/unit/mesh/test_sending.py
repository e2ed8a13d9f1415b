"""One frame over several links: what leaves, what is counted, and what whoever sent it is told."""

from __future__ import annotations

import pytest

from myownmesh.mesh.link import MAX_AHEAD_BYTES, NOT_OPEN, SEND_TIMEOUT_S, TIMED_OUT
from myownmesh.mesh.links import Links
from myownmesh.mesh.sending import Sending
from myownmesh.protocol.clock import Instant
from myownmesh.transport.session import Order
from unit.mesh.fake_session import FakeSession

HOPS = (("a" * 52, 1), ("b" * 52, 1), ("c" * 52, 1))


class Desk:
    """Three links, and what came of a frame that was given to them."""

    def __init__(self) -> None:
        self.mono = 0.0
        self.links = Links()
        self.sessions = [FakeSession() for _ in HOPS]
        for (peer, epoch), session in zip(HOPS, self.sessions, strict=True):
            self.links.put(peer, epoch, session)
        self.counted: list[tuple[str, int]] = []
        self.alarms: list[float | None] = []
        self.told: list[str | int | None] = []
        self.sending = Sending(
            self.links,
            lambda: Instant(self.mono, 0),
            lambda kind, nbytes: self.counted.append((kind, nbytes)),
            lambda: self.alarms.append(self.links.next_deadline),
        )

    def by_first(self) -> None:
        self.sending.by_first(self.links.all_of(HOPS), "channel", b"frame", self.told.append, self.mono, Order.IN_TURN)

    def to_all(self) -> None:
        self.sending.to_all(self.links.all_of(HOPS), "channel", b"frame", self.told.append)

    @property
    def took(self) -> list[int]:
        """How many frames each session took."""
        return [len(session.sent) for session in self.sessions]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_one_link_that_takes_a_frame_is_enough(desk: Desk) -> None:
    desk.by_first()
    assert (desk.took, desk.told, desk.counted) == ([1, 0, 0], [None], [("channel", 5)])


def test_a_frame_that_a_link_refuses_goes_by_the_next(desk: Desk) -> None:
    desk.sessions[0].is_open = desk.sessions[1].is_open = False
    desk.by_first()
    assert (desk.took, desk.told, desk.counted) == ([0, 0, 1], [None], [("channel", 5)])


def test_a_frame_that_nobody_takes_ends_with_the_last_links_error_once(desk: Desk) -> None:
    for session in desk.sessions:
        session.is_open = False
    desk.by_first()
    assert (desk.told, desk.counted) == ([NOT_OPEN], [])


def test_a_frame_that_waited_too_long_has_its_whole_time_at_the_next_link(desk: Desk) -> None:
    for session in desk.sessions[:2]:
        session.buffered_bytes = MAX_AHEAD_BYTES
    desk.by_first()
    desk.mono = SEND_TIMEOUT_S
    desk.links.expire(desk.mono)
    assert desk.alarms == [SEND_TIMEOUT_S, 2 * SEND_TIMEOUT_S]
    assert desk.told == []
    desk.mono = 2 * SEND_TIMEOUT_S
    desk.links.expire(desk.mono)
    assert (desk.took, desk.told, desk.counted) == ([0, 0, 1], [None], [("channel", 5)])


def test_all_links_get_a_frame_and_those_that_took_it_are_told_at_the_end(desk: Desk) -> None:
    desk.sessions[0].is_open = False
    desk.sessions[1].buffered_bytes = MAX_AHEAD_BYTES
    desk.to_all()
    assert (desk.took, desk.told) == ([0, 0, 1], []), "one link has not said yet"
    desk.sessions[1].drain()
    assert (desk.took, desk.told, desk.counted) == ([0, 1, 1], [2], [("channel", 5)] * 2)


def test_where_there_is_no_link_nobody_took_it(desk: Desk) -> None:
    desk.sending.to_all([], "channel", b"frame", desk.told.append)
    assert desk.told == [0]


def test_a_frame_by_one_link_is_not_counted_and_its_loss_is_told(desk: Desk) -> None:
    (link,) = desk.links.all_of(HOPS[:1])
    desk.sending.on(link, b"ping", desk.told.append, 0.0, Order.AHEAD)
    desk.sessions[0].buffered_bytes = MAX_AHEAD_BYTES
    desk.sending.on(link, b"ping", desk.told.append, 0.0, Order.AHEAD)
    assert desk.alarms == [SEND_TIMEOUT_S]
    desk.links.expire(SEND_TIMEOUT_S)
    assert (desk.told, desk.counted) == ([None, TIMED_OUT], [])
