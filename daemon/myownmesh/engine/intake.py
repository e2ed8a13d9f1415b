"""The way in for frames: the admission gate and what lies behind it (spec 01 §5).

This is the hot path. A frame of an admitted peer's application costs the decoding, a few stamps and one action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard, assert_never

from mesh_common.events import PeerCapabilitiesChanged
from myownmesh.engine import (
    approval,
    gossip,
    handshake,
    hearing,
    inviting,
    keepalive,
    lifecycle,
    proposals,
    reliable,
    restarting,
    roster_sync,
    routing,
    shelving,
    successors,
)
from myownmesh.engine.actions import Deliver
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.limits import MAX_EARLY_FRAMES, is_power_of_two
from myownmesh.engine.peer import Connecting, Live, OpenLink, Pending
from myownmesh.engine.views import advert
from myownmesh.protocol.codec import MalformedFrame, decode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL
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
from myownmesh.protocol.traffic import count_received

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame

_GOVERNED: Final = (
    Ping,
    Pong,
    RosterSummary,
    RosterRequest,
    RosterEntries,
    NetworkState,
    NetworkStatePropose,
    NetworkStateAck,
    NetworkStateSplit,
)

APPLICATION: Final[frozenset[type[Frame]]] = frozenset({RpcRequest, RpcResponse, RpcStreamChunk, RpcStreamEnd, Channel})
"""Frames that are passed on."""


def _may_come_early(frame: Frame) -> TypeGuard[Hello | AuthResponse | Approve | Deny]:
    return not frame.GATED


def receive(core: Core, device_id: str, epoch: int, data: bytes, now: Instant) -> None:
    """Take one message of the data channel of a peer's link, or of its successor. Never raises for what is in it."""
    nbytes = len(data)
    if not 0 < nbytes <= MAX_INBOUND_BYTES:
        return
    peer = core.peers.get(device_id)
    if peer is None or peer.epoch != epoch:
        if (successor := core.link_with(device_id, epoch)) is not None:
            successors.receive_frame(core, successor, data, now)
        return
    if not isinstance(peer, OpenLink):
        if isinstance(peer, Connecting) and len(peer.early_frames) < MAX_EARLY_FRAMES:
            peer.early_frames.append(data)
        return
    try:
        frame = decode_frame(data)
    except MalformedFrame as error:
        _refuse_malformed(core, peer, str(error), now)
        return
    channel = peer.channel
    if isinstance(peer, Live):
        channel.last_recv = now.mono
        channel.frames_in += 1
        if peer.transport.recovery is not None:
            restarting.heard(core, peer, now)
        count_received(core.traffic, frame.KIND, nbytes)
        if type(frame) is Channel and frame.channel == RELAY_CHANNEL:
            routing.receive(core, peer, frame, now)
        elif type(frame) in APPLICATION:
            core.out.append(Deliver(peer.device_id, peer.epoch, frame))
        elif isinstance(frame, ChannelSeq):
            reliable.receive(core, peer, frame, now)
        elif _within_budget(core, peer, now):
            _dispatch(core, peer, frame, now)
    elif _may_come_early(frame):
        if _within_budget(core, peer, now):
            channel.last_recv = now.mono
            channel.frames_in += 1
            count_received(core.traffic, frame.KIND, nbytes)
            if isinstance(frame, Hello):
                inviting.seen(peer, data)
            _shake(core, peer, frame, now)
    elif isinstance(peer, Pending) and peer.provisional and isinstance(frame, _GOVERNED):
        if _within_budget(core, peer, now):
            channel.last_recv = now.mono
            channel.frames_in += 1
            count_received(core.traffic, frame.KIND, nbytes)
            _govern(core, peer, frame, now)
    else:
        _refuse_unadmitted(core, peer, frame, now)


def _govern(core: Core, peer: Pending, frame: Frame, now: Instant) -> None:
    """A peer that has let us in, while we do not know yet whether it belongs here (02 §24.3 no. 50)."""
    match frame:
        case Ping():
            core.send(peer, Pong(t=frame.t), now)
        case RosterEntries():
            hearing.receive_logs(core, peer, frame, now)
        case NetworkStatePropose() | NetworkStateAck() | NetworkStateSplit():
            proposals.receive(core, peer, frame, now)
        case NetworkState() | RosterSummary():
            gossip.ask(core, peer, now)
        case _:
            pass  # what it asks of us can wait until it is known


def _shake(core: Core, peer: OpenLink, frame: Hello | AuthResponse | Approve | Deny, now: Instant) -> None:
    match frame:
        case Hello():
            handshake.receive_hello(core, peer, frame, now)
        case AuthResponse():
            handshake.receive_proof(core, peer, frame, now)
        case Approve():
            approval.receive_approve(core, peer, now)
        case Deny():
            handshake.receive_deny(core, peer, frame, now)
        case _:
            assert_never(frame)


def _dispatch(core: Core, peer: Live, frame: Frame, now: Instant) -> None:
    match frame:
        case Ping():  # of these nothing comes more often
            keepalive.receive_ping(core, peer, frame, now)
        case Pong():
            keepalive.receive_pong(peer, frame, now)
        case Hello() | AuthResponse() | Approve() | Deny():
            _shake(core, peer, frame, now)
        case Shelve():
            shelving.receive_shelve(core, peer, frame, now)
        case Unshelve():
            shelving.receive_unshelve(core, peer)
        case CapabilitiesUpdate():
            peer.channel.capabilities = frame.capabilities
            core.emit(PeerCapabilitiesChanged(core.network_id, peer.device_id, advert(frame.capabilities)))
        case RosterSummary():
            roster_sync.receive_summary(core, peer, frame, now)
        case RosterRequest():
            gossip.answer_request(core, peer, frame, now)
        case RosterEntries():
            roster_sync.receive_entries(core, peer, frame, now)
        case NetworkState():
            roster_sync.receive_state(core, peer, frame, now)
        case ChannelAck():
            reliable.receive_ack(core, peer, frame)
        case NetworkStatePropose() | NetworkStateAck() | NetworkStateSplit():
            proposals.receive(core, peer, frame, now)
        case UnknownFrame():
            pass
        case _:
            raise AssertionError(f"the engine has no place for {frame.KIND}")  # the totality test feeds it every kind


def _refuse_unadmitted(core: Core, peer: OpenLink, frame: Frame, now: Instant) -> None:
    """Nothing but its own counter may change for a frame that comes too early."""
    peer.channel.rejected += 1
    if is_power_of_two(peer.channel.rejected):
        name = frame.kind if isinstance(frame, UnknownFrame) else frame.KIND
        core.diag(
            now,
            "warn",
            "auth",
            f"refused a {name[:64]} frame of {short_id(peer.device_id)} before its admission",
            {"peer": peer.device_id, "count": peer.channel.rejected},
        )
    _within_budget(core, peer, now)


def _refuse_malformed(core: Core, peer: OpenLink, why: str, now: Instant) -> None:
    peer.channel.malformed += 1
    if is_power_of_two(peer.channel.malformed):
        core.diag(
            now,
            "warn",
            "transport",
            f"{short_id(peer.device_id)} sent a malformed frame",
            {"peer": peer.device_id, "count": peer.channel.malformed, "error": why[:200]},
        )
    _within_budget(core, peer, now)


def _within_budget(core: Core, peer: OpenLink, now: Instant) -> bool:
    """Spend one control frame; a peer that goes on far above the rate loses its link."""
    budget = peer.channel.budget
    if budget.spend(now.mono):
        return True
    if budget.is_abused:
        lifecycle.drop_unproven(core, peer.device_id, Turn.FLOODED, now)
    return False
