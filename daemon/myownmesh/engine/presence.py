"""What an announce or a leave of a peer causes (spec 04 §5.3, §5.7; 03 §12.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from myownmesh.engine import beside, early, evictions, keepalive, lifecycle, negotiation, pace, restarting, shelving
from myownmesh.engine.decisions import Dial, Role, on_announce, role
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.limits import CROWD
from myownmesh.engine.peer import Connecting, Link, Live, OpenedBy, OpenLink, Placeholder, Reoffer
from myownmesh.engine.timers import LinkTimer, PeerTimer
from myownmesh.engine.timing import (
    CROWD_LOOK_S,
    DIAL_LOOK_S,
    LEAVE_CLOSE_WINDOW_S,
    LEAVE_PING_AFTER_S,
    PROBE_WAIT_S,
)

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.clock import Instant


def receive_announce(core: Core, device_id: str, now: Instant, *, again: bool = False) -> None:
    """A peer is in the room: reflect, look after the link that there is, or decide about a new one.

    `again`: it is no newcomer, the same process announced itself before.
    """
    if core.is_watched:  # in a large room nothing happens more often
        detail = {"peer": device_id, "role": role(core.me, device_id).value}
        core.diag(now, "debug", "signaling", f"{short_id(device_id)} announced", detail)
    if device_id in core.strangers:
        core.hear_stranger(device_id, now)
    else:
        pace.heard(core, device_id, now)
    peer = core.peers.get(device_id)
    edge = _edge(core, device_id, peer)
    if again and not edge and type(peer) is Placeholder and _is_left_alone(core, device_id):
        return  # of hundreds whom the shape keeps apart nothing comes more often, and nothing follows
    if core.government.is_down:
        return  # whoever may let this device in again dials it
    if not isinstance(peer, Link):
        if core.government.let_in_again and evictions.dial_again(core, device_id, now):
            return
        if not again:
            core.announce(now)
        elif edge:
            core.repeat(now)
        _decide(core, device_id, peer, now, edge=edge)
        return
    _reflect(core, device_id, peer, now, again=again)
    _look_after(core, peer, now, again=again)
    if core.link_to(device_id) is None:
        decide(core, device_id, now)


def _is_left_alone(core: Core, device_id: str) -> bool:
    """Whether nobody wants a link with it whom the shape keeps apart from us: no person, and no authority that lets it
    in again."""
    return device_id not in core.pins and device_id not in core.government.let_in_again


def receive_stale(core: Core, device_id: str, now: Instant) -> None:
    """A late copy, or a process whose clock is behind what it, or its predecessor, said: it may need to hear us."""
    _reflect(core, device_id, core.peers.get(device_id), now, again=True)


def _look_after(core: Core, peer: Link, now: Instant, *, again: bool) -> None:
    """Whoever has a link with us announced itself: what waits for it is said again, and what is doubtful is asked."""
    device_id = peer.device_id
    is_offerer = role(core.me, device_id) is Role.OFFERER
    if is_offerer:
        _offer_again(core, peer, now, again=again)
        if (successor := core.successors.get(device_id)) is not None:
            _offer_again(core, successor, now, again=again)
    if isinstance(peer, Live):
        keepalive.nudge(core, peer, now, newcomer=not again)
        if again and is_offerer and peer.transport.carrier.is_down:
            restarting.restart(core, peer, "announce-unhealthy", now)
    if keepalive.stale_for(peer, now.mono) is None:
        return
    if not keepalive.clear_zombie(core, peer, now) and isinstance(peer, Live):
        keepalive.probe(core, peer, now)


def _offer_again(core: Core, link: Link, now: Instant, *, again: bool) -> None:
    if isinstance(link, Connecting):
        link.transport.is_unheard |= not again
        negotiation.reoffer(core, link, now, Reoffer.STUCK)
    if not again:
        negotiation.newcomer_announced(core, link, now)


def _reflect(core: Core, device_id: str, peer: Peer | None, now: Instant, *, again: bool) -> None:
    """Newcomers, and whoever has no healthy link with us, hear that we are here (spec 03 §10.2, 23-G).

    A link that waits for a person carries no frames, so it is its path that tells. Repeats are answered a few times an
    hour: with half a second of latency two devices would otherwise go on answering each other for ever, and in a room
    where nobody is linked everybody everybody. Whom the shape keeps apart from us has no use for them.
    """
    if isinstance(peer, OpenLink) and keepalive.is_healthy(peer, now.mono) and not core.is_offered_anew(device_id):
        return
    if not again:
        core.announce(now)
    elif core.wants_link(device_id) and (peer is None or not keepalive.is_waiting_on_a_path(peer)):
        core.repeat(now)


def dial_now(core: Core, device_id: str, now: Instant) -> None:
    """DIAL_ANYWAY ended, or the delay after failed attempts: dial if nobody has meanwhile."""
    peer = core.peers.get(device_id)
    decision = _decision(core, device_id, peer, edge=_edge(core, device_id, peer))
    if decision not in (Dial.WAIT, Dial.OFFER):
        return
    memory = core.memories.of(device_id)
    if now.mono < memory.dial_not_before or not lifecycle.has_room_for_dial(core, device_id, now):
        core.timers.set(PeerTimer.DIAL_ANYWAY, device_id, max(memory.dial_not_before, _next_turn(core, now)))
        return
    if decision is Dial.WAIT:
        memory.dialled_anyway_at = now.mono
    lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.PRESENCE, now=now)


def reconsider_all(core: Core, now: Instant) -> None:
    """Pins or the kind of the network changed: peers that were only noted may be dialled now."""
    for device_id in [peer.device_id for peer in core.peers.values() if isinstance(peer, Placeholder)]:
        decide(core, device_id, now)


def receive_leave(core: Core, device_id: str, now: Instant, *, is_signed: bool | None = None) -> None:
    """Believe a leave only as far as the link bears it out, unless the peer signed it: anybody can forge another.

    Of a device that signs its leaves (`is_signed` is False) one that is not costs an open channel a ping, no more.
    """
    if is_signed is False:
        if isinstance(peer := core.peers.get(device_id), OpenLink):
            _doubt(core, peer, now)
        return
    core.diag(now, "info", "signaling", f"{short_id(device_id)} left", {"peer": device_id})
    core.timers.cancel(PeerTimer.DIAL_ANYWAY, device_id)
    pace.left(core, device_id)
    early.forget(core, device_id)
    beside.end(core, device_id)  # made with the process that leaves, if it is to be believed
    peer = core.peers.get(device_id)
    if isinstance(peer, Live):
        peer.upkeep.is_newcomer = False  # whoever announces itself behind this is another one
    if not isinstance(peer, OpenLink) or core.config.immediate_leave or is_signed:
        lifecycle.drop(core, device_id, Turn.LEFT, now)
    else:
        _doubt(core, peer, now)


def _doubt(core: Core, peer: OpenLink, now: Instant) -> None:
    """Somebody says that it left: what it does with its link tells."""
    if peer.channel.left_at is None or now.mono - peer.channel.left_at > LEAVE_CLOSE_WINDOW_S:
        peer.channel.left_at = now.mono
        core.timers.set(LinkTimer.LEAVE_PING, peer.device_id, now.mono + LEAVE_PING_AFTER_S)


def test_leave(core: Core, peer: OpenLink, now: Instant) -> None:
    """The channel outlived the leave: whoever left answers no more pings by now."""
    peer.channel.frames_at_leave = peer.channel.frames_in
    if isinstance(peer, Live):
        keepalive.ping(core, peer, now)
    core.timers.set(LinkTimer.LEAVE_VERDICT, peer.owner, now.mono + PROBE_WAIT_S)


def judge_leave(core: Core, peer: OpenLink, now: Instant) -> None:
    """A frame since the ping refutes the leave.

    A peer that waits for approval may not answer pings; of it the path must tell, whose checks notice in 5 s.
    """
    channel = peer.channel
    refuted = channel.frames_in != channel.frames_at_leave or (
        not isinstance(peer, Live) and peer.transport.carrier.is_up
    )
    if not refuted:
        is_back = peer.device_id in core.successors  # another process of it offers, or is offered, a link since
        lifecycle.drop(core, peer.device_id, Turn.SILENT if is_back else Turn.LEFT, now)


def how_it_closed(peer: Link, mono: float) -> Turn:
    """A channel that closes soon after a leave was left, not lost."""
    left_at = peer.channel.left_at if isinstance(peer, OpenLink) else None
    return Turn.LEFT if left_at is not None and mono - left_at <= LEAVE_CLOSE_WINDOW_S else Turn.CLOSED


def _edge(core: Core, device_id: str, peer: Peer | None) -> bool:
    """Whether the shape wants a link that there is not."""
    return not isinstance(peer, Link) and core.wants_link(device_id)


def _decision(core: Core, device_id: str, peer: Peer | None, *, edge: bool) -> Dial:
    return on_announce(
        core.me,
        device_id,
        pinned=device_id in core.pins,
        silent=core.dials_by_hand,
        edge=edge,
        has_entry=peer is not None,
        has_transport=isinstance(peer, Link),
    )


def decide(core: Core, device_id: str, now: Instant, *, likely: bool = False) -> None:
    """Spec 04 §5.3 step 8; a dial that must wait is put on the peer's timer. `likely`: the shape would want this link
    if everybody in the room were let in."""
    if not core.government.is_down:
        peer = core.peers.get(device_id)
        _decide(core, device_id, peer, now, edge=_edge(core, device_id, peer), likely=likely)


def _decide(core: Core, device_id: str, peer: Peer | None, now: Instant, *, edge: bool, likely: bool = False) -> None:
    decision = _decision(core, device_id, peer, edge=edge)
    if decision is Dial.NOTHING or decision is Dial.KEEP:
        return
    memory = core.memories.get(device_id)
    not_before = 0.0 if memory is None else memory.dial_not_before
    match decision:
        case Dial.OFFER if now.mono < not_before:
            lifecycle.note(core, device_id, "waiting after failed attempts", now)
            _dial_at(core, device_id, not_before, now)
        case Dial.OFFER if not lifecycle.has_room_for_dial(core, device_id, now, likely=likely):
            lifecycle.note(core, device_id, "waiting for other attempts to end", now)
            _dial_at(core, device_id, None, now)
            shelving.look_around_soon(core, now)
        case Dial.OFFER:
            lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.PRESENCE, now=now)
        case Dial.WAIT:
            lifecycle.note(core, device_id, "waiting for its offer", now)
            if device_id in core.peers:
                lifecycle.dial_unless_offered(core, device_id, now)
        case Dial.NOTE:
            lifecycle.note(core, device_id, _why_apart(core), now, expects_link=False)
        case _:
            assert_never(decision)


def _why_apart(core: Core) -> str:
    if core.is_silent():
        return "silent network"
    return "we only listen" if core.config.listens_only else "no edge in this shape"


def _next_turn(core: Core, now: Instant) -> float:
    """When to look again whether there is room for a stranger's dial. The larger a crowd, the less often is each looked
    at: room for one comes eight times a second at most, and three times as many looks find it in time."""
    crowd = len(core.strangers) / CROWD
    return now.mono + (DIAL_LOOK_S if crowd <= 1 else CROWD_LOOK_S * crowd)


def _dial_at(core: Core, device_id: str, second: float | None, now: Instant) -> None:
    """None: when it may be its turn. Of a crowd that is too large to be listed nobody is waited for; its next announce
    is looked at as this one."""
    if device_id in core.peers:
        core.timers.set(PeerTimer.DIAL_ANYWAY, device_id, _next_turn(core, now) if second is None else second)
