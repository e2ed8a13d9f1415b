"""The `data` of each answer of the control socket (spec 05 §7–§14), as the daemon writes it and clients read it.

Members that an older daemon does not send have the default that their absence means (spec 05 §20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from mesh_common.views import JoinedNetwork, NetworkSummary, PeerInfo, RosterRow, ServicesReport

# ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class ClockSkew:
    """How wrong this device's wall clock is."""

    ahead_ms: int
    """Negative when it is behind."""
    by: str
    """According to whom: `relays`, `peers` or `room` (spec 03 §20)."""


@frozen(slots=False)
class StatusAnswer:
    version: str
    device_id: str
    """Display form."""
    joined_networks: tuple[str, ...] = ()
    """Wire ids in join order."""
    media_lanes: int = 1
    media_pipes: bool = False
    home: str | None = None
    """The data directory. This and the two below are said by our daemon only."""
    instance: str | None = None
    """16 hex digits, new at each start: tells a restarted daemon from the one that was."""
    pid: int | None = None
    clock: ClockSkew | None = None
    """None until somebody has told the daemon the time."""


@frozen(slots=False)
class IdentityAnswer:
    device_id: str
    """Display form."""
    pubkey: str
    """Bare form: how peers name this device."""
    label: str


@frozen(slots=False)
class NetworkIdAnswer:
    network_id: str


@frozen(slots=False)
class ConfigAnswer:
    config: Mapping[str, Any] = field(repr=False)
    """The configuration file with every default, secrets included (spec 07)."""


@frozen(slots=False)
class ServicesAnswer:
    status: ServicesReport
    config: Mapping[str, Any] = field(repr=False)
    """Secrets included."""
    config_redacted: Mapping[str, Any] | None = None


@frozen(slots=False)
class ServicesSet:
    status: ServicesReport


# ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class NetworksAnswer:
    networks: tuple[NetworkSummary, ...]


@frozen(slots=False)
class NetworkAdded:
    added: JoinedNetwork


@frozen(slots=False)
class NetworkRemoved:
    removed: str
    """Record id."""


@frozen(slots=False)
class NetworkUpdated:
    updated: JoinedNetwork | str
    """The record id when nothing had to be restarted."""
    restarted: bool


@frozen(slots=False)
class NetworkReconnecting:
    reconnecting: str


@frozen(slots=False)
class PeerConnecting:
    connecting: str
    network: str
    pinned: bool
    active: bool


@frozen(slots=False)
class TopologySet:
    topology: str


@frozen(slots=False)
class CapabilitiesSet:
    advertised: bool = True


# ── peers and roster ──────────────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class PeersAnswer:
    peers: tuple[PeerInfo, ...]


@frozen(slots=False)
class RosterAnswer:
    roster: tuple[RosterRow, ...]


@frozen(slots=False)
class DeviceApproved:
    approved: str


@frozen(slots=False)
class DeviceRemoved:
    removed: str


# ── events, calls, channels ───────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class EventsSubscribed:
    subscribed: bool
    client_id: str


@frozen(slots=False)
class MethodRegistered:
    registered: bool = True


@frozen(slots=False)
class MethodReleased:
    released: bool


@frozen(slots=False)
class CallResolved:
    resolved: bool = True


@frozen(slots=False)
class ChunkDelivered:
    delivered: bool = True


@frozen(slots=False)
class StreamClosed:
    closed: bool


@frozen(slots=False)
class CallAnswer:
    response: Any = None


@frozen(slots=False)
class StreamStarted:
    request_id: str


@frozen(slots=False)
class ChannelSubscribed:
    subscribed: bool = True


@frozen(slots=False)
class ChannelUnsubscribed:
    unsubscribed: bool = True


@frozen(slots=False)
class MessageSent:
    sent: bool = True
    """Handed to the link; whether it arrives is not known."""


@frozen(slots=False)
class MessageDispatched:
    dispatched_to: int
    """Peers whose links took it."""
