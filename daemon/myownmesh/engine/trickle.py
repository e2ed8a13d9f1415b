"""A peer's candidates, as they come one by one (spec 04 §5.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.actions import AddCandidate
from myownmesh.engine.candidates import kind_of
from myownmesh.engine.limits import MAX_CANDIDATE_CHARS

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Link
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import Candidate


def receive(core: Core, device_id: str, candidate: Candidate, now: Instant) -> None:
    """Keep it for descriptions that are still under way, and use it now if the transport can (spec 04 §5.6)."""
    if not candidate.candidate or not _is_short(candidate):
        return
    core.memories.keep(device_id, candidate, now.mono)
    core.rescue.heard(device_id)
    for peer in (core.link_to(device_id), core.successors.get(device_id)):
        if peer is not None:
            _use(core, peer, candidate, now)


def _use(core: Core, peer: Link, candidate: Candidate, now: Instant) -> None:
    device_id = peer.device_id
    counts, kind = peer.transport.remote_candidates, kind_of(candidate.candidate)
    counts[kind] = counts.get(kind, 0) + 1
    if peer.transport.remote_sdp_set:
        core.out.append(AddCandidate(device_id, peer.epoch, candidate))
    else:
        core.diag(now, "debug", "ice", "remote candidate queued", {"peer": device_id, "kind": kind.value})


def _is_short(candidate: Candidate) -> bool:
    texts = (candidate.candidate, candidate.sdp_mid or "", candidate.username_fragment or "")
    return all(len(text) <= MAX_CANDIDATE_CHARS for text in texts)
