"""The way in for frames: the admission gate and what lies behind it (spec 01 §5).

This is the hot path. A frame of an admitted peer's application costs the decoding, a few stamps and one action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine import approval, gossip, handshake, keepalive, lifecycle, reliable, roster_sync, shelving
from myownmesh.engine.actions import Deliver
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.events import PeerCapabilitiesChanged
from myownmesh.engine.limits import MAX_EARLY_FRAMES, MAX_THROTTLED_FRAMES, THROTTLE_WINDOW_S, is_power_of_two
from myownmesh.engine.peer import STEADY
from myownmesh.protocol.codec import MalformedFrame, decode_frame
from myownmesh.protocol.frames import (
    Approve,
    AuthResponse,
    CapabilitiesUpdate,
    Channel,
    ChannelAck,
    ChannelSeq,
    Deny,
    Hello,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    Ping,
    Pong,
    RosterEntries,
    RosterRequest,
    RosterSummary,
    RpcRequest,
    RpcResponse,
    RpcStreamChunk,
    RpcStreamEnd,
    Shelve,
    UnknownFrame,
    Unshelve,
)
from myownmesh.protocol.limits import MAX_INBOUND_BYTES
from myownmesh.protocol.views import DropReason

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame

APPLICATION: Final[frozenset[type[Frame]]] = frozenset({RpcRequest, RpcResponse, RpcStreamChunk, RpcStreamEnd, Channel})
"""Frames that are passed on."""

FLOODED: Final = DropReason("transport_error", "too many control frames")


def receive(core: Core, peer: Peer, data: bytes, now: Instant) -> None:
    """Take one message of a peer's data channel. Never raises for what is in it."""
    nbytes = len(data)
    if not 0 < nbytes <= MAX_INBOUND_BYTES:
        return
    if not peer.channel_open:
        if len(peer.handshake.early_frames) < MAX_EARLY_FRAMES:
            peer.handshake.early_frames.append(data)
        return
    try:
        frame = decode_frame(data)
    except MalformedFrame as error:
        _refuse_malformed(core, peer, str(error), now)
        return
    if peer.admitted:
        peer.last_recv = now.mono
        peer.frames_in += 1
        peer.bytes_in += nbytes
        if peer.tier is not STEADY:
            peer.tier = STEADY
        core.traffic.received(frame.KIND, nbytes)
        if type(frame) in APPLICATION:
            core.out.append(Deliver(peer.device_id, peer.epoch, frame))
        elif isinstance(frame, ChannelSeq):
            reliable.receive(core, peer, frame, now)
        elif _within_budget(core, peer, now):
            _dispatch(core, peer, frame, now)
    elif frame.GATED:
        _refuse_unadmitted(core, peer, frame, now)
    elif _within_budget(core, peer, now):
        peer.last_recv = now.mono
        peer.frames_in += 1
        peer.bytes_in += nbytes
        core.traffic.received(frame.KIND, nbytes)
        _dispatch(core, peer, frame, now)


def replay_early(core: Core, peer: Peer, now: Instant) -> None:
    """The channel's open event is here: what came before it counts now."""
    frames, peer.handshake.early_frames = peer.handshake.early_frames, []
    for data in frames:
        if core.peers.get(peer.device_id) is not peer:
            return
        receive(core, peer, data, now)


def _dispatch(core: Core, peer: Peer, frame: Frame, now: Instant) -> None:
    match frame:
        case Hello():
            handshake.receive_hello(core, peer, frame, now)
        case AuthResponse():
            handshake.receive_proof(core, peer, frame, now)
        case Approve():
            approval.receive_approve(core, peer, now)
        case Deny():
            handshake.receive_deny(core, peer, frame, now)
        case Ping():
            keepalive.receive_ping(core, peer, frame, now)
        case Pong():
            keepalive.receive_pong(peer, frame, now)
        case Shelve():
            shelving.receive_shelve(core, peer, frame)
        case Unshelve():
            shelving.receive_unshelve(core, peer)
        case CapabilitiesUpdate():
            peer.capabilities = frame.capabilities
            core.emit(PeerCapabilitiesChanged(core.network_id, peer.device_id, frame.capabilities))
        case RosterSummary():
            roster_sync.receive_summary(core, peer, frame, now)
        case RosterRequest():
            gossip.answer_request(core, peer, now)
        case RosterEntries():
            roster_sync.receive_entries(core, peer, frame, now)
        case NetworkState():
            roster_sync.receive_state(core, peer, frame, now)
        case RpcRequest() | RpcResponse() | RpcStreamChunk() | RpcStreamEnd() | Channel():
            core.out.append(Deliver(peer.device_id, peer.epoch, frame))
        case ChannelSeq():
            reliable.receive(core, peer, frame, now)
        case ChannelAck():
            pass  # we send nothing that would be acknowledged
        case NetworkStatePropose() | NetworkStateAck() | NetworkStateSplit():
            pass  # signed governance is not kept here
        case UnknownFrame():
            pass
        case _:
            raise AssertionError(f"the engine has no place for {frame.KIND}")  # the totality test feeds it every kind


def _refuse_unadmitted(core: Core, peer: Peer, frame: Frame, now: Instant) -> None:
    """Nothing but its own counter may change for a frame that comes too early."""
    peer.rejected += 1
    if is_power_of_two(peer.rejected):
        name = frame.kind if isinstance(frame, UnknownFrame) else frame.KIND
        core.diag(
            now,
            "warn",
            "auth",
            f"refused a {name[:64]} frame of {short_id(peer.device_id)} before its admission",
            {"peer": peer.device_id, "count": peer.rejected},
        )
    _within_budget(core, peer, now)


def _refuse_malformed(core: Core, peer: Peer, why: str, now: Instant) -> None:
    peer.malformed += 1
    if is_power_of_two(peer.malformed):
        core.diag(
            now,
            "warn",
            "transport",
            f"{short_id(peer.device_id)} sent a malformed frame",
            {"peer": peer.device_id, "count": peer.malformed, "error": why[:200]},
        )
    _within_budget(core, peer, now)


def _within_budget(core: Core, peer: Peer, now: Instant) -> bool:
    """Spend one control frame; a peer that goes on far above the rate loses its link."""
    if peer.budget(now.mono).take(now.mono):
        return True
    if now.mono >= peer.throttled_since + THROTTLE_WINDOW_S:
        peer.throttled, peer.throttled_since = 0, now.mono
    peer.throttled += 1
    if peer.throttled > MAX_THROTTLED_FRAMES:
        lifecycle.drop_unproven(core, peer.device_id, FLOODED, now)
    return False
