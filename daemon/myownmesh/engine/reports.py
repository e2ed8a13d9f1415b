"""What a transport reports of its descriptions and candidates (spec 04 §1.7, §5.4–5.6, §5.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import negotiation, restarting
from myownmesh.engine.actions import AddCandidate
from myownmesh.engine.candidates import kind_of
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.links import SdpType
from myownmesh.engine.peer import Live, OwnOffer
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import OFFER_REPEAT_S
from myownmesh.protocol.ice_credentials import ice_ufrag
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import SendAnswer, SendCandidate, SendOffer

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import (
        CandidateRejected,
        GatheringDone,
        LocalDescription,
        NegotiationFailed,
        RemoteApplied,
    )
    from myownmesh.engine.peer import Link, Transport
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import Candidate


def local_description(core: Core, peer: Link, event: LocalDescription, now: Instant) -> None:
    """Our offer or answer is ready: send it."""
    detail: dict[str, object] = {"peer": peer.device_id, "sdp_bytes": len(event.sdp)}
    if event.type is SdpType.ANSWER:
        core.publish(SendAnswer(peer.device_id, event.sdp, _answered(peer.transport)))
        core.diag(now, "debug", "signaling", f"answer to {short_id(peer.device_id)}", detail)
        return
    transport = peer.transport
    if transport.own_offer is not OwnOffer.BUILDING:
        return  # the peer's offer overtook it
    transport.own_offer = OwnOffer.OPEN
    transport.last_offer = now.mono
    offer_id = new_offer_id(core.me, peer.device_id, core.rng)
    transport.offered(offer_id, ice_ufrag(event.sdp))
    transport.signaled_by = offer_id
    core.publish(SendOffer(peer.device_id, event.sdp, offer_id))
    again, transport.offered_again = transport.offered_again, None
    if again is None:
        core.diag(now, "debug", "signaling", f"offer to {short_id(peer.device_id)}", detail)
    else:
        detail["reason"] = again.value
        core.diag(now, "debug", "signaling", f"another offer to {short_id(peer.device_id)}", detail)
    if not transport.remote_sdp_set:
        core.timers.set(LinkTimer.REOFFER, peer.owner, now.mono + max(OFFER_REPEAT_S, core.answer_s))


def local_candidate(core: Core, peer: Link, candidate: Candidate, now: Instant) -> None:
    """Every candidate of ours is sent at once, behind its description."""
    counts, kind = peer.transport.local_candidates, kind_of(candidate.candidate)
    counts[kind] = counts.get(kind, 0) + 1
    core.diag(now, "debug", "ice", "local candidate", {"peer": peer.device_id, "kind": kind.value})
    core.publish(SendCandidate(peer.device_id, candidate, peer.transport.signaled_by))


def gathering_done(core: Core, peer: Link, event: GatheringDone, now: Instant) -> None:
    """Only told here: no end of candidates exists on the wire."""
    core.left_out = event.left_out
    counts = {kind.value: count for kind, count in peer.transport.local_candidates.items()}
    detail: dict[str, object] = {
        "peer": peer.device_id,
        "host": counts.get("host", 0),
        "srflx": counts.get("server_reflexive", 0),
        "relay": counts.get("relay", 0),
    }
    if event.left_out:
        detail["left_out"] = event.left_out
    core.diag(now, "debug", "ice", "gathering done", detail)


def remote_applied(core: Core, peer: Link, event: RemoteApplied, now: Instant) -> None:
    """A description of the peer is in force: candidates that came before it may count now."""
    transport = peer.transport
    transport.remote_sdp_set = True
    if event.fingerprint is not None:
        transport.remote_fingerprint = event.fingerprint
    if transport.own_offer is not OwnOffer.OPEN:
        core.timers.cancel(LinkTimer.REOFFER, peer.owner)
    memory = core.memories.get(peer.device_id)
    if memory is None:
        return
    candidates = memory.fresh_candidates(now.mono)
    for candidate in candidates:
        core.out.append(AddCandidate(peer.device_id, peer.epoch, candidate))
    if candidates:
        core.diag(
            now,
            "debug",
            "ice",
            "early candidates applied",
            {"peer": peer.device_id, "count": len(candidates)},
        )


def candidate_rejected(core: Core, peer: Link, event: CandidateRejected, now: Instant) -> None:
    """The transport cannot use a candidate of the peer; it goes on with the others."""
    detail = {"peer": peer.device_id, "kind": kind_of(event.candidate).value, "error": event.error}
    core.diag(now, "warn", "ice", "remote candidate rejected", detail)


def failed(core: Core, peer: Link, event: NegotiationFailed, now: Instant) -> None:
    """A description could not be built or applied; the session is as it was."""
    core.diag(
        now,
        "error",
        "signaling",
        f"{'own' if event.local else 'remote'} {event.type.value} of {short_id(peer.device_id)} is unusable",
        {"peer": peer.device_id, "sdp_type": event.type.value, "error": event.error},
    )
    transport = peer.transport
    if not event.local and not transport.remote_sdp_set:
        transport.remote_fingerprint = None
    was_restart = isinstance(peer, Live) and event.local == (event.type is SdpType.OFFER) and transport.offers_restart
    if event.type is SdpType.OFFER:
        if event.local:
            transport.own_offer = OwnOffer.NONE
        else:
            transport.last_remote_offer = None
            _answered(transport)
    elif not event.local and not was_restart:
        negotiation.recover(core, peer.device_id, now)
    if was_restart and isinstance(peer, Live):
        restarting.refused(core, peer, now)


def _answered(transport: Transport) -> str:
    """The id of the offer that the session is done with; it takes them one after the other."""
    return transport.answering.pop(0) if transport.answering else ""
