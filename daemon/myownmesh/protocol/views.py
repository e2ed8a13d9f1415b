"""What local clients see of a network: peers, phases and counters (spec 01 §17, 05 §7.3, §7.4).

All of it encodes straight to the JSON of the control socket with `msgspec.json.encode`; `to_json` gives the same as
dictionaries, in which free JSON values stay `msgspec.Raw`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.traffic import Lane, Traffic

__all__ = [
    "CandidateCounts",
    "CandidateKind",
    "DropReason",
    "Lane",
    "PeerInfo",
    "PeerStatus",
    "Phase",
    "SelectedPair",
    "Tier",
    "Traffic",
]


class PeerStatus(StrEnum):
    SIGHTED = "sighted"
    """Known from signaling; the connection is absent or being set up."""
    HANDSHAKING = "handshaking"
    PENDING_APPROVAL = "pending_approval"
    ACTIVE = "active"
    SHELVED = "shelved"
    """Admitted, not preferred locally."""
    RECONNECTING = "reconnecting"
    OFFLINE = "offline"
    ERROR = "error"


class Phase(StrEnum):
    """Where a whole network stands."""

    JOINING = "joining"
    ALONE = "alone"
    DISCOVERING = "discovering"
    ACTIVE = "active"
    DEGRADED = "degraded"
    STOPPED = "stopped"


class CandidateKind(StrEnum):
    HOST = "host"
    SERVER_REFLEXIVE = "server_reflexive"
    PEER_REFLEXIVE = "peer_reflexive"
    RELAY = "relay"
    UNKNOWN = "unknown"


class Tier(msgspec.Struct, frozen=True, omit_defaults=True):
    """Step of the recovery ladder: `steady`, `wake_probe`, `ice_watchdog`, `ice_restart`, `stop_start`."""

    kind: str
    attempt: int | None = None
    """Only `rehandshake` and `room_rejoin` carry it; nobody produces them any more."""

    def to_json(self) -> dict[str, Any]:
        return _members(self)


class DropReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a peer's link ended: `denied`, `ice_failed`, `auth_failed`, `user_left`, `topology_pruned`, …"""

    kind: str
    message: str | None = None
    """Only `transport_error` carries it."""

    def to_json(self) -> dict[str, Any]:
        return _members(self)


class CandidateCounts(msgspec.Struct, frozen=True):
    """ICE candidates seen so far, by kind."""

    host: int = 0
    server_reflexive: int = 0
    peer_reflexive: int = 0
    relay: int = 0
    unknown: int = 0

    def to_json(self) -> dict[str, Any]:
        return _members(self)


class SelectedPair(msgspec.Struct, frozen=True):
    """Candidate kinds at both ends of the path in use."""

    local: str
    remote: str

    def to_json(self) -> dict[str, Any]:
        return _members(self)


class PeerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `peers_list`."""

    device_id: str
    status: str
    tier: Tier
    rtt_ms: int | None = None
    clock_skew_ms: int | None = None
    """Positive: the peer's clock is ahead."""
    label: str = ""
    capabilities: Capabilities | None = None
    local_shelved: bool = False
    remote_shelved: bool = False
    authenticated: bool = False
    device_suffix: str
    verification_code_received: str | None = None
    verification_code_sent: str | None = None
    local_approve_sent: bool = False
    remote_approve_seen: bool = False
    needs_turn: bool = False
    local_candidates: CandidateCounts = CandidateCounts()
    remote_candidates: CandidateCounts = CandidateCounts()
    selected_pair: SelectedPair | None = None

    def to_json(self) -> dict[str, Any]:
        return _members(self)


def _members(view: msgspec.Struct) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name in view.__struct_fields__:
        value = getattr(view, name)
        if value is not None or not view.__struct_config__.omit_defaults:
            members[name] = _members(value) if isinstance(value, msgspec.Struct) else value
    return members
