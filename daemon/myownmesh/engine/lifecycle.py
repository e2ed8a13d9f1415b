"""How entries come and go: placeholders, transports, drops (spec 04 §5.2, §6.1, §15.2 item 28)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.events import PeerDropped, PeerSighted
from mesh_common.views import CandidateKind
from myownmesh.engine import beside, pace, reliable, rescue, shelving, waiting
from myownmesh.engine.actions import CloseSession, LinkDown, MakeOffer, OpenSession
from myownmesh.engine.decisions import Role, role
from myownmesh.engine.diagnostics import reason_word, short_id
from myownmesh.engine.life import DROPS, Turn
from myownmesh.engine.limits import (
    DIAL_TURN_S,
    MAX_PASSING_DIALS,
    MAX_PLACEHOLDERS,
    MAX_SHAPED_DIALS,
    MAX_UNPROVEN_LINKS,
)
from myownmesh.engine.peer import (
    Connecting,
    Handshaking,
    Link,
    Live,
    OpenedBy,
    OpenLink,
    Placeholder,
    Transport,
)
from myownmesh.engine.timers import LinkTimer, NetworkTimer, PeerTimer
from myownmesh.engine.timing import (
    CHANNEL_OPEN_TIMEOUT_S,
    DENY_LINGER_S,
    DIAL_ANYWAY_GAP_S,
    DIAL_ANYWAY_S,
    DIAL_BACK_S,
    HEARD_LATELY_S,
    INTENT_FIRST_LOOK_S,
    SUCCESSOR_S,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.clock import Instant

_RELAY: Final = CandidateKind.RELAY

_RECOVERABLE: Final = frozenset({"ice_failed", "heartbeat_timeout", "transport_error"})


def note(core: Core, device_id: str, reason: str, now: Instant, *, expects_link: bool = True) -> None:
    """List a peer that nobody dials now. Nothing happens when an entry exists, or too many strangers are listed.

    `expects_link`: its offer, or our turn to dial, is to come.
    """
    if device_id in core.peers:
        return
    if device_id not in core.roster and not _has_room_for_stranger(core, now):
        return
    core.enter(Turn.NOTED, Placeholder(device_id, core.next_epoch(), expects_link), now)
    core.emit(PeerSighted(core.network_id, device_id))
    if core.is_watched:  # of a crowd that meets each member is noted by each other one
        core.diag(now, "info", "peer", f"sighted {short_id(device_id)}", {"peer": device_id, "reason": reason})
    shelving.look_soon(core, now)
    core.refresh_phase()


def _has_room_for_stranger(core: Core, now: Instant) -> bool:
    """Of more strangers than are listed the first ones stay, as long as they are heard: a crowd of ten thousand would
    otherwise push each other out, and every announce of theirs be news."""
    if len(core.strangers) < MAX_PLACEHOLDERS:
        return True
    oldest = next(iter(core.strangers))
    if now.mono - core.strangers[oldest] <= HEARD_LATELY_S:
        return False
    core.end(Turn.FORGOTTEN, oldest)
    core.timers.cancel(PeerTimer.DIAL_ANYWAY, oldest)
    return True


def open_link(core: Core, device_id: str, *, offerer: bool, opened_by: OpenedBy, now: Instant) -> Link:
    """Open a transport to a peer that has none, in place of its placeholder; as offerer, offer at once."""
    _make_room(core, device_id, now)
    before = core.peers.get(device_id)
    if not (isinstance(before, Placeholder) and before.expects_link):
        core.emit(PeerSighted(core.network_id, device_id))
    return _new_transport(core, device_id, Turn.OPENED, offerer=offerer, opened_by=opened_by, now=now)


def yield_link(core: Core, peer: Link, now: Instant) -> Link:
    """Give up our own attempt for the peer's offer (glare, spec 04 §5.9); the entry lives on, so no event is due."""
    core.timers.cancel_link(peer.device_id)
    core.out.append(CloseSession(peer.device_id, peer.epoch))
    opened_by = peer.transport.opened_by
    return _new_transport(core, peer.device_id, Turn.YIELDED, offerer=False, opened_by=opened_by, now=now)


