"""What a daemon tells local programs about a network: peers, phases, shapes, counters (spec 01 §17, 05 §7.3–7.5).

The daemon writes these classes as they are and clients read them: members in their order on the wire. A member that
stands there only sometimes belongs to a subclass that always has it. They are msgspec structs, because as many attrs
classes would cost every start of a daemon 15 ms.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field


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


class Tier(Struct, frozen=True):
    """Step of the recovery ladder: `steady`, `wake_probe`, `ice_watchdog`, `ice_restart`, `stop_start`."""

    kind: str


class DropReason(Struct, frozen=True):
    """Why a peer's link ended: `denied`, `ice_failed`, `auth_failed`, `user_left`, `topology_pruned`, …"""

    kind: str


class TransportError(DropReason, frozen=True):
    """The reason `transport_error`, with its words."""

    message: str


class CandidateCounts(Struct, frozen=True):
    """ICE candidates seen so far, by kind."""

    host: int = 0
    server_reflexive: int = 0
    peer_reflexive: int = 0
    relay: int = 0
    unknown: int = 0


class SelectedPair(Struct, frozen=True):
    """Candidate kinds at both ends of the path in use."""

    local: str
    remote: str


class TurnPath(Struct, frozen=True):
    """What lends the address by which a path goes over TURN."""

    whose: Literal["ours", "theirs"]
    """A server that this device uses, or the peer."""
    server: str
    """Ours: its host and port, as configured or advertised; theirs: the address that it lends."""
    over: str | None = None
    """How this device speaks with it: `udp`, `tcp` or `tls`; None for theirs."""


class CapabilityAdvert(Struct, frozen=True):
    """What a node offers in one network (spec 01 §9); to those who read it, `extra` is any JSON value."""

    tags: tuple[str, ...] = ()
    app_version: str | None = None
    max_connections: int | None = None
    extra: Any = None


class NextStep(Struct, frozen=True):
    """What the daemon does by itself next, and when."""

    what: str
    in_ms: int


class Why(Struct, frozen=True):
    """Why a peer is not active, or may not be for long."""

    code: str
    """One of those in docs/why.md; a later daemon may know more."""
    since_ms: int
    """How long it has been so, in milliseconds."""
    text: str
    next: NextStep | None = None


class PeerInfo(Struct, frozen=True, kw_only=True):
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
    why: Why | None = None
    """None for an active peer, and of daemons that do not say."""
    turn: TurnPath | None = None
    """What a path over TURN goes by; None for any other, and of daemons that do not say."""
    sealed: bool | None = None
    """Whether relays could not read how this link was set up (spec 11 §2); None before it was, and of daemons that do
    not say."""


class RosterRow(Struct, frozen=True):
    """One row of `roster_list`."""

    device_id: str
    label: str
    approved_at: int
    """Unix seconds."""
    role: str
    """`member`, `controller` or `owner`."""


# ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Shape(Struct, frozen=True):
    """Which peers hold links: `full_mesh`, or one of the subclasses. What was not said is None."""

    kind: str


class RingShape(Shape, frozen=True):
    n_preferred: int | None = None


class StarShape(Shape, frozen=True):
    hub: str


class HubsShape(Shape, frozen=True):
    hubs: tuple[str, ...]
    spoke_redundancy: int | None = None


class Lane(Struct):
    """One class of frames in one direction."""

    frames: int = 0
    bytes: int = 0


class Traffic(Struct):
    """Counters since a network was joined (spec 01 §17.5). Whoever owns the network counts in place."""

    keepalive_tx: Lane = field(default_factory=Lane)
    keepalive_rx: Lane = field(default_factory=Lane)
    control_tx: Lane = field(default_factory=Lane)
    control_rx: Lane = field(default_factory=Lane)
    gossip_tx: Lane = field(default_factory=Lane)
    gossip_rx: Lane = field(default_factory=Lane)
    app_tx: Lane = field(default_factory=Lane)
    app_rx: Lane = field(default_factory=Lane)
    other_tx: Lane = field(default_factory=Lane)
    other_rx: Lane = field(default_factory=Lane)
    relayed_forwarded: int = 0
    announces_rx: int = 0
    announces_tx: int = 0
    negotiation_rx: int = 0
    """Offers, answers, candidates and leaves."""
    negotiation_tx: int = 0
    reliable_pending: int = 0
    """Acknowledged frames that are queued right now."""


