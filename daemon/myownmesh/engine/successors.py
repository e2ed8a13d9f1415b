"""What becomes of a transport that is made beside a link (see `beside`): its descriptions, channel, handshake, end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import answers, beside, handshake, lifecycle, negotiation
from myownmesh.engine.limits import MAX_EARLY_FRAMES
from myownmesh.engine.links import ChannelClosed, NegotiationFailed, PathChanged
from myownmesh.engine.peer import Connecting, Handshaking
from myownmesh.engine.timers import LinkTimer
from myownmesh.protocol.codec import MalformedFrame, decode_frame
from myownmesh.protocol.frames import Approve, AuthResponse, Deny, Hello

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import LinkEvent
    from myownmesh.engine.peer import Link
    from myownmesh.protocol.clock import Instant


def receive_event(core: Core, successor: Link, event: LinkEvent) -> None:
    """What its session reports that would mean something else of a link."""
    match event:
        case PathChanged(state=state):
            successor.transport.path = state
        case NegotiationFailed() | ChannelClosed():
            beside.end(core, successor.device_id)
        case _:
            pass


def receive_frame(core: Core, successor: Link, data: bytes, now: Instant) -> None:
    """Its peer has not proved itself: only what a handshake is made of counts."""
    if isinstance(successor, Connecting):
        if len(successor.early_frames) < MAX_EARLY_FRAMES:
            successor.early_frames.append(data)
        return
    assert isinstance(successor, Handshaking)
    if not successor.channel.budget.spend(now.mono):
        beside.end(core, successor.device_id)
        return
    try:
        frame = decode_frame(data)
    except MalformedFrame:
        return
    successor.channel.last_recv = now.mono
    successor.channel.frames_in += 1
    match frame:
        case Hello():
            handshake.receive_hello(core, successor, frame, now)
        case AuthResponse():
            handshake.receive_proof(core, successor, frame, now)
        case Approve():
            successor.opening.approve_seen = True
        case Deny():
            beside.end(core, successor.device_id)
        case _:
            pass


def due(core: Core, timer: LinkTimer, successor: Link, now: Instant) -> None:
    """One of its own timers has ended."""
    transport = successor.transport
    match timer:
        case LinkTimer.REOFFER if isinstance(successor, Connecting):
            negotiation.reoffer_due(core, successor, now)
        case LinkTimer.GLARE_HOLD if transport.held is not None:
            main = core.live_link(successor.device_id)
            negotiation.take(core, lifecycle.open_beside(core, main, offerer=False, now=now), transport.held.offer)
        case LinkTimer.HELLO if isinstance(successor, Handshaking):
            handshake.repeat_hello(core, successor, now)
        case LinkTimer.CONTEST if isinstance(successor, Connecting | Handshaking):
            answers.contest_ended(core, successor, now)
        case _:  # of the channel or of the proof
            beside.end(core, successor.device_id)
