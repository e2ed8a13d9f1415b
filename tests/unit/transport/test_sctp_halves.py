"""The pure halves of SCTP: any order of chunks, any acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_receiving import MAX_EARLY_CHUNKS, MAX_REPORTED_GAPS, Receiver
from myownmesh.transport.sctp_sending import INITIAL_WINDOW_BYTES, Sender

if TYPE_CHECKING:
    from random import Random

    from myownmesh.transport.sctp_receiving import Message
    from myownmesh.transport.sctp_sending import Fragment

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


def test_the_first_burst_and_the_window() -> None:
    out = Out()
    out.sender.queue(53, bytes(20 * wire.MAX_FRAGMENT_BYTES))
    out.sender.pump(0.0)
    assert len(out.fragments) == 4  # a burst
    out.sender.pump(0.0)
    out.sender.pump(0.0)
    out.sender.pump(0.0)
    assert len(out.fragments) == INITIAL_WINDOW_BYTES // wire.MAX_FRAGMENT_BYTES
    assert out.sender.unsent_bytes == 10 * wire.MAX_FRAGMENT_BYTES
    assert [fragment.tsn for fragment in out.fragments[:2]] == [FIRST_TSN, FIRST_TSN + 1]


def test_three_reports_of_a_gap_repeat_the_fragment_once() -> None:
    out = Out()
    out.sender.queue(53, bytes(9 * wire.MAX_FRAGMENT_BYTES))
    for _ in range(3):
        out.sender.pump(0.0)
    assert len(out.fragments) == 9
    for final in (2, 3, 4, 5, 6):
        out.take(sack(FIRST_TSN - 1, (2, final)))
    repeats = out.fragments[9:]
    assert [fragment.tsn for fragment in repeats] == [FIRST_TSN]
    assert repeats[0].sent_count == 2
    out.take(sack(FIRST_TSN + 8))
    assert not out.sender.is_waiting
    assert out.sender.flight_bytes == 0


def test_a_timeout_repeats_everything_and_backs_off() -> None:
    out = Out()
    out.sender.queue(53, bytes(3 * wire.MAX_FRAGMENT_BYTES))
    out.sender.pump(0.0)
    before = out.sender.timeout_seconds
    assert out.sender.deadline == before
    out.sender.time_out()
    out.sender.pump(5.0)
    assert out.sender.timeout_seconds == 2 * before
    assert out.sender.flight_bytes == wire.MAX_FRAGMENT_BYTES  # the window is one packet now
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
            sender.time_out()
        sent = len({fragment.tsn for fragment in out.fragments})
        if done < cumulative + 1 <= sent:
            done = cumulative + 1
        out.take(sack(FIRST_TSN + cumulative, *gaps))
        outstanding = list({fragment.tsn: fragment for fragment in out.fragments}.values())[done:]
        assert sender.flight_bytes == sum(len(f.data) for f in outstanding if f.in_flight)
        assert sender.window_bytes >= wire.MAX_FRAGMENT_BYTES
        assert all(not (f.acked and f.in_flight) for f in outstanding)
    while sender.is_waiting or sender.unsent_bytes:
        sender.time_out()
        sender.pump(out.now)
        out.take(sack(max(f.tsn - FIRST_TSN & wire.TSN_MASK for f in out.fragments) + FIRST_TSN))
    assert sender.flight_bytes == 0
    assert len({fragment.tsn for fragment in out.fragments}) == 40
