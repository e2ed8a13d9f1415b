"""Mesh events: what a daemon tells when something happens in a network (spec 04 §9.2, 05 §10.3).

The engine makes these, the daemon writes them, clients read them. On the wire each is one flat object with two tags:
`event_kind`, and `kind` for all but `Diag`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from mesh_common.views import CapabilityAdvert, DropReason, Why

GRACE_WINDOW_MS: Final = 90_000
"""`grace_window_ms` of `dropped`: for so long after the loss the side that dials keeps trying (spec 04 §2)."""

NO_CAPABILITIES: Final = CapabilityAdvert()

Level = Literal["debug", "info", "warn", "error"]


class PeerSighted(Struct, frozen=True, tag_field="kind", tag="sighted"):
    """A peer is known, or another transport to it begins: once for each appearance (spec 04 §5.2)."""

    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str


class PeerAuthenticated(Struct, frozen=True, tag_field="kind", tag="authenticated"):
    """The peer proved its identity and said hello; a person may now compare the codes."""

    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str
    label: str
    verification_code: str
    """The code that came in the peer's hello."""
    capabilities: CapabilityAdvert = NO_CAPABILITIES
    rostered: bool = False
    """The roster admits it: nobody will be asked."""


class PeerApproved(Struct, frozen=True, tag_field="kind", tag="approved"):
    """The peer is active: application frames flow."""

    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str
    label: str


class PeerShelved(Struct, frozen=True, tag_field="kind", tag="shelved"):
    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str
    reason: str | None
    by_us: bool


class PeerUnshelved(Struct, frozen=True, tag_field="kind", tag="unshelved"):
    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str
    by_us: bool


class PeerCapabilitiesChanged(Struct, frozen=True, tag_field="kind", tag="capabilities_changed"):
    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str
    capabilities: CapabilityAdvert


class PeerDropped(Struct, frozen=True, tag_field="kind", tag="dropped"):
    EVENT_KIND: ClassVar[str] = "peer"
    network_id: str
    device_id: str
    reason: DropReason
    grace_window_ms: int = GRACE_WINDOW_MS


class PhaseChanged(Struct, frozen=True, tag_field="kind", tag="changed"):
    EVENT_KIND: ClassVar[str] = "phase"
    network_id: str
    prev: str
    """One of `Phase`, like `next`."""
    next: str


class Diag(Struct, frozen=True):
    """A line for people who look for the cause of something; `category` is one of spec 04 §9.3."""

    EVENT_KIND: ClassVar[str] = "diag"
    ts: int
    """Unix milliseconds."""
    network_id: str
    level: Level
    category: str
    message: str
    detail: dict[str, Any] | None = None


class ConnTrace(Struct, frozen=True, kw_only=True):
    """One record of the connection trace: how a peer's link stands after something changed (spec 04 §9.5).

    No event: it goes to whoever subscribed to the trace, one object a line.
    """

    ts_wall_ms: int
    t_mono_ms: int
    """Milliseconds since the network was started; a gap is a sleep."""
    network_id: str
    device_id: str
    epoch: int
    changed: tuple[str, ...]
    """`appeared`, `vanished`, or which of epoch, status, tier, ice, pc, pair, auth, local_shelved, remote_shelved."""
    status: str
    tier: str
    ice_state: str | UnsetType = UNSET
    pc_state: str | UnsetType = UNSET
    pair_class: str | UnsetType = UNSET
    last_recv_age_ms: int | UnsetType = UNSET
    rtt_ms: int | UnsetType = UNSET
    authenticated: bool
    local_shelved: bool
    remote_shelved: bool
    why: Why | UnsetType = UNSET
    """Why the peer is not active; an addition of ours."""
    sealed: bool | UnsetType = UNSET
    """Whether the description behind the link came sealed; an addition of ours."""


PeerEvent = (
    PeerSighted | PeerAuthenticated | PeerApproved | PeerShelved | PeerUnshelved | PeerCapabilitiesChanged | PeerDropped
)
MeshEvent = PeerEvent | PhaseChanged | Diag


def encode_event(event: MeshEvent) -> bytes:
    """The object on the wire."""
    return b'{"event_kind":"%b",%b' % (event.EVENT_KIND.encode(), _encode(event)[1:])


_encode = msgspec.json.Encoder().encode
