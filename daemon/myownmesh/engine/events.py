"""What the engine tells local clients: one frozen class per event, and the JSON they travel as (spec 04 §9.2)."""

from __future__ import annotations

from typing import Any, Final, Literal, assert_never

import msgspec

from myownmesh.protocol.capabilities import NO_CAPABILITIES, Capabilities
from myownmesh.protocol.views import DropReason, Phase

GRACE_WINDOW_MS: Final = 90_000
"""`grace_window_ms` of `dropped`: for so long after the loss the side that dials keeps trying (spec 04 §2)."""

Level = Literal["debug", "info", "warn", "error"]


class PeerSighted(msgspec.Struct, frozen=True):
    """A peer is known; repeated for each transport that is opened to it."""

    network_id: str
    device_id: str


class PeerAuthenticated(msgspec.Struct, frozen=True):
    """The peer proved its identity and said hello; a person may now compare the codes."""

    network_id: str
    device_id: str
    label: str
    verification_code: str
    """The code that came in the peer's hello."""
    capabilities: Capabilities = NO_CAPABILITIES
    rostered: bool = False
    """The roster admits it: nobody will be asked."""


class PeerApproved(msgspec.Struct, frozen=True):
    """The peer is active: application frames flow."""

    network_id: str
    device_id: str
    label: str


class PeerShelved(msgspec.Struct, frozen=True):
    network_id: str
    device_id: str
    reason: str | None
    by_us: bool


class PeerUnshelved(msgspec.Struct, frozen=True):
    network_id: str
    device_id: str
    by_us: bool


class PeerCapabilitiesChanged(msgspec.Struct, frozen=True):
    network_id: str
    device_id: str
    capabilities: Capabilities


class PeerDropped(msgspec.Struct, frozen=True):
    network_id: str
    device_id: str
    reason: DropReason
    grace_window_ms: int = GRACE_WINDOW_MS


class PhaseChanged(msgspec.Struct, frozen=True):
    network_id: str
    prev: Phase
    next: Phase


class Diag(msgspec.Struct, frozen=True):
    """A line for people who look for the cause of something; `category` is one of spec 04 §9.3."""

    ts: int
    """Unix milliseconds."""
    network_id: str
    level: Level
    category: str
    message: str
    detail: dict[str, Any] | None = None


PeerEvent = (
    PeerSighted | PeerAuthenticated | PeerApproved | PeerShelved | PeerUnshelved | PeerCapabilitiesChanged | PeerDropped
)
MeshEvent = PeerEvent | PhaseChanged | Diag


def event_json(event: MeshEvent) -> dict[str, Any]:
    """The flat object of spec 04 §9.2; free JSON inside an advert stays a `msgspec.Raw`."""
    match event:
        case PhaseChanged():
            return {
                "event_kind": "phase",
                "kind": "changed",
                "network_id": event.network_id,
                "prev": event.prev,
                "next": event.next,
            }
        case Diag():
            return {
                "event_kind": "diag",
                "ts": event.ts,
                "network_id": event.network_id,
                "level": event.level,
                "category": event.category,
                "message": event.message,
                "detail": event.detail,
            }
        case _:
            return {"event_kind": "peer", **_peer_members(event)}


def _peer_members(event: PeerEvent) -> dict[str, Any]:
    head = {"network_id": event.network_id, "device_id": event.device_id}
    match event:
        case PeerSighted():
            return {"kind": "sighted", **head}
        case PeerAuthenticated():
            return {
                "kind": "authenticated",
                **head,
                "label": event.label,
                "verification_code": event.verification_code,
                "capabilities": _advert(event.capabilities),
                "rostered": event.rostered,
            }
        case PeerApproved():
            return {"kind": "approved", **head, "label": event.label}
        case PeerShelved():
            return {"kind": "shelved", **head, "reason": event.reason, "by_us": event.by_us}
        case PeerUnshelved():
            return {"kind": "unshelved", **head, "by_us": event.by_us}
        case PeerCapabilitiesChanged():
            return {"kind": "capabilities_changed", **head, "capabilities": _advert(event.capabilities)}
        case PeerDropped():
            return {
                "kind": "dropped",
                **head,
                "reason": event.reason.to_json(),
                "grace_window_ms": event.grace_window_ms,
            }
        case _:
            assert_never(event)


def _advert(advert: Capabilities) -> dict[str, Any]:
    """Every member, unknown ones as `null` (spec 05 §7.4)."""
    return {
        "tags": list(advert.tags),
        "app_version": advert.app_version,
        "max_connections": advert.max_connections,
        "extra": advert.extra,
    }
