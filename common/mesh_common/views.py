"""What a daemon tells local programs about a network: peers, phases, shapes, counters (spec 01 §17, 05 §7.3–7.5).

The daemon writes these classes and clients read them. They are not slotted: msgspec writes the members of a slotted
class in no declared order. A member that stands on the wire only sometimes belongs to a subclass that always has it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from attrs import define, field, frozen


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


# ── peers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class Tier:
    """Step of the recovery ladder: `steady`, `wake_probe`, `ice_watchdog`, `ice_restart`, `stop_start`."""

    kind: str


@frozen(slots=False)
class RetryTier(Tier):
    """`rehandshake` and `room_rejoin`, which nobody produces any more."""

    attempt: int


@frozen(slots=False)
class DropReason:
    """Why a peer's link ended: `denied`, `ice_failed`, `auth_failed`, `user_left`, `topology_pruned`, …"""

    kind: str


@frozen(slots=False)
class TransportError(DropReason):
    """The reason `transport_error`, with its words."""

    message: str


@frozen(slots=False)
class CandidateCounts:
    """ICE candidates seen so far, by kind."""

    host: int = 0
    server_reflexive: int = 0
    peer_reflexive: int = 0
    relay: int = 0
    unknown: int = 0


@frozen(slots=False)
class SelectedPair:
    """Candidate kinds at both ends of the path in use."""

    local: str
    remote: str


@frozen(slots=False)
class CapabilityAdvert:
    """What a node offers in one network (spec 01 §9); to those who read it, `extra` is any JSON value."""

    tags: tuple[str, ...] = ()
    app_version: str | None = None
    max_connections: int | None = None
    extra: Any = None


@frozen(slots=False, kw_only=True)
class PeerInfo:
    """One row of `peers_list`."""

    device_id: str
    status: str
    """One of `PeerStatus`; a later daemon may know more."""
    tier: Tier = Tier("steady")
    rtt_ms: int | None = None
    clock_skew_ms: int | None = None
    """Positive: the peer's clock is ahead."""
    label: str = ""
    capabilities: CapabilityAdvert | None = None
    local_shelved: bool = False
    remote_shelved: bool = False
    authenticated: bool = False
    device_suffix: str = ""
    verification_code_received: str | None = None
    verification_code_sent: str | None = None
    local_approve_sent: bool = False
    remote_approve_seen: bool = False
    needs_turn: bool = False
    local_candidates: CandidateCounts = CandidateCounts()
    remote_candidates: CandidateCounts = CandidateCounts()
    selected_pair: SelectedPair | None = None


@frozen(slots=False)
class RosterRow:
    """One row of `roster_list`."""

    device_id: str
    label: str
    approved_at: int
    """Unix seconds."""
    role: str
    """`member`, `controller` or `owner`."""


# ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class Shape:
    """Which peers hold links: `full_mesh`, or one of the subclasses. What was not said is None."""

    kind: str


@frozen(slots=False)
class RingShape(Shape):
    n_preferred: int | None = None


@frozen(slots=False)
class StarShape(Shape):
    hub: str


@frozen(slots=False)
class HubsShape(Shape):
    hubs: tuple[str, ...]
    spoke_redundancy: int | None = None


@define(slots=False)
class Lane:
    """One class of frames in one direction."""

    frames: int = 0
    bytes: int = 0


@define(slots=False)
class Traffic:
    """Counters since a network was joined (spec 01 §17.5). Whoever owns the network counts in place."""

    keepalive_tx: Lane = field(factory=Lane)
    keepalive_rx: Lane = field(factory=Lane)
    control_tx: Lane = field(factory=Lane)
    control_rx: Lane = field(factory=Lane)
    gossip_tx: Lane = field(factory=Lane)
    gossip_rx: Lane = field(factory=Lane)
    app_tx: Lane = field(factory=Lane)
    app_rx: Lane = field(factory=Lane)
    other_tx: Lane = field(factory=Lane)
    other_rx: Lane = field(factory=Lane)
    relayed_forwarded: int = 0
    announces_rx: int = 0
    announces_tx: int = 0
    negotiation_rx: int = 0
    """Offers, answers, candidates and leaves."""
    negotiation_tx: int = 0
    reliable_pending: int = 0
    """Acknowledged frames that are queued right now."""


@frozen(slots=False)
class JoinedNetwork:
    """What `network_add` and a restarting `network_update` answer about a network."""

    config_id: str
    network_id: str
    """The wire id: normalised."""
    label: str
    phase: str
    """One of `Phase`."""
    topology: Shape


@frozen(slots=False)
class RelayTrouble:
    """What keeps a relay from serving; `kind` is one of spec 05 §7.3."""

    kind: str
    text: str


@frozen(slots=False)
class RelayRefusal(RelayTrouble):
    ago_ms: int | None


@frozen(slots=False)
class RelayRow:
    """How a relay serves a network at the moment; only our daemon tells."""

    url: str
    public: bool
    """One of the public relays that stand in for the network's own."""
    state: str
    """`connecting`, `up`, `refusing`, `silent` or `down`."""
    since_ms: int
    reason: RelayTrouble | None = None
    """Why it is not up."""
    refusal: RelayRefusal | None = None
    """What it refused last, however well it serves now."""
    retry_in_ms: int | None = None


@frozen(slots=False)
class NetworkSummary(JoinedNetwork):
    """One row of `networks_list`."""

    traffic: Traffic = field(factory=Traffic)
    relays: tuple[RelayRow, ...] = ()


# ── hosted services ───────────────────────────────────────────────────────────────────────────────────────────────────


@frozen(slots=False)
class NodeReport:
    enabled: bool
    joined: int
    """Networks."""


@frozen(slots=False)
class ForwardingReport:
    """The service `relay`: passing frames on for peers that cannot reach each other."""

    enabled: bool
    networks: int
    max_fanout: int


@frozen(slots=False)
class ServerReport:
    """A service with a listener of its own. Enabled and not running: its start failed."""

    enabled: bool
    running: bool
    listen: str | None = None
    """``ip:port``."""


@frozen(slots=False)
class FailedServer(ServerReport):
    """... and this is why. Only our daemon says it."""

    error: str = ""


@frozen(slots=False)
class WaitingServer(FailedServer):
    """... and it is tried again."""

    failing_since: int | None = None
    """Unix seconds."""
    retry_in_ms: int | None = None


@frozen(slots=False)
class RelayActivity:
    connections: int
    connections_total: int
    rooms: int
    events_relayed: int


@frozen(slots=False)
class ActiveServer(ServerReport):
    """The signaling relay while it runs."""

    activity: RelayActivity = RelayActivity(0, 0, 0, 0)


@frozen(slots=False)
class ListeningServer(ActiveServer):
    """... and since when. Only our daemon says it."""

    listening_since: int | None = None
    """Unix seconds."""


@frozen(slots=False)
class ServicesReport:
    """What this device hosts for others (spec 06 §3). An embedded node reports `node` alone."""

    node: NodeReport
    relay: ForwardingReport | None = None
    signaling: ServerReport | None = None
    stun: ServerReport | None = None
    turn: ServerReport | None = None