def renew(core: Core, peer: Link, now: Instant) -> None:
    """Our addresses changed before the peer was admitted: offer those that there are now, over the transport that its
    description shaped or, while none has come, over a new one."""
    transport = peer.transport
    if transport.remote_sdp_set:
        transport.begin_offer(now.mono, restart=True)
        core.out.append(MakeOffer(peer.device_id, peer.epoch, restart=True))
    elif transport.offerer:
        core.timers.cancel_link(peer.device_id)
        core.out.append(CloseSession(peer.device_id, peer.epoch))
        opened_by = transport.opened_by
        _new_transport(core, peer.device_id, Turn.RENEWED, offerer=True, opened_by=opened_by, now=now)


def make_offer(core: Core, peer: Link, now: Instant) -> None:
    """Ask the transport for an offer; it leaves when the session reports it."""
    peer.transport.begin_offer(now.mono, restart=False)
    peer.transport.is_unheard = False
    core.timers.cancel(LinkTimer.REOFFER, peer.owner)
    core.out.append(MakeOffer(peer.device_id, peer.epoch))


def drop(core: Core, device_id: str, turn: Turn, now: Instant, *, linger: bool = False) -> None:
    """End the entry of a peer, if there is one (spec 04 §6.1). With `linger` its last frame gets time to leave."""
    reason = DROPS[turn]
    peer = _remove(core, device_id, turn, now, linger=linger)
    if reason.kind in _RECOVERABLE and (successor := core.successors.get(device_id)) is not None:
        beside.promote(core, successor, now)
    elif reason.kind in _RECOVERABLE:
        if isinstance(peer, Link) and core.twin is not None and not core.twin.stands_aside:
            core.memories.of(device_id).fought_over(now.mono)
        if peer is not None and _starts_window(peer):
            want_back(core, device_id, now)
        if isinstance(peer, Live) and role(core.me, device_id) is Role.ANSWERER:
            # The lower side redials, if it knows of the loss. A forged offer, for one, leaves it waiting for nobody.
            dial_unless_offered(core, device_id, now)
    else:
        beside.end(core, device_id)
        core.intents.clear(device_id)
        waiting.finish(core, device_id, f"network: connect {device_id}: {reason_word(reason.kind)}")
    _after_drop(core, now)


def drop_unproven(core: Core, device_id: str, turn: Turn, now: Instant) -> None:
    """End a link that failed before the peer proved itself, or that is abused: dialled again, but not soon.

    Anybody on the signaling path can cause the first, so it is a failed attempt and no verdict (spec 01 §7.9).
    """
    _remove(core, device_id, turn, now, linger=False)
    beside.end(core, device_id)
    core.memories.of(device_id).failed_before_proof(now.mono)
    want_back(core, device_id, now)
    _after_drop(core, now)


def open_beside(core: Core, main: Live, *, offerer: bool, now: Instant) -> Connecting:
    """Make a transport beside the link, in place of the one that is being made."""
    device_id = main.device_id
    beside.end(core, device_id)
    epoch = core.next_epoch()
    transport = Transport(now.mono, offerer, OpenedBy.OFFER, owner=f"{device_id}/{epoch}")
    successor = core.successors[device_id] = Connecting(device_id, epoch, transport)
    core.timers.set(LinkTimer.CHANNEL_OPEN, successor.owner, now.mono + SUCCESSOR_S)
    core.diag(
        now,
        "info",
        "signaling",
        f"rebuilding for {short_id(device_id)} beside its link",
        {"peer": device_id, "reason": "peer_rebuilt", "beside": True},
    )
    core.out.append(OpenSession(device_id, epoch, offerer))
    if offerer:
        make_offer(core, successor, now)
    return successor


def take_over(core: Core, successor: Link, now: Instant) -> None:
    """It has proved whose it is: the link that it was made beside ends."""
    _remove(core, successor.device_id, Turn.REBUILT, now, linger=False)
    beside.promote(core, successor, now)
    shelving.reevaluate(core, now)


def prune(core: Core, device_id: str, now: Instant) -> None:
    """End a link that the shape does not want; the peer stays listed."""
    drop(core, device_id, Turn.PRUNED, now)
    note(core, device_id, "topology pruned", now, expects_link=False)


