"""What local clients see of a peer (spec 01 §17.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.protocol.ids import device_suffix
from myownmesh.protocol.views import CandidateCounts, PeerInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.views import CandidateKind


def peer_info(peer: Peer) -> PeerInfo:
    """The row of `peers_list`."""
    return PeerInfo(
        device_id=peer.device_id,
        status=peer.status,
        tier=peer.tier,
        rtt_ms=peer.rtt_ms,
        clock_skew_ms=peer.clock_skew_ms,
        label=peer.label,
        capabilities=peer.capabilities,
        local_shelved=peer.local_shelved,
        remote_shelved=peer.remote_shelved,
        authenticated=peer.authenticated,
        device_suffix=device_suffix(peer.device_id),
        verification_code_received=peer.handshake.code_received,
        verification_code_sent=peer.handshake.code_sent,
        local_approve_sent=peer.local_approve_sent,
        remote_approve_seen=peer.remote_approve_seen,
        local_candidates=_counts(peer.local_candidates),
        remote_candidates=_counts(peer.remote_candidates),
        selected_pair=peer.selected_pair,
    )


def _counts(by_kind: Mapping[CandidateKind, int]) -> CandidateCounts:
    return CandidateCounts(**{kind.value: count for kind, count in by_kind.items()})
