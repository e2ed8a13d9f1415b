"""Reliable channels: in order, once, acknowledged, over however many links that takes (spec 01 §13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine import routing
from myownmesh.engine.actions import Deliver, SendDone, SendReliable
from myownmesh.engine.errors import EngineError
from myownmesh.engine.outbox import DEFAULT_TTL_S, OUTBOX_FRAMES, OUTBOXES_BYTES, Outbox
from myownmesh.engine.peer import Live
from myownmesh.engine.timers import NetworkTimer
from myownmesh.engine.timing import STATE_WATCH_S
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL
from myownmesh.protocol.frames import Channel, ChannelAck, ChannelSeq

if TYPE_CHECKING:
    from mesh_common.views import DropReason
    from myownmesh.engine.core import Core
    from myownmesh.engine.outbox import Entry
    from myownmesh.protocol.clock import Instant

FEATURE: Final = "reliable_channels_v1"
_U64_MAX: Final = 2**64 - 1

_ENDED_ON_PURPOSE: Final = {
    "denied": "Denied",
    "auth_failed": "AuthFailed",
    "user_left": "UserLeft",
    "topology_pruned": "TopologyPruned",
}
"""After these nobody expects the peer back; the words are the reference's."""


# ── receiving ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def receive(core: Core, peer: Live, frame: ChannelSeq, now: Instant) -> None:
    """Deliver what is above the mark, acknowledge always.

    The mark outlives links, or a repeat after a rebuild would come twice. Gaps are legal: an entry may have expired at
    the sender. Only one stream is remembered per peer.
    """
    memory = core.memories.of(peer.device_id)
    if frame.stream != memory.stream:
        memory.stream, memory.last_seq = frame.stream, 0
    if frame.seq > memory.last_seq:
        memory.last_seq = frame.seq
        if frame.channel == RELAY_CHANNEL:
            routing.receive(core, peer, Channel(frame.channel, frame.payload), now)
        else:
            core.out.append(Deliver(peer.device_id, peer.epoch, frame))
    core.send(peer, ChannelAck(stream=frame.stream, up_to=memory.last_seq), now)


# ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def send(core: Core, device_id: str, frame: Channel, ttl_s: float, ticket: int, now: Instant) -> None:
    """Keep a frame until the peer has it; `SendDone(ticket, …)` follows. The peer need not be known.

    Raises `EngineError` when too much waits already and for whom signed governance has put out, `FrameTooLarge` for
    what no link could take.
    """
    if core.is_evicted(device_id):
        raise EngineError(_abandoned(device_id, "denied"))
    size = len(encode_frame(ChannelSeq(_U64_MAX, _U64_MAX, frame.channel, frame.payload)))
    box = core.outboxes.get(device_id)
    if box is None:
        box = Outbox(int.from_bytes(core.rng.randbytes(8), "little") | 1)
    if not box.has_room(size):
        held = f"{OUTBOX_FRAMES} frames" if len(box.entries) >= OUTBOX_FRAMES else f"{box.nbytes} bytes"
        raise EngineError(f"transport: reliable outbox for {device_id} is full ({held} pending)")
    if sum(each.nbytes for each in core.outboxes.values()) + size > OUTBOXES_BYTES:
        raise EngineError(f"transport: reliable outbox for {device_id} is full (too much pending for other peers)")
    core.outboxes[device_id] = box
    box.add(frame.channel, frame.payload, ticket, now.mono + (ttl_s or DEFAULT_TTL_S), size)
    flush(core, device_id, now)
    if not core.timers.is_set(NetworkTimer.OUTBOX, ""):
        core.timers.set(NetworkTimer.OUTBOX, "", now.mono + STATE_WATCH_S)


def flush(core: Core, device_id: str, now: Instant) -> None:
    """Give the link the next frame. Only one is on its way to it: whatever fails, none behind it has left before."""
    box, peer = core.outboxes.get(device_id), core.peers.get(device_id)
    if box is None or box.leaving is not None or not isinstance(peer, Live):
        return
    entry = box.next_unsent()
    if entry is not None:
        _leave(core, peer, box, entry)


def left(core: Core, peer: Live, seq: int, now: Instant, *, was_taken: bool) -> None:
    """The link took the frame, or did not; then it is tried again at the next tick."""
    box = core.outboxes.get(peer.device_id)
    if box is None or box.leaving != seq:
        return
    box.leaving = None
    entry = box.find(seq)
    if was_taken and entry is not None:
        if peer.takes(FEATURE):
            entry.is_sent = True
            entry.resend_at = now.mono + entry.resend_after_s
            entry.resend_after_s *= 2
        else:
            box.remove(entry)
            _done(core, entry, None)
    if was_taken:
        flush(core, peer.device_id, now)
    _sweep(core, peer.device_id)


def receive_ack(core: Core, peer: Live, frame: ChannelAck) -> None:
    """The peer has everything up to there. Acknowledgements of other streams are late, or lies."""
    box = core.outboxes.get(peer.device_id)
    if box is not None and box.stream == frame.stream:
        for entry in box.acknowledged(frame.up_to):
            _done(core, entry, None)
        _sweep(core, peer.device_id)


def look(core: Core, now: Instant) -> None:
    """The tick: what nobody waits for goes, what did not leave is tried again, what is not acknowledged repeated."""
    for device_id, box in list(core.outboxes.items()):
        for entry in box.expired(now.mono):
            _done(core, entry, f"transport: reliable send to {device_id} expired before delivery")
        _sweep(core, device_id)
        flush(core, device_id, now)
        _repeat(core, device_id, box, now)
    if core.outboxes:
        core.timers.set(NetworkTimer.OUTBOX, "", now.mono + STATE_WATCH_S)


def link_ended(core: Core, device_id: str, reason: DropReason) -> None:
    """After a loss everything leaves anew over the next link; a peer that was ended on purpose gets nothing more."""
    box = core.outboxes.get(device_id)
    if box is None:
        return
    if reason.kind not in _ENDED_ON_PURPOSE:
        box.unsend()
        return
    _abandon(core, device_id, _abandoned(device_id, reason.kind))


def shut_down(core: Core, text: str) -> None:
    for device_id in list(core.outboxes):
        _abandon(core, device_id, text)


# ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _leave(core: Core, peer: Live, box: Outbox, entry: Entry) -> None:
    frame: Channel | ChannelSeq = Channel(entry.channel, entry.payload)
    if peer.takes(FEATURE):
        frame = ChannelSeq(box.stream, entry.seq, entry.channel, entry.payload)
    box.leaving = entry.seq
    core.out.append(SendReliable(peer.device_id, peer.epoch, frame.KIND, encode_frame(frame), entry.seq))


def _repeat(core: Core, device_id: str, box: Outbox, now: Instant) -> None:
    """An acknowledgement may have got lost. Those are cumulative, so one repeat brings all of them."""
    peer = core.peers.get(device_id)
    if not isinstance(peer, Live) or box.leaving is not None or not box.entries:
        return
    first = box.entries[0]
    if first.is_sent and now.mono >= first.resend_at:
        _leave(core, peer, box, first)


def _abandoned(device_id: str, kind: str) -> str:
    return f"transport: reliable send to {device_id} abandoned: {_ENDED_ON_PURPOSE[kind]}"


def _abandon(core: Core, device_id: str, text: str) -> None:
    for entry in core.outboxes.pop(device_id).entries:
        _done(core, entry, text)


def _sweep(core: Core, device_id: str) -> None:
    if not core.outboxes[device_id].entries:
        del core.outboxes[device_id]


def _done(core: Core, entry: Entry, error: str | None) -> None:
    core.out.append(SendDone(entry.ticket, error))