def channel_closed(core: Core, peer: Link, turn: Turn, now: Instant) -> None:
    """The far end, or the transport, ended the channel. Of a link that both let go it was the far end's pass."""
    if shelving.is_let_go(core, peer) and not core.wants_link(peer.device_id):
        prune(core, peer.device_id, now)
        return
    if isinstance(peer, Handshaking):
        core.memories.of(peer.device_id).lost_channel_before_proof(now.mono)
    drop(core, peer.device_id, turn, now)


def connect_timed_out(core: Core, peer: Connecting, now: Instant) -> None:
    """The channel did not open in 30 s: only that counts, whatever the path says (spec 04 §7.4 step 4)."""
    core.diag(
        now,
        "warn",
        "ice",
        f"no channel to {short_id(peer.device_id)} in time",
        {"peer": peer.device_id, "connect_timeout_ms": round(CHANNEL_OPEN_TIMEOUT_S * 1000)},
    )
    core.describe_paths(peer, "connect_timeout", "warn")
    _look_for_relays(core, peer, now)
    rescue.consider(core, peer, now)
    drop(core, peer.device_id, Turn.NOT_OPENED, now)
    core.nudge(now)


def _look_for_relays(core: Core, peer: Connecting, now: Instant) -> None:
    """Attempts that knew both sides' addresses and found no path: after some, a relay is what is missing."""
    transport = peer.transport
    local, remote = transport.local_candidates, transport.remote_candidates
    if not transport.remote_sdp_set or transport.remote_sdp_has_relay or _RELAY in local or _RELAY in remote:
        return
    memory = core.memories.of(peer.device_id)
    if memory.found_no_path():
        core.diag(
            now,
            "warn",
            "ice",
            f"no path to {short_id(peer.device_id)}, and no relay (TURN) on either side; add a TURN server",
            {
                "peer": peer.device_id,
                "failures": memory.ice_failures,
                "local_candidates": _told(local),
                "remote_candidates": _told(remote),
                "hint": "add_turn_server",
            },
        )


def _told(counts: Mapping[CandidateKind, int]) -> dict[str, int]:
    return {kind.value: counts.get(kind, 0) for kind in (CandidateKind.HOST, CandidateKind.SERVER_REFLEXIVE, _RELAY)}


def want_back(core: Core, device_id: str, now: Instant) -> None:
    """Record a reconnect intent if dialling this peer is our part (spec 04 §6.3)."""
    if core.government.is_down or core.is_evicted(device_id):
        return
    pinned = device_id in core.pins
    if (
        pinned
        or device_id in core.government.let_in_again
        or (role(core.me, device_id) is Role.OFFERER and core.wants_link(device_id))
    ):
        core.intents.record(device_id, now.mono, sticky=pinned)
        if not core.timers.is_set(NetworkTimer.INTENTS, ""):
            core.timers.set(NetworkTimer.INTENTS, "", now.mono + INTENT_FIRST_LOOK_S)


def dial_unless_offered(core: Core, device_id: str, now: Instant) -> None:
    """DIAL_ANYWAY (spec 04 §5.3): the lower side should offer; if it does not, we do, at most once in 30 s."""
    if core.government.is_down or core.config.listens_only or core.timers.is_set(PeerTimer.DIAL_ANYWAY, device_id):
        return
    memory = core.memories.get(device_id)
    came_back = core.is_rostered(device_id) and (memory is None or not memory.has_proved)
    at = now.mono + (DIAL_BACK_S if came_back else max(DIAL_ANYWAY_S, core.answer_s))
    if memory is not None:
        at = max(at, memory.dial_not_before)
        if memory.dialled_anyway_at is not None:
            at = max(at, memory.dialled_anyway_at + DIAL_ANYWAY_GAP_S)
    core.timers.set(PeerTimer.DIAL_ANYWAY, device_id, at)


def has_room_for_dial(core: Core, device_id: str, now: Instant, *, likely: bool = False) -> bool:
    """Dials of ours to strangers wait for their turn; members, pins and whoever offers do not. `likely`: the shape will
    hardly prune this link."""
    if device_id in core.roster or device_id in core.pins:
        return True
    if core.shape.changes_with_members and not likely:
        most = MAX_PASSING_DIALS
    else:
        most = MAX_SHAPED_DIALS if core.shape.prunes else MAX_UNPROVEN_LINKS
    return len(core.dials) < most or now.mono - next(iter(core.dials.values())) >= DIAL_TURN_S


