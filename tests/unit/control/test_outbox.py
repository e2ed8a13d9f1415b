from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from myownmesh.control.answers import trace_lagged
from myownmesh.control.outbox import MAX_DIRECT_BYTES, MAX_DIRECT_FRAMES, MAX_EVENTS, MAX_RECORDS, Outbox
from support.vectors import load


def event(number: int) -> bytes:
    return b'{"kind":"event","event":%d}\n' % number


def frames(data: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in data.splitlines()]


def test_a_reader_that_keeps_up_gets_everything_in_order() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.add_event(event(number))
    assert [frame["event"] for frame in frames(outbox.take(10**6))] == [0, 1, 2, 3, 4]
    assert not outbox


def test_missed_events_are_counted_where_they_are_missing() -> None:
    outbox = Outbox()
    for number in range(MAX_EVENTS + 7):
        outbox.add_event(event(number))
    seen = frames(outbox.take(10**6))
    assert seen[0] == {"kind": "lagged", "skipped": 7}
    assert [frame["event"] for frame in seen[1:]] == list(range(7, MAX_EVENTS + 7))


@given(st.lists(st.integers(0, 400), max_size=8))
def test_received_plus_skipped_is_sent(bursts: list[int]) -> None:
    outbox = Outbox()
    sent = received = skipped = 0
    for burst in bursts:
        for _ in range(burst):
            outbox.add_event(event(sent))
            sent += 1
        for frame in frames(outbox.take(3000)):
            if frame["kind"] == "lagged":
                skipped += int(str(frame["skipped"]))
            else:
                assert frame["event"] == received + skipped, "in order, the gap where the frame said it is"
                received += 1
    while outbox:
        for frame in frames(outbox.take(1)):
            if frame["kind"] == "lagged":
                skipped += int(str(frame["skipped"]))
            else:
                received += 1
    assert received + skipped == sent


def test_frames_of_a_client_and_events_take_turns() -> None:
    outbox = Outbox()
    for number in range(100):
        assert outbox.add_direct(b'{"kind":"channel_inbound"}\n')
        outbox.add_event(event(number))
    first = frames(outbox.take(400))
    assert {frame["kind"] for frame in first} == {"channel_inbound", "event"}


def test_a_client_that_never_reads_is_given_up() -> None:
    outbox = Outbox()
    big = b"x" * (MAX_DIRECT_BYTES // 4)
    assert [outbox.add_direct(big) for _ in range(5)] == [True] * 4 + [False]
    outbox = Outbox()
    assert all(outbox.add_direct(b"x") for _ in range(MAX_DIRECT_FRAMES))
    assert not outbox.add_direct(b"x")


def test_one_piece_holds_at_least_one_line() -> None:
    outbox = Outbox()
    outbox.add_direct(b"x" * 1000 + b"\n")
    assert len(outbox.take(1)) == 1001
    assert outbox.take(1) == b""


def test_a_trace_keeps_more_and_counts_in_its_own_words() -> None:
    """Spec 05 §10.4: 512 records of a network, then a bare `lagged` line."""
    outbox = Outbox(MAX_RECORDS, trace_lagged)
    for number in range(MAX_RECORDS + 7):
        outbox.add_event(b"%d\n" % number)
    lines = outbox.take(1 << 20).split(b"\n")
    assert lines[0] == json.dumps(load("control-socket", "conn_trace")["lag_marker"], separators=(",", ":")).encode()
    assert lines[1:3] == [b"7", b"8"]
