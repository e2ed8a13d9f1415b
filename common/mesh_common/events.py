"""Mesh events: what a daemon tells when something happens in a network (spec 04 §9.2, 05 §10.3).

The engine makes these, the daemon writes them as they are, clients read them. The first two members are the tags of the
flat object on the wire.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from attrs import field, frozen

from mesh_common.views import CapabilityAdvert, DropReason

GRACE_WINDOW_MS: Final = 90_000
"""`grace_window_ms` of `dropped`: for so long after the loss the side that dials keeps trying (spec 04 §2)."""

NO_CAPABILITIES: Final = CapabilityAdvert()

Level = Literal["debug", "info", "warn", "error"]


@frozen(slots=False)
class PeerSighted:
    """A peer is known, or another transport to it begins: once for each appearance (spec 04 §5.2)."""

    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="sighted", init=False, repr=False)
    network_id: str
    device_id: str


@frozen(slots=False)
class PeerAuthenticated:
    """The peer proved its identity and said hello; a person may now compare the codes."""

    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="authenticated", init=False, repr=False)
    network_id: str
    device_id: str
    label: str
    verification_code: str
    """The code that came in the peer's hello."""
    capabilities: CapabilityAdvert = NO_CAPABILITIES
    rostered: bool = False
    """The roster admits it: nobody will be asked."""


@frozen(slots=False)
class PeerApproved:
    """The peer is active: application frames flow."""

    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="approved", init=False, repr=False)
    network_id: str
    device_id: str
    label: str


@frozen(slots=False)
class PeerShelved:
    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="shelved", init=False, repr=False)
    network_id: str
    device_id: str
    reason: str | None
    by_us: bool


@frozen(slots=False)
class PeerUnshelved:
    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="unshelved", init=False, repr=False)
    network_id: str
    device_id: str
    by_us: bool


@frozen(slots=False)
class PeerCapabilitiesChanged:
    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="capabilities_changed", init=False, repr=False)
    network_id: str
    device_id: str
    capabilities: CapabilityAdvert


@frozen(slots=False)
class PeerDropped:
    event_kind: str = field(default="peer", init=False, repr=False)
    kind: str = field(default="dropped", init=False, repr=False)
    network_id: str
    device_id: str
    reason: DropReason
    grace_window_ms: int = GRACE_WINDOW_MS


@frozen(slots=False)
class PhaseChanged:
    event_kind: str = field(default="phase", init=False, repr=False)
    kind: str = field(default="changed", init=False, repr=False)
    network_id: str
    prev: str
    """One of `Phase`, like `next`."""
    next: str


@frozen(slots=False)
class Diag:
    """A line for people who look for the cause of something; `category` is one of spec 04 §9.3."""

    event_kind: str = field(default="diag", init=False, repr=False)
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