def close_lingering(core: Core, key: str) -> None:
    """The last frame had its time."""
    device_id, epoch = core.lingering.pop(key)
    core.out.append(CloseSession(device_id, epoch))


def close_all(core: Core) -> None:
    """Close every transport; nothing else is said."""
    for device_id, epoch in core.lingering.values():
        core.out.append(CloseSession(device_id, epoch))
    core.lingering.clear()
    for device_id in list(core.successors):
        beside.end(core, device_id)
    for device_id in list(core.peers):
        peer = core.end(Turn.STOPPED, device_id)
        if isinstance(peer, Link):
            core.out.append(CloseSession(device_id, peer.epoch))
    core.timers.clear()


def _new_transport(
    core: Core, device_id: str, turn: Turn, *, offerer: bool, opened_by: OpenedBy, now: Instant
) -> Connecting:
    peer = Connecting(device_id, core.next_epoch(), Transport(now.mono, offerer, opened_by))
    core.enter(turn, peer, now)
    core.peers[device_id] = core.peers.pop(device_id)  # the newest entry is the last one
    core.roll.becomes_last(device_id)
    core.timers.cancel(PeerTimer.DIAL_ANYWAY, device_id)
    core.timers.set(LinkTimer.CHANNEL_OPEN, device_id, now.mono + CHANNEL_OPEN_TIMEOUT_S)
    as_role = Role.OFFERER if offerer else Role.ANSWERER
    core.diag(now, "info", "peer", f"connecting to {short_id(device_id)}", {"peer": device_id, "role": as_role.value})
    core.out.append(OpenSession(device_id, peer.epoch, offerer))
    if offerer:
        make_offer(core, peer, now)
    core.refresh_phase()
    return peer


def _close(core: Core, peer: Link, now: Instant, *, linger: bool) -> None:
    core.timers.cancel_link(peer.device_id)
    core.government.letters.pop(peer.device_id, None)
    if (certificate := peer.transport.remote_fingerprint) is not None:
        core.memories.of(peer.device_id).certificate_ended(certificate)
    if offer_ids := peer.transport.offer_ids:
        core.memories.of(peer.device_id).note_ended(offer_ids)
    if linger:
        key = f"{peer.device_id}/{peer.epoch}"
        core.lingering[key] = (peer.device_id, peer.epoch)
        core.timers.set(PeerTimer.LINGER, key, now.mono + DENY_LINGER_S)
    else:
        core.out.append(CloseSession(peer.device_id, peer.epoch))
    if isinstance(peer, Live):
        core.government.note_heard(peer.device_id, now.wall_ms // 1000)
        core.routes.forget(peer.device_id)
        core.out.append(LinkDown(peer.device_id, peer.epoch))


def _remove(core: Core, device_id: str, turn: Turn, now: Instant, *, linger: bool) -> Peer | None:
    peer = core.end(turn, device_id)
    if peer is not None:
        if isinstance(peer, Link):
            _close(core, peer, now, linger=linger)
        reason = DROPS[turn]
        word = reason_word(reason.kind)
        core.diag(now, "warn", "peer", f"dropped {short_id(device_id)}: {word}", {"peer": device_id, "reason": word})
        core.emit(PeerDropped(core.network_id, device_id, reason))
        reliable.link_ended(core, device_id, reason)
    return peer


def _after_drop(core: Core, now: Instant) -> None:
    if core.is_quiet:
        pace.look(core, now)
    core.refresh_phase()
    shelving.reevaluate(core, now)


def _starts_window(peer: Peer) -> bool:
    """A retry that failed keeps the window of the loss that it answers; everything else opens a new one."""
    if isinstance(peer, Connecting):
        return peer.transport.opened_by is not OpenedBy.INTENT
    return isinstance(peer, OpenLink)


def _make_room(core: Core, device_id: str, now: Instant) -> None:
    """Unproven strangers share a fixed number of transports; the oldest gives way to the newest."""
    if core.is_rostered(device_id):
        return
    if len(core.unproven) >= MAX_UNPROVEN_LINKS:
        oldest = next(iter(core.unproven))
        drop(core, oldest, Turn.CROWDED_OUT, now)
        core.intents.clear(oldest)