class JoinedNetwork(Struct, frozen=True):
    """What `network_add` and a restarting `network_update` answer about a network."""

    config_id: str
    network_id: str
    """The wire id: normalised."""
    label: str
    phase: str
    """One of `Phase`."""
    topology: Shape


class RelayTrouble(Struct, frozen=True):
    """What keeps a relay from serving; `kind` is one of spec 05 §7.3."""

    kind: str
    text: str


class RelayRefusal(RelayTrouble, frozen=True):
    ago_ms: int | None


class RelayRow(Struct, frozen=True):
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


class NetworkSummary(JoinedNetwork, frozen=True):
    """One row of `networks_list`."""

    traffic: Traffic = field(default_factory=Traffic)
    relays: tuple[RelayRow, ...] | None = None
    """None to those who read the row of a daemon that does not tell."""
    left_out: tuple[str, ...] = ()
    """Addresses of this machine that peers were not offered at the last gathering, each with its reason."""


class TwinRow(Struct, frozen=True):
    """Another device uses the identity of this one (spec 03 §16.1)."""

    proved: bool
    """It has the key. Otherwise it speaks in this device's name, or somebody pretends it."""
    stands_aside: bool
    """The other was here first: this device keeps no links until it is gone."""


class OurNetwork(NetworkSummary, frozen=True):
    """... with what only our daemon says of it."""

    twin: TwinRow | None = None
    """Another device uses the identity of this one."""
    put_out: bool = False
    """Signed governance has put this device out of the network."""
    lan: bool = False
    """Devices in the local network find each other in it without a relay."""


# ── hosted services ───────────────────────────────────────────────────────────────────────────────────────────────────


class NodeReport(Struct, frozen=True):
    enabled: bool
    joined: int
    """Networks."""


class ForwardingReport(Struct, frozen=True):
    """The service `relay`: passing frames on for peers that cannot reach each other."""

    enabled: bool
    networks: int
    max_fanout: int


class ServerReport(Struct, frozen=True):
    """A service with a listener of its own. Enabled and not running: its start failed."""

    enabled: bool
    running: bool
    listen: str | None = None
    """``ip:port``."""


class FailedServer(ServerReport, frozen=True):
    """... and this is why. Only our daemon says it."""

    error: str = ""


class WaitingServer(FailedServer, frozen=True):
    """... and it is tried again."""

    failing_since: int | None = None
    """Unix seconds."""
    retry_in_ms: int | None = None


class RelayActivity(Struct, frozen=True):
    connections: int
    connections_total: int
    rooms: int
    events_relayed: int


class ActiveServer(ServerReport, frozen=True):
    """The signaling relay while it runs."""

    activity: RelayActivity = RelayActivity(0, 0, 0, 0)


class ListeningServer(ActiveServer, frozen=True):
    """... and since when. Only our daemon says it."""

    listening_since: int | None = None
    """Unix seconds."""
    problem: str | None = None
    """What somebody should look after, though it serves."""
    processes: int = 1
    """That serve its address now."""


class RelayedTraffic(Struct, frozen=True):
    """What a TURN server does and has done since it came up."""

    allocations: int
    allocations_total: int
    streams: int
    """Clients over TCP or TLS."""
    packets_up: int
    """From clients to peers."""
    packets_down: int
    bytes_up: int
    bytes_down: int
    policed: int
    """Datagrams dropped over the bandwidth limit."""
    forbidden: int
    """Requests for targets that nothing is relayed to."""
    over_quota: int
    unauthorised: int


class TurnReport(ServerReport, frozen=True):
    """The TURN server while it runs. Only our daemon says so much."""

    listening_since: int | None = None
    """Unix seconds."""
    relayed: RelayedTraffic | None = None
    problem: str | None = None
    """What somebody should look after, though it serves."""


class ServicesReport(Struct, frozen=True):
    """What this device hosts for others (spec 06 §3). An embedded node reports `node` alone."""

    node: NodeReport
    relay: ForwardingReport | None = None
    signaling: ServerReport | None = None
    stun: ServerReport | None = None
    turn: ServerReport | None = None
