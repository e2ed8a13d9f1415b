"""Who is let in: the approval rule, a person's yes and no, and the edge into `active` (spec 01 §7.6, 04 §4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.events import PeerApproved
from mesh_common.views import PeerStatus
from myownmesh.engine import evictions, gossip, lifecycle, reliable, shelving, waiting
from myownmesh.engine.actions import LinkUp
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.limits import MAX_PENDING_APPROVALS
from myownmesh.engine.peer import Active, Handshaking, Live, OpenLink, OurApprove, Pending, Upkeep
from myownmesh.engine.timers import LinkTimer, PeerTimer
from myownmesh.engine.timing import APPROVE_REPEAT_S, PENDING_MAX_AGE_S
from myownmesh.protocol.frames import Approve, CapabilitiesUpdate, Deny

EVICTED = (
    "network: this device was evicted by the network's signed governance — "
    "re-admit it by signing it back in (re-claim), not by approving"
)

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Link, Peer
    from myownmesh.protocol.clock import Instant


def consider(core: Core, peer: Peer, now: Instant) -> None:
    """Apply the rule to a peer that has proved itself: rostered or `auto_approve` lets it in without asking."""
    if isinstance(peer, Pending) and peer.our_approve is OurApprove.MISSING and rule_admits(core, peer.device_id):
        _give(core, peer, now)


def rule_admits(core: Core, device_id: str) -> bool:
    """Whether a device needs nobody's consent here. On closed networks signatures decide (02 FIX 18)."""
    if core.kind != "closed":
        return core.config.auto_approve or core.is_rostered(device_id)
    government = core.government
    if core.is_evicted(device_id):
        return False
    if government.book.rules.closed_local_approve:
        return core.config.auto_approve or core.is_rostered(device_id)
    if not government.book.is_founded or device_id in government.clicked:
        return core.is_rostered(device_id)
    return government.book.admits(device_id) and device_id not in core.roster.removed_devices


def is_provisional(core: Core, device_id: str) -> bool:
    """Whether nobody who could know has told this device yet who belongs here (02 §24.3 no. 50)."""
    government = core.government
    contact = government.contact
    if contact is None or core.kind != "closed" or device_id in government.clicked:
        return False
    return not contact.approves(government.book, device_id)


def admit_provisional(core: Core, now: Instant) -> None:
    """Links that carried governance frames only may carry all."""
    for peer in list(core.peers.values()):
        if isinstance(peer, Pending) and peer.provisional:
            _evaluate(core, peer, now)


def reconsider_all(core: Core, now: Instant) -> None:
    """The roster or the rule changed: whoever waits may be welcome now (spec 01 §20 item 7)."""
    if core.roll.count(PeerStatus.PENDING_APPROVAL):
        for peer in list(core.peers.values()):
            consider(core, peer, now)


def has_approved(peer: Peer) -> bool:
    """Our approve went out on this connection."""
    return isinstance(peer, Live) or (isinstance(peer, Pending) and peer.our_approve is OurApprove.SENT)


def begin_waiting(core: Core, peer: Pending, now: Instant) -> None:
    """The peer has proved itself. The number of those that wait, and how long, is bounded."""
    core.enter(Turn.PROVED, peer, now)
    core.refresh_phase()
    core.timers.set(LinkTimer.PENDING_AGE, peer.owner, now.mono + PENDING_MAX_AGE_S)
    if core.roll.count(PeerStatus.PENDING_APPROVAL) <= MAX_PENDING_APPROVALS:
        return
    waiting_here = [
        each
        for each in core.peers.values()
        if isinstance(each, Pending) and not core.is_rostered(each.device_id) and each is not peer
    ]
    if len(waiting_here) >= MAX_PENDING_APPROVALS:
        refuse(core, waiting_here[0], "too many devices wait for approval", now)


def receive_approve(core: Core, peer: OpenLink, now: Instant) -> None:
    """Legal at any time; before the proof the latch waits. Only this latches the peer's consent."""
    if isinstance(peer, Handshaking | Pending):
        peer.opening.approve_seen = True
    if isinstance(peer, Pending):
        _evaluate(core, peer, now)


