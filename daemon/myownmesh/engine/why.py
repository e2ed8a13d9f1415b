"""Why a peer is not active, for people: one verdict per peer, read off what its stage and timers say.

Pure; nothing is kept for it but the moment at which each stage began. docs/why.md lists `CODES`, and a test compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import to_builtins

from mesh_common.events import Diag
from mesh_common.views import NextStep, Why
from myownmesh.engine import suspicion
from myownmesh.engine.actions import Emit
from myownmesh.engine.peer import (
    Active,
    Connecting,
    Handshaking,
    Live,
    OurApprove,
    OwnOffer,
    Pending,
    Placeholder,
)
from myownmesh.engine.timers import LinkTimer, PeerTimer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mesh_common.views import PeerStatus
    from myownmesh.engine.actions import Action
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Peer
    from myownmesh.engine.timers import Timer

    _Step = tuple[Timer, str, str]
    """What happens when a timer of somebody ends, in words."""

CODES: Final[Mapping[str, str]] = {
    "offline": "this device has no network; everything waits until it has one again",
    "waits_for_offer": "it was seen in the room; the device with the lower id dials, and that is the other one",
    "waits_after_failures": "the last attempts failed, so the next one waits",
    "waits_for_turn": "too many strangers are dialled at once; its turn comes",
    "kept_apart_by_shape": "the network's shape holds no link between the two devices; frames go over others",
    "silent_network": "in a silent network nobody dials by itself; connect to it to make a link",
    "listens_only": "this device only listens, and dials nobody by itself; connect to it to make a link",
    "waits_for_answer": "our offer is out and the other device has not answered it yet",
    "prepares_offer": "our offer is being made",
    "no_path_yet": "both sides know each other's addresses; no path between them has worked yet",
    "needs_turn": "three attempts found no path, and neither side has a relay (TURN); add a TURN server to the network",
    "waits_for_hello": "the channel is open; the other device has not introduced itself yet",
    "waits_for_proof": "the channel is open; the other device has not proved its identity yet",
    "waits_for_us": "it waits for a person here: compare the codes and approve it",
    "waits_for_signature": "this network is closed: it waits for an owner or controller to sign it in",
    "waits_for_authority": "nobody who can know has told this device yet who belongs here; only signed logs pass",
    "waits_for_them": "it is approved here and waits for a person at the other device",
    "shelved": "it is connected; the network's shape does not prefer this link, so broadcasts skip it",
    "path_down": "no packets come from it any more; another path is being negotiated, unless this one comes back",
    "path_untested": "a new path to it is up; no frame has come over it yet",
    "rebuilding": "it has said nothing over a path that works; another link to it is being made beside this one",
    "suspected": "it checks its path and has not answered our pings yet",
}
"""Every code, and what it means."""


def verdict(core: Core, peer: Peer, mono: float) -> Why | None:
    """None for a peer that is active and heard."""
    code, steps = _judge(core, peer, mono)
    if not code:
        return None
    since = core.offline_since
    if since is None:
        since = max(core.since.get(peer.device_id, mono), _trouble_since(peer))
    step = next((told for each in steps if (told := _told(core, each, mono)) is not None), None)
    return Why(code, max(0, round((mono - since) * 1000)), CODES[code], step)


class Standing(NamedTuple):
    """How a peer stands, in few words."""

    device_id: str
    status: PeerStatus
    code: str
    """That of the verdict; empty without one."""


def standing(core: Core, peer: Peer, mono: float) -> Standing:
    """The verdict's code alone: nobody reads the rest."""
    return Standing(peer.device_id, peer.status, _judge(core, peer, mono)[0])


def explain(core: Core, actions: Iterable[Action], mono: float) -> None:
    """Have diagnostics about the life of a peer say why it is not active, as it stands now."""
    for action in actions:
        if isinstance(action, Emit) and isinstance(action.event, Diag) and action.event.category == "peer":
            detail = action.event.detail or {}
            peer = core.peers.get(detail.get("peer", ""))
            reason = None if peer is None else verdict(core, peer, mono)
            if reason is not None:
                detail["why"] = to_builtins(reason)


