"""What local clients see of a peer (spec 01 §17.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.views import CandidateCounts, CapabilityAdvert, PeerInfo
from myownmesh.engine.approval import has_approved
from myownmesh.engine.peer import STEADY, Handshaking, Link, Live, OpenLink, Pending, Shelved
from myownmesh.protocol.ids import device_suffix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh_common.views import CandidateKind, Why
    from myownmesh.engine.memory import PeerMemory
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.roster import Entry


def peer_info(
    peer: Peer, memory: PeerMemory | None = None, why: Why | None = None, known: Entry | None = None
) -> PeerInfo:
    """The row of `peers_list`; what the peer's stage does not have is told as nothing yet.

    `known`: its row in the roster, whose name stands until the peer says its own.
    """
    transport = peer.transport if isinstance(peer, Link) else None
    channel = peer.channel if isinstance(peer, OpenLink) else None
    greeting = channel.greeting if channel else None
    upkeep = peer.upkeep if isinstance(peer, Live) else None
    recovery = transport.recovery if transport else None
    return PeerInfo(
        device_id=peer.device_id,
        status=peer.status,
        tier=recovery.tier if recovery else STEADY,
        rtt_ms=upkeep.rtt_ms if upkeep else None,
        clock_skew_ms=upkeep.clock_skew_ms if upkeep else None,
        label=greeting.label if greeting else known.shown_label if known else "",
        capabilities=advert(channel.capabilities) if channel and channel.capabilities else None,
        local_shelved=isinstance(peer, Shelved),
        remote_shelved=upkeep is not None and upkeep.remote_shelved,
        authenticated=isinstance(peer, Pending | Live),
        device_suffix=device_suffix(peer.device_id),
        verification_code_received=greeting.code if greeting else None,
        verification_code_sent=channel.code if channel else None,
        local_approve_sent=has_approved(peer),
        remote_approve_seen=isinstance(peer, Live)
        or (isinstance(peer, Handshaking | Pending) and peer.opening.approve_seen),
        local_candidates=_counts(transport.local_candidates if transport else {}),
        remote_candidates=_counts(transport.remote_candidates if transport else {}),
        selected_pair=transport.selected_pair if transport else None,
        needs_turn=memory is not None and memory.needs_turn,
        why=why,
        sealed=transport.is_sealed if transport else None,
    )


def advert(capabilities: Capabilities) -> CapabilityAdvert:
    """What a peer offers; its free JSON stays the text that it came as."""
    return CapabilityAdvert(
        capabilities.tags, capabilities.app_version, capabilities.max_connections, capabilities.extra
    )


def _counts(by_kind: Mapping[CandidateKind, int]) -> CandidateCounts:
    return CandidateCounts(**{kind.value: count for kind, count in by_kind.items()})
