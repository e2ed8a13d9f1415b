"""The pure halves of SCTP: any order of chunks, any acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_outstanding import IN_FLIGHT
from myownmesh.transport.sctp_rate import INITIAL_WINDOW_BYTES
from myownmesh.transport.sctp_receiving import MAX_EARLY_CHUNKS, MAX_REPORTED_GAPS, MAX_UNORDERED_FRAGMENTS, Receiver
from myownmesh.transport.sctp_round_trip import TIMEOUT_INITIAL_SECONDS
from myownmesh.transport.sctp_sending import Sender

if TYPE_CHECKING:
    from random import Random

    from myownmesh.transport.sctp_outstanding import Fragment
    from myownmesh.transport.sctp_receiving import Message

FIRST_TSN = 0xFFFFFFF0
"""Wraps early."""


def receiver() -> Receiver:
    result = Receiver()
    result.last_tsn = (FIRST_TSN - 1) & wire.TSN_MASK
    return result


def fragments(messages: list[bytes]) -> list[tuple[int, int, bytes]]:
    """Flags, TSN and payload of every fragment, three bytes each."""
    result = []
    tsn = FIRST_TSN
    for message in messages:
        pieces = [message[i : i + 3] for i in range(0, len(message), 3)]
        for n, piece in enumerate(pieces):
            flags = wire.FLAG_FIRST * (n == 0) | wire.FLAG_LAST * (n == len(pieces) - 1)
            result.append((flags, tsn, piece))
            tsn = (tsn + 1) & wire.TSN_MASK
    return result


def read_sack(chunk: bytes) -> tuple[int, list[tuple[int, int]], int]:
    cumulative, _, gaps, duplicates = wire.SACK_BODY.unpack_from(chunk, 4)
    return cumulative, [wire.GAP.unpack_from(chunk, 16 + 4 * n) for n in range(gaps)], duplicates


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=15), st.randoms())
def test_any_order_with_repeats_gives_the_messages_and_the_gaps(messages: list[bytes], rng: Random) -> None:
    chunks = fragments(messages)
    order = chunks + chunks[: len(chunks) // 3]
    rng.shuffle(order)
    half = receiver()
    got: list[Message] = []
    seen: set[int] = set()
    for flags, tsn, payload in order:
        half.take(flags, tsn, 1, 53, payload, got)
        seen.add((tsn - FIRST_TSN) & wire.TSN_MASK)
        cumulative, gaps, _ = read_sack(half.take_sack())
        last = (cumulative - FIRST_TSN) & wire.TSN_MASK
        received = set(range(last + 1)) if last < wire.TSN_HALF else set()
        base = last if last < wire.TSN_HALF else -1
        for first, final in gaps:
            assert first <= final
            received |= set(range(base + first, base + final + 1))
        assert received == seen
    assert got == [(1, 53, message) for message in messages]
    assert half.sack_is_plain


def test_many_gaps_are_reported_up_to_the_limit() -> None:
    half = receiver()
    for n in range(2, 2 * MAX_EARLY_CHUNKS, 2):
        half.take(3, (FIRST_TSN + n) & wire.TSN_MASK, 1, 53, b"", [])
    _, gaps, _ = read_sack(half.take_sack())
    assert gaps == [(n, n) for n in range(3, 3 + 2 * MAX_REPORTED_GAPS, 2)]
    got: list[Message] = []
    for n in range(0, 2 * MAX_EARLY_CHUNKS, 2):
        half.take(3, (FIRST_TSN + n) & wire.TSN_MASK, 1, 53, b"", [])
        half.take(3, (FIRST_TSN + n + 1) & wire.TSN_MASK, 1, 53, b"again", got)
    assert len(got) >= MAX_EARLY_CHUNKS // 2  # those beyond the bound were not kept


def chunk(half: Receiver, got: list[Message], ahead: int, payload: bytes, flags: int = 3) -> None:
    half.take(flags, (FIRST_TSN - 1 + ahead) & wire.TSN_MASK, 1, 53, payload, got)


def test_a_new_gap_is_reported_at_once_and_a_standing_one_with_every_second_packet() -> None:
    half = receiver()
    due = []
    for ahead in range(2, 12):
        chunk(half, [], ahead, b"x")
        half.unacked_packets += 1
        due.append(half.sack_is_due)
        if half.sack_is_due:
            half.take_sack()
    assert due == [True] * 5 + [False, True] * 2 + [False] or due == [True] * 4 + [False, True] * 3
    chunk(half, [], 1, b"x")
    assert half.sack_is_due


def test_a_short_unordered_message_is_delivered_once_when_it_is_whole() -> None:
    half = receiver()
    got: list[Message] = []
    unordered = wire.FLAG_UNORDERED
    chunk(half, got, 5, b"c", unordered | wire.FLAG_LAST)
    chunk(half, got, 3, b"a", unordered | wire.FLAG_FIRST)
    chunk(half, got, 6, b"ordered")
    assert got == []
    chunk(half, got, 4, b"b", unordered)
    assert got == [(1, 53, b"abc")]
    assert not half.sack_is_plain
    chunk(half, got, 1, b"first")
    chunk(half, got, 2, b"second")
    assert got == [(1, 53, b"abc"), (1, 53, b"first"), (1, 53, b"second"), (1, 53, b"ordered")]
    assert half.sack_is_plain


def test_a_long_unordered_message_waits_for_its_turn() -> None:
    half = receiver()
    got: list[Message] = []
    count = MAX_UNORDERED_FRAGMENTS + 2
    for n in range(count):
        flags = wire.FLAG_UNORDERED | wire.FLAG_FIRST * (n == 0) | wire.FLAG_LAST * (n == count - 1)
        chunk(half, got, 2 + n, b"x", flags)
    assert got == []
    chunk(half, got, 1, b"first")
    assert got == [(1, 53, b"first"), (1, 53, b"x" * count)]


def test_what_the_peer_gave_up_is_skipped_and_torn_messages_with_it() -> None:
    """RFC 3758 §3.6."""
    half = receiver()
    got: list[Message] = []
    chunk(half, got, 1, b"torn", wire.FLAG_FIRST)
    chunk(half, got, 3, b"whole")
    chunk(half, got, 5, b"tail of what is missing", wire.FLAG_LAST)
    chunk(half, got, 7, b"after")
    half.skip_to((FIRST_TSN + 4) & wire.TSN_MASK, got)
    assert got == [(1, 53, b"whole")]
    half.skip_to((FIRST_TSN + 5) & wire.TSN_MASK, got)
    assert got == [(1, 53, b"whole"), (1, 53, b"after")]
    cumulative, gaps, _ = read_sack(half.take_sack())
    assert (cumulative, gaps) == ((FIRST_TSN + 6) & wire.TSN_MASK, [])
    chunk(half, got, 8, b"goes on")
    assert got[-1] == (1, 53, b"goes on")


@given(
    st.lists(st.integers(1, 30), max_size=30, unique=True),
    st.lists(st.integers(-5, 40), max_size=6),
    st.sampled_from([MAX_EARLY_CHUNKS + 1, wire.TSN_HALF, wire.TSN_MASK - 100]),
)
def test_any_skipping_keeps_the_books(arrivals: list[int], skips: list[int], absurd: int) -> None:
    half = receiver()
    got: list[Message] = []
    reached = 0
    for turn, ahead in enumerate(arrivals):
        chunk(half, got, ahead, b"%d" % ahead)
        if turn < len(skips):
            half.skip_to((FIRST_TSN - 1 + skips[turn]) & wire.TSN_MASK, got)
            reached = max(reached, skips[turn])
        before = half.last_tsn
        assert before is not None
        half.skip_to((before + absurd) & wire.TSN_MASK, got)
        assert half.last_tsn == before
    cumulative, gaps, _ = read_sack(half.take_sack())
    at = (cumulative - FIRST_TSN + 1) & wire.TSN_MASK
    assert at >= reached
    here = {n for n in arrivals if n > at}
    assert {at + n for first, final in gaps for n in range(first, final + 1)} == here
    numbers = [int(data) for _, _, data in got]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(arrivals)


def test_nothing_is_received_before_the_peer_has_introduced_itself() -> None:
    half = Receiver()
    got: list[Message] = []
    half.take(3, 1, 1, 53, b"x", got)
    assert not got


def sack(cumulative: int, *gaps: tuple[int, int], window: int = 1 << 20) -> bytes:
    body = wire.SACK_BODY.pack(cumulative & wire.TSN_MASK, window, len(gaps), 0)
    return body + b"".join(wire.GAP.pack(*gap) for gap in gaps)


class Out:
    def __init__(self) -> None:
        self.fragments: list[Fragment] = []
        self.sender = Sender(FIRST_TSN, self.fragments.append)
        self.now = 0.0

    def take(self, body: bytes) -> None:
        self.now += 0.01
        self.sender.take_sack(body, 0, len(body), self.now)
        self.sender.pump(self.now)

    def time_out(self) -> None:
        while self.sender.flight_bytes:
            self.now += 0.1
            self.sender.wake(self.now)
        self.sender.pump(self.now)


def test_the_first_window() -> None:
    out = Out()
    out.sender.queue(53, bytes(20 * wire.MAX_FRAGMENT_BYTES))
    out.sender.pump(0.0)
    out.sender.pump(0.0)
    assert len(out.fragments) == INITIAL_WINDOW_BYTES // wire.MAX_FRAGMENT_BYTES
    assert out.sender.unsent_bytes == 10 * wire.MAX_FRAGMENT_BYTES
    assert [fragment.tsn for fragment in out.fragments[:2]] == [FIRST_TSN, FIRST_TSN + 1]


def test_a_timeout_repeats_everything_and_backs_off() -> None:
    out = Out()
    out.sender.queue(53, bytes(3 * wire.MAX_FRAGMENT_BYTES))
    out.sender.pump(0.0)
    before = out.sender.deadline
    assert before == TIMEOUT_INITIAL_SECONDS
    out.sender.wake(before)
    out.sender.pump(5.0)
    assert out.sender.flight_bytes == wire.MAX_FRAGMENT_BYTES  # one packet tells whether there is a path
    assert out.sender.deadline == 5.0 + 2 * before


def test_a_closed_window_is_probed_with_one_packet() -> None:
    out = Out()
    out.sender.queue(53, b"first")
    out.sender.pump(0.0)
    out.take(sack(FIRST_TSN, window=0))
    out.sender.queue(53, bytes(5_000))
    out.sender.pump(1.0)
    assert len(out.fragments) == 2


@given(
    st.lists(
        st.tuples(
            st.integers(-3, 40), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6), st.booleans()
        ),
        max_size=30,
    )
)
def test_any_acknowledgements_keep_the_books(steps: list[tuple[int, list[tuple[int, int]], bool]]) -> None:
    out = Out()
    for _ in range(8):
        out.sender.queue(53, bytes(5 * wire.MAX_FRAGMENT_BYTES))
    out.sender.pump(0.0)
    sender = out.sender
    done = 0
    for cumulative, gaps, time_out in steps:
        if time_out:
            out.time_out()
        sent = len({fragment.tsn for fragment in out.fragments})
        if done < cumulative + 1 <= sent:
            done = cumulative + 1
        out.take(sack(FIRST_TSN + cumulative, *gaps))
        outstanding = list({fragment.tsn: fragment for fragment in out.fragments}.values())[done:]
        assert sender.flight_bytes == sum(f.size for f in outstanding if f.state == IN_FLIGHT)
        assert sender.window_bytes >= wire.MAX_FRAGMENT_BYTES
        assert sender.deadline is not None or done == 40
    while sender.deadline is not None:
        out.now += 1.0
        sender.pump(out.now)
        out.take(sack(max(f.number for f in out.fragments)))
    assert sender.flight_bytes == 0
    assert len({fragment.tsn for fragment in out.fragments}) == 40
