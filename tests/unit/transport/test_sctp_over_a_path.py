"""The sender of SCTP over paths in virtual time: what is lost, how fast, how much waits, and what may overtake what."""

from __future__ import annotations

import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_backlog import MAX_LIMIT_BYTES, MIN_LIMIT_BYTES, limit_bytes
from myownmesh.transport.sctp_outstanding import MAX_SPAN_FRAGMENTS, Fragment
from myownmesh.transport.sctp_rate import MIN_WINDOW_BYTES, Phase, RateModel
from myownmesh.transport.sctp_round_trip import RoundTrip
from myownmesh.transport.session import Order
from support.examples import examples
from unit.transport.simulated_cubic import CubicFlow
from unit.transport.simulated_path import FIRST_TSN, Bottleneck, Clock, Host, Path

BULK = bytes(48 * 1024)
MB = 1e6


def warm(path: Path) -> Path:
    """A path whose round trip is known."""
    path.send(b"hello")
    path.run(2.0)
    return path


def rate(path: Path, seconds: float) -> float:
    """Bytes per second from now on."""
    before = path.received_bytes
    path.run(seconds)
    return (path.received_bytes - before) / seconds


# ── loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_repeated_is_what_was_lost() -> None:
    path = warm(Path(delay=0.025, loss=0.01, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(6.0)
    assert path.dropped > 30
    assert path.repeats <= 1.1 * path.dropped


def test_a_repeat_is_judged_by_what_was_sent_after_it() -> None:
    """It is lost too: the acknowledgements of what left before it say nothing about it."""
    path = warm(Path(delay=0.05))
    sent: list[int] = []
    path.on_sent = lambda fragment: sent.append(fragment.number)
    victim = FIRST_TSN + 3
    path.drops = lambda fragment: fragment.number == victim and fragment.sent_count < 3
    for _ in range(40):
        path.send(bytes(wire.MAX_FRAGMENT_BYTES))
        path.run(0.01)
    path.run(1.0)
    assert sent.count(victim) == 3
    assert len(sent) == len(set(sent)) + 2
    assert path.receiver.last_tsn == (FIRST_TSN + 40) & wire.TSN_MASK


def test_a_path_that_reorders_costs_few_repeats() -> None:
    path = warm(Path(delay=0.025, jitter=0.010, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(5.0)
    assert path.sent > 3_000
    assert path.repeats < path.sent / 50


@pytest.mark.parametrize("round_trip", [0.01, 0.05, 0.2])
def test_a_lost_last_packet_is_probed_after_two_round_trips(round_trip: float) -> None:
    path = warm(Path(delay=round_trip / 2))
    arrived: list[float] = []
    path.on_message = lambda data: arrived.append(path.now)
    path.drops = lambda fragment: fragment.sent_count == 1
    began = path.now
    path.send(b"last")
    path.run(2.0)
    assert arrived[0] - began < 2.75 * round_trip + 0.01
    assert path.repeats == 1


@pytest.mark.parametrize(("round_trip", "asked"), [(0.001, False), (0.05, True)])
def test_the_last_packet_asks_for_an_answer_where_the_round_trip_is_long(round_trip: float, *, asked: bool) -> None:
    path = warm(Path(delay=round_trip / 2))
    flags: list[int] = []
    path.on_sent = lambda fragment: flags.append(fragment.flags & wire.FLAG_IMMEDIATE)
    path.send(bytes(3 * wire.MAX_FRAGMENT_BYTES))
    assert flags == [0, 0, wire.FLAG_IMMEDIATE if asked else 0]


def test_an_outage_ends_with_the_first_packet_that_comes_through() -> None:
    path = warm(Path(delay=0.025, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(2.0)
    path.loss = 1.0
    path.run(6.0)
    sent = path.sent
    path.run(6.0)
    assert path.sent - sent <= 3  # the timer backs off
    path.loss = 0.0
    path.run(9.0)
    assert rate(path, 2.0) > 0.7 * MB


# ── rate ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("delay", "loss", "least"), [(0.01, 0.001, 0.85), (0.025, 0.01, 0.85), (0.05, 0.01, 0.8), (0.1, 0.02, 0.7)]
)
def test_a_loss_alone_does_not_slow_down(delay: float, loss: float, least: float) -> None:
    path = warm(Path(delay=delay, loss=loss, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(30 * delay)
    assert rate(path, 4.0) > least * MB


def call_times(path: Path, seconds: float, every: float = 0.05) -> list[float]:
    """How long short calls take, there and back, that are made from now on."""
    took: list[float] = []
    until = path.now + seconds

    def ask() -> None:
        path.send(b"?" + repr(path.now).encode(), Order.FREE)
        if path.now + every < until:
            path.at(path.now + every, ask)

    def hear(data: bytes) -> None:
        if data[:1] == b"?":
            took.append(path.now - float(data[1:]) + path.delay)

    path.on_message = hear
    ask()
    path.run(seconds + 1.0)
    return sorted(took)


@pytest.mark.parametrize("queue", [64_000, 256_000])
@pytest.mark.heavy
def test_a_bottleneck_is_used_and_calls_beside_bulk_hardly_wait_from_its_first_message_on(queue: int) -> None:
    path = warm(Path(delay=0.025, rate=2.5 * MB, queue=queue))
    call_times(path, 1.0)
    received = path.received_bytes
    path.send_bulk(BULK)
    times = call_times(path, 9.0, every=0.047)
    assert path.received_bytes - received > 10.0 * 2.2 * MB
    assert times[len(times) // 2] < 0.065
    assert times[len(times) * 99 // 100] < 0.085
    assert path.dropped < path.sent / 500


@pytest.mark.heavy
def test_hosts_that_are_busy_with_other_things_do_not_make_the_sender_fill_the_queue() -> None:
    """What they make of some samples is more than the path carries."""
    path = warm(Path(delay=0.025, rate=2.5 * MB, queue=256_000))
    sender, receiver = (Host(path.clock, Random(seed), share=0.15, mean=0.003) for seed in (1, 2))
    path.hosts = sender, receiver
    received = path.received_bytes
    path.send_bulk(BULK)
    times = call_times(path, 14.0, every=0.047)
    assert path.received_bytes - received > 15.0 * 2.15 * MB
    assert times[len(times) // 2] < 0.070
    assert times[len(times) * 99 // 100] < 0.095


def test_a_queue_that_stays_tells_what_the_path_carries() -> None:
    rounds = Rounds()
    rounds.go_to(Phase.UP)
    rounds.go_to(Phase.CRUISE)
    rounds.go(4, took=0.125)  # a hundred thousand bytes in an eighth of a second each
    assert 0.75 * MB < rounds.model.bandwidth < 0.8 * MB


def test_the_first_large_message_leaves_within_a_round_trip() -> None:
    """What is next to it, a call that comes a moment later, waits no longer than that."""
    path = warm(Path(delay=0.1))
    left: list[float] = []
    path.on_sent = lambda fragment: left.append(path.now)
    began = path.now
    path.send(BULK)
    path.run(1.0)
    assert len(left) == -(-len(BULK) // wire.MAX_FRAGMENT_BYTES)
    assert 0.06 < left[-1] - began < 0.12  # spread, not thrown


def test_what_goes_ahead_does_not_wait_for_the_window() -> None:
    path = warm(Path(delay=0.1, rate=1 * MB))
    path.send_bulk(bytes(wire.MAX_FRAGMENT_BYTES))
    path.run(3.0)
    path.loss = 1.0
    path.run(0.45)  # nothing is acknowledged, so no more bulk leaves
    assert path.sender.flight_bytes >= path.sender.window_bytes
    sent: list[bytes] = []
    path.on_sent = lambda fragment: sent.append(fragment.data)
    path.send(b"a call", Order.FREE)
    assert sent == [b"a call"]
    for _ in range(100):
        path.send(BULK[:4_000], Order.FREE)
    assert path.sender.flight_bytes < path.sender.window_bytes + 10 * wire.MAX_FRAGMENT_BYTES


def test_slow_start_does_not_end_on_idle_samples() -> None:
    path = warm(Path(delay=0.025, rate=5 * MB))
    for _ in range(60):
        path.send(b"a call", Order.FREE)
        path.run(0.1)
    path.send_bulk(BULK)
    path.run(0.7)
    assert rate(path, 0.4) > 4 * MB


def test_the_rate_follows_a_path_that_gets_faster() -> None:
    path = warm(Path(delay=0.01, rate=1 * MB))
    path.send_bulk(BULK)
    assert 0.8 * MB < rate(path, 3.0) < 1 * MB
    path.bottleneck.rate = 3 * MB
    path.run(1.0)
    assert rate(path, 0.5) > 2.4 * MB


def test_the_shortest_round_trip_is_measured_anew_when_the_path_gets_longer() -> None:
    path = warm(Path(delay=0.01, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(1.0)
    path.delay = 0.05
    path.run(12.0)
    assert rate(path, 2.0) > 0.8 * MB


def test_never_less_than_ten_packets_a_round_trip() -> None:
    path = warm(Path(delay=0.05, rate=20_000.0))  # nine packets in half a second
    path.send_bulk(BULK)
    path.run(10.0)
    assert path.sender.window_bytes >= MIN_WINDOW_BYTES
    assert rate(path, 10.0) > 17_000


def test_nothing_is_paced_where_the_round_trip_is_short() -> None:
    path = warm(Path(delay=0.0005, rate=10 * MB))
    path.send_bulk(BULK)
    path.run(0.2)
    assert path.sender.deadline is not None
    assert rate(path, 0.3) > 9 * MB


class Rounds:
    """A rate model that is told of one round trip after the other, at a megabyte per second."""

    def __init__(self) -> None:
        self.round_trip = RoundTrip()
        self.model = RateModel(self.round_trip)
        self._now = 10.0
        self._delivered = 0

    def go(self, count: int, took: float = 0.1, lost: int = 0, rate: float = 1 * MB) -> None:
        """`lost` bytes of each tenth of a round."""
        for _ in range(10 * count):
            self._now += took / 10
            self._delivered += 10_000
            self.round_trip.take(took, self._now)
            newest = Fragment(1, 0, 0, 53, b"")
            newest.mark = (self._delivered - 100_000, self._now - took, self._now - took, False)
            self.model.acknowledged(newest, rate, 10_000, lost, took, 100_000, self._now)

    def go_to(self, phase: Phase) -> None:
        for _ in range(40):
            if self.model.phase is phase:
                return
            self.go(1)
        raise AssertionError(f"never in {phase}")


def test_losses_alone_change_nothing() -> None:
    rounds = Rounds()
    rounds.go(10)
    window = rounds.model.window_bytes
    rounds.go(20, lost=500)
    assert rounds.model.bandwidth == 1 * MB
    assert rounds.model.window_bytes == window


def test_a_queue_that_runs_over_although_the_pace_is_that_of_before_makes_room_for_others() -> None:
    rounds = Rounds()
    rounds.go_to(Phase.UP)
    rounds.go_to(Phase.CRUISE)
    rounds.go(1)
    rounds.go(1, took=0.14)
    rounds.go(1, took=0.14, lost=500, rate=0.9 * MB)
    assert rounds.model.bandwidth == pytest.approx(0.7 * MB)
    rounds.go(1, took=0.14, rate=0.9 * MB)  # what was measured over packets of before says nothing
    assert rounds.model.bandwidth == pytest.approx(0.7 * MB, rel=0.02)
    rounds.go(9, rate=0.7 * MB)
    assert rounds.model.phase is Phase.CRUISE, "nothing is tried for two seconds"
    rounds.go(12, rate=0.7 * MB)
    assert rounds.model.phase is not Phase.CRUISE


def test_a_probe_that_only_fills_the_queue_has_found_nothing() -> None:
    rounds = Rounds()
    rounds.go_to(Phase.UP)
    rounds.go(1, rate=1.1 * MB)
    rounds.go(1, took=0.125, lost=500, rate=1.1 * MB)
    assert rounds.model.bandwidth == 1 * MB


def test_the_usual_loss_of_a_path_is_not_taken_for_a_full_queue() -> None:
    rounds = Rounds()
    rounds.go_to(Phase.CRUISE)
    rounds.go(30, lost=400)  # four per cent
    rounds.go_to(Phase.CRUISE)
    rounds.go(1, lost=400)
    rounds.go(3, took=0.14, lost=400)
    assert rounds.model.bandwidth == 1 * MB


# ── beside others ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
@pytest.mark.parametrize(("queue", "head_start"), [(64_000, -1.0), (256_000, 0.5)])
def test_bulk_and_a_tcp_connection_leave_each_other_a_part(queue: int, head_start: float) -> None:
    """Whoever was there first: at 20 Mbit/s and 50 ms, CUBIC and ours, over half a minute."""
    clock = Clock()
    bottleneck = Bottleneck(clock, 2.5 * MB, queue)
    path = warm(Path(delay=0.025, clock=clock, bottleneck=bottleneck))
    tcp = CubicFlow(clock, bottleneck, delay=path.delay)
    began = path.received_bytes
    first, second = (tcp.start, lambda: path.send_bulk(BULK))[:: 1 if head_start > 0 else -1]
    first()
    clock.at(clock.now + abs(head_start), second)
    clock.run(30.0)
    ours = path.received_bytes - began
    share = tcp.received_bytes / (tcp.received_bytes + ours)
    assert 0.25 < share < 0.85
    assert ours + tcp.received_bytes > 30 * 2.1 * MB
    assert path.repeats <= 1.2 * path.dropped


def test_the_backlog_is_a_tenth_of_a_second_and_one_frame_at_least() -> None:
    assert limit_bytes(0.0) == MIN_LIMIT_BYTES >= 65_535
    assert limit_bytes(1 * MB) == 100_000
    assert limit_bytes(100 * MB) == MAX_LIMIT_BYTES


# ── order ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

messages = st.lists(
    st.tuples(
        st.sampled_from(Order), st.sampled_from([1, 100, 1_160, 4_000, 9_000]), st.sampled_from([0.0, 0.003, 0.2])
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip


@settings(max_examples=examples(40))
@given(messages, st.integers(0, 1_000), st.sampled_from([0.0, 0.1, 0.3]))
def test_what_may_overtake_what(sends: list[tuple[Order, int, float]], seed: int, loss: float) -> None:
    """docs/transport.md says it."""
    path = Path(delay=0.02, loss=loss, ack_loss=loss / 2, jitter=0.005, seed=seed)
    arrived: list[int] = []
    path.on_message = lambda data: arrived.append(int.from_bytes(data[:2], "big"))
    for number, (order, size, pause) in enumerate(sends):
        path.send(number.to_bytes(2, "big") + bytes(size), order)
        path.run(pause)
    path.run(120.0)
    assert sorted(arrived) == list(range(len(sends))), "each one, once"
    place = {number: at for at, number in enumerate(arrived)}
    for first, (order, _, _) in enumerate(sends):
        for later in range(first + 1, len(sends)):
            if order is Order.AHEAD or (order is Order.IN_TURN and sends[later][0] is Order.IN_TURN):
                assert place[first] < place[later]


def test_a_short_free_message_does_not_wait_for_what_is_missing() -> None:
    path = warm(Path(delay=0.05, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(3.0)
    free: list[float] = []
    path.on_message = lambda data: free.append(path.now) if data == b"free" else None
    hole = path.sender.next_tsn
    path.drops = lambda fragment: fragment.tsn == hole and fragment.sent_count == 1
    path.run(0.03)
    began = path.now
    path.send(b"free", Order.FREE)
    path.run(1.0)
    assert free[0] - began < 0.05 + len(BULK) / (1 * MB) + 0.02  # the way, and the message under way


def test_a_call_does_not_overtake_the_handshake_that_lets_it_in() -> None:
    path = warm(Path(delay=0.02))
    arrived: list[bytes] = []
    path.on_message = arrived.append
    path.drops = lambda fragment: fragment.data == b"approve" and fragment.sent_count == 1
    path.send(b"approve", Order.AHEAD)
    path.send(b"call", Order.FREE)
    path.run(1.0)
    assert arrived == [b"approve", b"call"]


# ── a hostile receiver ────────────────────────────────────────────────────────────────────────────────────────────────


def sack_body(cumulative: int, *gaps: tuple[int, int], window: int = 1 << 20) -> tuple[bytes, int, int]:
    body = wire.SACK_BODY.pack(cumulative & wire.TSN_MASK, window, len(gaps), 0)
    body += b"".join(wire.GAP.pack(*gap) for gap in gaps)
    return body, 0, len(body)


def told(path: Path, cumulative: int, *gaps: tuple[int, int], window: int = 1 << 20) -> None:
    path.sender.take_sack(*sack_body(cumulative, *gaps, window=window), path.now)
    path.pump()


def silent_path() -> Path:
    """Nothing arrives: every acknowledgement is the test's."""
    path = Path(delay=0.02, loss=1.0)
    path.send_bulk(BULK)
    return path


def test_acknowledgements_of_what_was_never_sent_change_nothing() -> None:
    path = silent_path()
    flight, sent = path.sender.flight_bytes, path.sent
    for cumulative in (FIRST_TSN + 10, FIRST_TSN + 1_000, FIRST_TSN + (1 << 31), FIRST_TSN - 2):
        told(path, cumulative)
    told(path, FIRST_TSN - 1, (11, 11), (5, 3), (0, 0))
    told(path, FIRST_TSN - 1, (2, 60_000))
    assert (path.sender.flight_bytes, path.sent) == (flight, sent)


def test_gaps_forever_do_not_make_the_sender_keep_more_and_more() -> None:
    path = silent_path()
    for _ in range(1_000):
        path.clock.now += 0.02
        span = (path.sender.next_tsn - FIRST_TSN) & wire.TSN_MASK
        told(path, FIRST_TSN - 1, (2, min(span, 65_535)))
    assert MAX_SPAN_FRAGMENTS <= span <= MAX_SPAN_FRAGMENTS + 1
    assert path.sender.unsent_bytes <= MAX_LIMIT_BYTES + len(BULK)


def test_a_window_that_shrinks_is_obeyed_and_one_packet_asks_whether_it_is_open() -> None:
    path = warm(Path(delay=0.02, rate=1 * MB))
    path.send_bulk(BULK)
    path.run(1.0)
    path.loss = 1.0
    path.run(0.05)
    last = path.sender.next_tsn - 1
    told(path, last, window=5_000)
    assert path.sender.flight_bytes <= 5_000 + wire.MAX_FRAGMENT_BYTES
    told(path, path.sender.next_tsn - 1, window=0)
    assert path.sender.flight_bytes <= wire.MAX_FRAGMENT_BYTES


def test_the_work_of_an_acknowledgement_is_what_is_new_in_it() -> None:
    """A flood of the same one, and of ones whose first run begins elsewhere each time, over a large window."""
    path = warm(Path(delay=0.1, rate=20 * MB, window=1 << 22))
    path.send_bulk(BULK)
    path.run(1.2)
    path.loss = 1.0
    path.run(0.2)
    base = path.receiver.last_tsn or 0
    span = (path.sender.next_tsn - base) & wire.TSN_MASK
    assert span > 300
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    for first in (2, 3):
        told(path, base, (first, span - 1))
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for first in range(2, 102):
            path.sender.take_sack(*sack_body(base, (first, span - 1)), path.now)
    finally:
        sys.setprofile(before)
    assert steps < 100 * 50
    assert path.sender.deadline is not None
