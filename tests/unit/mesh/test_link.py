"""Back-pressure of one session's outgoing side, on a literal clock."""

from __future__ import annotations

import pytest

from myownmesh.mesh import clock
from myownmesh.mesh.link import (
    MAX_AHEAD_BYTES,
    MAX_QUEUED_BYTES,
    NOT_OPEN,
    QUEUE_FULL,
    SEND_TIMEOUT_S,
    TIMED_OUT,
    Link,
)
from myownmesh.transport.session import Order
from unit.mesh.fake_session import FakeSession


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def link(session: FakeSession) -> Link:
    return Link(1, session)


class Done(list[str | None]):
    def __call__(self, error: str | None) -> None:
        self.append(error)


def fill(session: FakeSession) -> None:
    session.buffered_bytes = session.backlog_bytes


def test_a_frame_leaves_at_once_while_the_buffer_is_low(link: Link, session: FakeSession) -> None:
    done = Done()
    link.send(b"one", 0.0, done)
    assert session.sent == [b"one"]
    assert done == [None]
    assert link.next_deadline is None


def test_frames_wait_above_high_water_and_leave_in_order(link: Link, session: FakeSession) -> None:
    fill(session)
    done = Done()
    link.send(b"one", 0.0, done)
    link.send(b"two", 0.1, done)
    assert session.sent == []
    assert link.next_deadline == SEND_TIMEOUT_S
    session.drain()
    assert session.sent == [b"one", b"two"]
    assert done == [None, None]


@pytest.mark.parametrize("order", [Order.AHEAD, Order.FREE])
def test_what_goes_ahead_does_not_wait_for_bulk(link: Link, session: FakeSession, order: Order) -> None:
    fill(session)
    link.send(b"bulk", 0.0, Done())
    link.send(b"ping", 0.0, Done(), order)
    assert session.sent == [b"ping"]
    session.drain()
    assert session.sent == [b"ping", b"bulk"]
    assert session.orders == [order, Order.IN_TURN]


def test_on_a_dead_path_what_goes_ahead_waits_in_its_order_and_is_lost(link: Link, session: FakeSession) -> None:
    session.buffered_bytes = MAX_AHEAD_BYTES
    done = Done()
    link.send(b"bulk", 0.0, done)
    link.send(b"one", 1.0, done, Order.AHEAD)
    session.buffered_bytes = 0
    link.send(b"two", 1.0, done, Order.FREE)
    assert session.sent == []
    link.expire(SEND_TIMEOUT_S)
    assert done == [TIMED_OUT]
    session.drain()
    assert session.sent == [b"one", b"two"]


def test_a_frame_that_waits_two_seconds_is_lost(link: Link, session: FakeSession) -> None:
    fill(session)
    early, late = Done(), Done()
    link.send(b"early", 0.0, early)
    link.send(b"late", 1.0, late)
    link.expire(SEND_TIMEOUT_S)
    assert early == [TIMED_OUT]
    assert late == []
    session.drain()
    assert session.sent == [b"late"]
    assert late == [None]


def test_draining_stops_at_high_water_and_goes_on_at_the_next_drain(link: Link, session: FakeSession) -> None:
    fill(session)
    big = b"x" * session.backlog_bytes
    done = Done()
    link.send(big, 0.0, done)
    link.send(b"after", 0.0, done)
    session.drain()
    assert session.sent == [big]
    session.drain()
    assert session.sent == [big, b"after"]


def test_the_queue_is_bounded(link: Link, session: FakeSession) -> None:
    fill(session)
    frame = b"x" * 65_535
    done = Done()
    for _ in range(MAX_QUEUED_BYTES // len(frame) + 1):
        link.send(frame, 0.0, done)
    assert done == [QUEUE_FULL]


def test_a_closed_channel_is_told_to_the_sender(link: Link, session: FakeSession) -> None:
    session.is_open = False
    done = Done()
    link.send(b"x", 0.0, done)
    assert done == [NOT_OPEN]


def test_closing_fails_what_waits_and_what_comes_later(link: Link, session: FakeSession) -> None:
    fill(session)
    waiting, late = Done(), Done()
    link.send(b"waiting", 0.0, waiting)
    link.close()
    link.close()
    link.send(b"late", 0.0, late)
    assert session.closed
    assert waiting == [NOT_OPEN]
    assert late == [NOT_OPEN]
    assert link.next_deadline is None


def test_a_drain_that_comes_after_the_close_does_nothing(link: Link, session: FakeSession) -> None:
    fill(session)
    link.send(b"waiting", 0.0, Done())
    link.close()
    session.drain()
    assert session.sent == []


@pytest.mark.parametrize(("at", "day"), [(1_769_817_600, "2026-01-31"), (2**64 - 1, "9999-12-31")])
def test_a_day_is_told_of_any_time_that_a_file_can_hold(at: int, day: str) -> None:
    assert clock.day(at) == day
