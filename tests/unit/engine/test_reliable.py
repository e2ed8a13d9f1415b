"""Reliable channels, both halves (spec 01 §13; vectors: peer-protocol.json `reliable`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from myownmesh.engine import EngineConfig, EngineError, FrameTooLarge
from myownmesh.engine.actions import SendDone, SendReliable
from myownmesh.engine.links import ChannelClosed
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL, Routed, wrapped
from myownmesh.protocol.frames import Approve, Channel, ChannelAck, ChannelSeq, Deny
from support.vectors import load
from unit.engine.bench import Bench

if TYPE_CHECKING:
    from myownmesh.protocol.frames import Frame

TRACES: list[dict[str, Any]] = load("peer-protocol", "reliable")["receiver_traces"]


def frame(stream: int, seq: int) -> ChannelSeq:
    return ChannelSeq(stream=stream, seq=seq, channel="c", payload=msgspec.Raw(b"1"))


@pytest.mark.parametrize("trace", TRACES)
def test_receiver(trace: dict[str, Any]) -> None:
    bench = Bench("lower").up_to("active")
    for step in trace["steps"]:
        bench.delivered.clear()
        assert bench.frame(frame(step["stream"], step["seq"])) == ["channel_ack"]
        assert bench.frames[-1] == ChannelAck(stream=step["ack"]["stream"], up_to=step["ack"]["up_to"])
        assert bench.delivered == ([frame(step["stream"], step["seq"])] if step["deliver"] else [])


def test_the_mark_outlives_the_link() -> None:
    """After a rebuild the sender repeats what it never saw acknowledged."""
    bench = Bench("higher", EngineConfig(auto_approve=True)).up_to("active")
    bench.frame(frame(2**64 - 1, 2**63))
    bench.event(ChannelClosed("lost"))
    bench.offer("B2")
    bench.up_to("active")
    bench.delivered.clear()
    assert bench.frame(frame(2**64 - 1, 2**63)) == ["channel_ack"]
    assert bench.delivered == []


# ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────────

SENDER: dict[str, Any] = load("peer-protocol", "reliable")


class Sender:
    """A bench whose link takes what it is told to, and what became of each send."""

    def __init__(self, stage: str = "active", *, takes: bool = True) -> None:
        self.bench = Bench("lower")
        self.takes = takes
        self.left: list[Frame] = []
        self.done: dict[int, str | None] = {}
        self._tickets = self._seen = 0
        if stage == "active":
            self.bench.up_to("active")
        self.look()

    def send(self, body: bytes = b"1", ttl_s: float = 0.0, peer: str = "") -> int:
        self._tickets += 1
        frame = Channel("c", msgspec.Raw(body))
        to = peer or self.bench.peer_id
        self.bench.engine.send_reliable(to, frame, ttl_s, self._tickets, self.bench.now)
        self.look()
        return self._tickets

    def look(self) -> None:
        """Carry out what the engine wants of reliable frames, as a switch does."""
        self.bench.collect()
        while self._seen < len(self.bench.actions):
            each = self.bench.actions[self._seen]
            self._seen += 1
            match each:
                case SendDone(ticket, error):
                    assert ticket not in self.done, "told twice"
                    self.done[ticket] = error
                case SendReliable(data=data):
                    if self.takes:
                        self.left.append(decode_frame(data))
                    self.bench.engine.reliable_left(each, self.bench.now, taken=self.takes)
                    self.bench.collect()
                case _:
                    pass

    def frame(self, item: Frame) -> None:
        self.bench.engine.receive_frame(self.bench.peer_id, self.bench.epoch, encode_frame(item), self.bench.now)
        self.look()

    def ack(self, up_to: int, *, stream: int | None = None) -> None:
        last = self.left[-1]
        assert isinstance(last, ChannelSeq)
        self.frame(ChannelAck(stream=last.stream if stream is None else stream, up_to=up_to))

    def wait(self, seconds: float) -> None:
        end = self.bench.mono + seconds
        while (timer := self.bench.engine.next_timer()) is not None and timer <= end:
            self.bench.mono = max(timer, self.bench.mono)
            self.bench.engine.handle_timer(self.bench.now)
            self.look()
        self.bench.mono = end

    @property
    def seqs(self) -> list[int]:
        return [each.seq for each in self.left if isinstance(each, ChannelSeq)]

    @property
    def error(self) -> str:
        """Of the one send."""
        [error] = self.done.values()
        assert error is not None
        return error.replace(self.bench.peer_id, "P")


def test_frames_leave_in_order_and_an_acknowledgement_tells_up_to_where_they_are() -> None:
    sender = Sender()
    tickets = [sender.send() for _ in range(3)]
    assert sender.seqs == [1, 2, 3]
    assert sender.bench.engine.traffic.reliable_pending == 3
    [stream] = {each.stream for each in sender.left if isinstance(each, ChannelSeq)}
    assert stream % 2 == 1
    sender.ack(2)
    assert sender.done == dict.fromkeys(tickets[:2])
    assert sender.bench.engine.traffic.reliable_pending == 1
    sender.ack(3)
    assert sender.done == dict.fromkeys(tickets)
    sender.ack(3, stream=stream)
    sender.send()
    assert sender.seqs == [1, 2, 3, 1], "an empty outbox is gone, and the next one is another stream"
    last = sender.left[-1]
    assert isinstance(last, ChannelSeq)
    assert last.stream != stream


@pytest.mark.parametrize("case", [case for case in SENDER["sender_cases"] if "ack" in case], ids=str)
def test_sender_vectors(case: dict[str, Any]) -> None:
    sender = Sender()
    for _ in range(max(case["queued"])):
        sender.send()
    if 1 not in case["queued"]:
        sender.ack(1)
    before = set(sender.done)
    sender.ack(case["ack"]["up_to"], stream=None if case["ack"]["stream"] == "same" else 7)
    assert sorted(set(sender.done) - before) == case["resolved"]


def test_acknowledgements_of_other_streams_and_of_what_never_left_mean_nothing() -> None:
    sender = Sender()
    sender.send()
    sender.ack(1, stream=4)
    assert sender.done == {}
    sender.takes = False
    held = sender.send()
    sender.ack(2**64 - 1)
    assert sender.done == {1: None}
    sender.takes = True
    sender.wait(2.1)
    sender.ack(2)
    assert sender.done == {1: None, held: None}
    quiet = Sender()
    quiet.frame(ChannelAck(stream=1, up_to=1))
    assert quiet.done == {}


def test_a_peer_that_is_not_there_gets_it_when_it_comes() -> None:
    sender = Sender("nobody")
    ticket = sender.send()
    assert sender.left == []
    sender.bench.up_to("active")
    sender.wait(2.1)
    sender.ack(1)
    assert sender.done == {ticket: None}


def test_what_was_under_way_leaves_again_over_the_next_link_with_the_same_number() -> None:
    sender = Sender()
    ticket = sender.send(ttl_s=600.0)
    sender.send(ttl_s=600.0)
    sender.bench.event(ChannelClosed("lost"))
    sender.look()
    assert sender.done == {}
    sender.bench.up_to("active")
    sender.wait(2.1)
    assert sender.seqs == [1, 2, 1, 2]
    assert len({each.stream for each in sender.left if isinstance(each, ChannelSeq)}) == 1
    sender.ack(2)
    assert sender.done == {ticket: None, ticket + 1: None}


def test_a_report_of_the_former_link_counts_for_nothing() -> None:
    sender = Sender()
    sender.takes = False
    sender.send(ttl_s=600.0)
    bench = sender.bench
    for peer, epoch in ((bench.peer_id, bench.epoch), (bench.peer_id, bench.epoch - 1), ("nobody", 0)):
        order = SendReliable(peer, epoch, "channel_seq", b"{}", 1)
        bench.engine.reliable_left(order, bench.now, taken=True)
    sender.look()
    assert sender.left == []


def test_a_lost_acknowledgement_is_asked_for_again_inside_a_living_link() -> None:
    """Acknowledgements are cumulative, so one repeat is enough, ever more seldom."""
    sender = Sender()
    for _ in range(3):
        sender.send(ttl_s=100.0)
    sender.wait(4.0)
    assert sender.seqs == [1, 2, 3]
    sender.wait(3.0)
    assert sender.seqs == [1, 2, 3, 1]
    sender.wait(8.0)
    assert sender.seqs == [1, 2, 3, 1]
    sender.wait(4.0)
    assert sender.seqs == [1, 2, 3, 1, 1]
    sender.ack(3)
    assert len(sender.done) == 3


def test_a_frame_that_its_link_does_not_take_is_tried_again_and_none_overtakes_it() -> None:
    sender = Sender()
    sender.takes = False
    sender.send()
    sender.send()
    assert sender.left == []
    sender.takes = True
    sender.wait(2.1)
    assert sender.seqs == [1, 2]


def test_what_does_not_arrive_in_time_expires_and_blocks_nobody() -> None:
    sender = Sender()
    sender.takes = False
    sender.send(ttl_s=1.0)
    late = sender.send(ttl_s=30.0)
    sender.wait(2.1)
    assert sender.error == "transport: reliable send to P expired before delivery"
    sender.takes = True
    sender.wait(2.1)
    assert sender.seqs == [2], "gaps are legal"
    sender.ack(2)
    assert sender.done[late] is None
    alone = Sender("nobody")
    alone.send()
    alone.wait(59.0)
    assert alone.done == {}
    alone.wait(3.1)
    assert alone.error.endswith("expired before delivery")


def test_an_entry_that_expires_while_it_leaves_is_not_missed() -> None:
    sender = Sender()
    bench = sender.bench
    bench.engine.send_reliable(bench.peer_id, Channel("c", msgspec.Raw(b"1")), 1.0, 1, bench.now)
    bench.engine.send_reliable(bench.peer_id, Channel("c", msgspec.Raw(b"2")), 90.0, 2, bench.now)
    bench.collect()  # the link has not answered yet
    bench.mono += 2.1
    bench.engine.handle_timer(bench.now)
    sender.look()
    assert sender.seqs == [1, 2]
    assert list(sender.done) == [1]


@pytest.mark.parametrize(
    ("end", "word"), [(Deny(), "Denied"), ("remove", "Denied"), ("leave", "UserLeft")], ids=lambda each: str(each)[:6]
)
def test_a_peer_that_was_ended_on_purpose_gets_nothing_more(end: Any, word: str) -> None:
    sender = Sender()
    sender.send(ttl_s=600.0)
    match end:
        case "remove":
            sender.bench.engine.remove(sender.bench.peer_id, sender.bench.now)
        case "leave":
            sender.bench.leave()
            sender.bench.event(ChannelClosed("left"))
        case _:
            sender.bench.frame(end)
    sender.look()
    assert sender.error == f"transport: reliable send to P abandoned: {word}"


def test_the_end_of_the_network_ends_every_send() -> None:
    sender = Sender()
    sender.send(ttl_s=600.0)
    sender.send(ttl_s=600.0, peer="far")
    sender.bench.engine.leave(sender.bench.now)
    sender.look()
    assert set(sender.done.values()) == {"network: network shut down"}
    with pytest.raises(EngineError):
        sender.send()


def test_an_older_peer_gets_plain_frames_and_sent_is_all_that_is_known() -> None:
    sender = Sender("nobody")
    bench = sender.bench
    bench.up_to("handshaking")
    bench.hello(features=())
    bench.proof()
    bench.approve()
    bench.frame(Approve())
    tickets = [sender.send(), sender.send()]
    assert sender.left == [Channel("c", msgspec.Raw(b"1"))] * 2
    assert sender.done == dict.fromkeys(tickets)


def test_frames_and_bytes_are_bounded_for_a_peer_and_for_all() -> None:
    sender = Sender("nobody")
    for _ in range(SENDER["constants"]["outbox_cap"]):
        sender.send()
    with pytest.raises(EngineError) as refused:
        sender.send()
    assert str(refused.value).replace(sender.bench.peer_id, "P") == (
        "transport: reliable outbox for P is full (256 frames pending)"
    )
    large = b'"' + b"x" * 65_000 + b'"'
    for _ in range(64):
        sender.send(large, peer="far")
    with pytest.raises(EngineError, match=r"is full \(\d+ bytes pending\)$"):
        sender.send(large, peer="far")

    def flood() -> None:
        for number in range(2000):
            sender.send(large, peer=f"far{number // 60}")

    with pytest.raises(EngineError, match="too much pending for other peers"):
        flood()
    assert len(sender.bench.engine.peers(sender.bench.now)) == 0, "nobody is listed for being written to"


def test_what_no_link_could_take_is_refused_at_once() -> None:
    sender = Sender()
    with pytest.raises(FrameTooLarge):
        sender.send(b'"' + b"x" * 65_535 + b'"')
    assert sender.done == {}
    sender.send()
    assert sender.seqs == [1]


def test_a_frame_on_the_relay_channel_is_an_envelope_here_too() -> None:
    bench = Bench("lower").up_to("active")
    envelope = wrapped(Routed(bench.us.device_id, "", "c", msgspec.Raw(b"1"), 3, 9))
    sealed = ChannelSeq(stream=1, seq=1, channel=RELAY_CHANNEL, payload=envelope.payload)
    assert bench.frame(sealed) == ["channel_ack"]
    assert bench.delivered == [Channel("c", msgspec.Raw(b"1"))]