def approve_lost(core: Core, peer: OpenLink, now: Instant) -> None:
    """Our approve did not leave. Un-latch it, unless the link is up already; it is sent again either way."""
    if isinstance(peer, Pending):
        peer.our_approve = OurApprove.LOST
    core.timers.set(LinkTimer.APPROVE, peer.owner, now.mono + APPROVE_REPEAT_S)


def repeat_approve(core: Core, peer: OpenLink, now: Instant) -> None:
    """Send approve again: the first one may be lost, and a v0.3.8 peer may be stuck (spec 01 §20 items 3, 4, 6)."""
    if isinstance(peer, Pending):
        _give(core, peer, now)
    else:
        core.send(peer, Approve(), now)


def user_approves(core: Core, device_id: str, label: str, now: Instant) -> None:
    """A person admits a device: rostered and saved, told to the mesh, and to the peer once it has proved itself."""
    core.save_roster(core.roster.approve(device_id, label, now.wall_ms // 1000))
    gossip.spread(core, now)
    if (peer := core.peers.get(device_id)) is not None:
        consider(core, peer, now)


def user_removes(core: Core, device_id: str, now: Instant) -> None:
    """A person takes a device off the roster: its link is told why and dropped (spec 01 §20 item 18)."""
    core.save_roster(core.roster.remove(device_id))
    core.intents.clear(device_id)
    core.timers.cancel(PeerTimer.DIAL_ANYWAY, device_id)
    if (peer := core.link_to(device_id)) is not None:
        refuse(core, peer, "removed", now)


def refuse(core: Core, peer: Link, why: str, now: Instant) -> None:
    """Drop a link as `denied`; the other side is told, so that it does not dial again at once."""
    is_open = isinstance(peer, OpenLink)
    if is_open:
        core.send(peer, Deny(reason=why), now)
    lifecycle.drop(core, peer.device_id, Turn.REFUSED, now, linger=is_open)


def remember(core: Core, peer: Live, now: Instant) -> None:
    """Roster an active peer under the name that it gives itself; until its hello comes an earlier name stays."""
    known = core.roster.get(peer.device_id)
    label = known.label if peer.channel.greeting is None and known is not None else peer.label
    roster = core.roster.meet(peer.device_id, label, now.wall_ms // 1000)
    if roster is not core.roster:
        core.save_roster(roster)


def _give(core: Core, peer: Pending, now: Instant) -> None:
    peer.our_approve = OurApprove.SENT
    core.send(peer, Approve(), now)
    core.timers.set(LinkTimer.APPROVE, peer.owner, now.mono + APPROVE_REPEAT_S)
    _evaluate(core, peer, now)


def _evaluate(core: Core, peer: Pending, now: Instant) -> None:
    if peer.our_approve is not OurApprove.SENT or not peer.opening.approve_seen:
        return
    if core.is_evicted(peer.device_id):
        evictions.put_out(core, peer, now)
    elif is_provisional(core, peer.device_id):
        peer.provisional = True
        gossip.ask(core, peer, now)
    elif not peer.provisional or rule_admits(core, peer.device_id):
        _activate(core, peer, now)


def _activate(core: Core, pending: Pending, now: Instant) -> None:
    """The edge into `active`, in the order of spec 04 §4.3."""
    device_id = pending.device_id
    peer = Active(device_id, pending.epoch, pending.transport, pending.channel, Upkeep())
    core.enter(Turn.CONSENTED, peer, now)
    core.out.append(LinkUp(device_id, peer.epoch))
    peer.transport.recovery = None
    core.timers.cancel(LinkTimer.APPROVE, device_id)
    core.timers.cancel(LinkTimer.PENDING_AGE, device_id)
    remember(core, peer, now)
    core.diag(now, "info", "peer", f"active: {short_id(device_id)}", {"peer": device_id})
    core.emit(PeerApproved(core.network_id, device_id, peer.label))
    core.refresh_phase()
    shelving.reevaluate(core, now)
    waiting.finish(core, device_id, None)
    core.intents.clear(device_id)
    core.memories.of(device_id).found_path()
    evictions.is_linked_again(core, peer)
    gossip.spread(core, now)
    gossip.greet(core, peer, now)
    if pending.opening.advert != core.capabilities and peer.takes(CapabilitiesUpdate.KIND):
        core.send(peer, CapabilitiesUpdate(capabilities=core.capabilities), now)
    reliable.flush(core, device_id, now)