def _judge(core: Core, peer: Peer, mono: float) -> tuple[str, tuple[_Step, ...]]:
    """The code, and what may come next: the first of the steps whose timer is set does."""
    if core.offline_since is not None:
        return "offline", ()
    if isinstance(peer, Placeholder):
        return _of_placeholder(core, peer, mono)
    if isinstance(peer, Connecting):
        return _of_attempt(core, peer)
    if isinstance(peer, Handshaking):
        code = "waits_for_hello" if peer.channel.greeting is None else "waits_for_proof"
        return code, ((LinkTimer.HANDSHAKE, peer.owner, "give up and dial anew"),)
    if isinstance(peer, Pending):
        return _of_pending(core, peer), ()
    assert isinstance(peer, Live)
    return _of_live(core, peer)


def _of_pending(core: Core, peer: Pending) -> str:
    if peer.our_approve is OurApprove.SENT:
        return "waits_for_authority" if peer.provisional else "waits_for_them"
    is_signed = core.kind == "closed" and core.government.book.is_founded
    return "waits_for_signature" if is_signed else "waits_for_us"


def _of_placeholder(core: Core, peer: Placeholder, mono: float) -> tuple[str, tuple[_Step, ...]]:
    if core.is_silent() and peer.device_id not in core.pins:
        return "silent_network", ()
    if core.config.listens_only and peer.device_id not in core.pins:
        return "listens_only", ()
    if not core.wants_link(peer.device_id):
        return "kept_apart_by_shape", ()
    steps = ((PeerTimer.DIAL_ANYWAY, peer.device_id, "dial it"),)
    memory = core.memories.get(peer.device_id)
    if memory is not None and memory.needs_turn:
        return "needs_turn", steps
    if memory is not None and memory.dial_not_before > mono:
        return "waits_after_failures", steps
    return "waits_for_offer" if peer.expects_link and core.me > peer.device_id else "waits_for_turn", steps


def _of_attempt(core: Core, peer: Connecting) -> tuple[str, tuple[_Step, ...]]:
    transport = peer.transport
    gives_up = (LinkTimer.CHANNEL_OPEN, peer.owner, "give up and dial anew")
    memory = core.memories.get(peer.device_id)
    if memory is not None and memory.needs_turn:
        return "needs_turn", (gives_up,)
    if transport.remote_sdp_set:
        return "no_path_yet", (gives_up,)
    if transport.own_offer is OwnOffer.BUILDING:
        return "prepares_offer", (gives_up,)
    return "waits_for_answer", ((LinkTimer.REOFFER, peer.owner, "offer again"), gives_up)


def _trouble_since(peer: Peer) -> float:
    """When a live link began to be in doubt."""
    if not isinstance(peer, Live):
        return 0.0
    transport = peer.transport
    if transport.carrier.is_down and transport.recovery is not None:
        return transport.recovery.since
    if (suspected_since := suspicion.suspected_since(peer)) is not None:
        return suspected_since
    return 0.0 if transport.restart is None else transport.restart.since


def _of_live(core: Core, peer: Live) -> tuple[str, tuple[_Step, ...]]:
    transport, owner = peer.transport, peer.device_id
    verdict = (LinkTimer.RESTART_VERDICT, owner, "dial anew unless it is heard")
    if transport.carrier.is_down:
        return "path_down", ((LinkTimer.RESTART, owner, "offer another path"), verdict)
    successor = core.successors.get(owner)
    if successor is not None and successor.transport.offerer and _is_mute_since(peer, successor.transport.opened_at):
        return "rebuilding", ((LinkTimer.CHANNEL_OPEN, successor.owner, "give the other one up"),)
    if suspicion.suspected_since(peer) is not None:
        asks = (LinkTimer.ASKED, owner, "ask again or offer another path")
        return "suspected", (asks, (LinkTimer.PROBE, owner, "dial anew unless it is heard"))
    if transport.restart is not None and transport.restart.up_at is not None:
        return "path_untested", (verdict,)
    return "" if isinstance(peer, Active) else "shelved", ()


def _is_mute_since(peer: Live, mono: float) -> bool:
    return peer.channel.last_recv is None or peer.channel.last_recv < mono


def _told(core: Core, step: _Step, mono: float) -> NextStep | None:
    timer, owner, what = step
    at = core.timers.when(timer, owner)
    return None if at is None else NextStep(what, max(0, round((at - mono) * 1000)))
