"""The engine's record of one peer: at most one transport, and all that was learnt over it (spec 04 §3)."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

import msgspec

from myownmesh.engine.limits import CONTROL_FRAMES_BURST, CONTROL_FRAMES_PER_S
from myownmesh.engine.links import PathState
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.protocol.views import CandidateKind, PeerStatus, SelectedPair, Tier

STEADY: Final = Tier("steady")
ICE_WATCHDOG: Final = Tier("ice_watchdog")
ICE_RESTART: Final = Tier("ice_restart")


class OwnOffer(Enum):
    """Where our last offer of this transport stands; an answer is taken only in `OPEN` (spec 04 §5.5)."""

    NONE = auto()
    BUILDING = auto()
    OPEN = auto()


class OpenedBy(Enum):
    """Why a transport was opened; decides whether its failure starts a new reconnect window (spec 04 §6.3)."""

    PRESENCE = auto()
    OFFER = auto()
    COMMAND = auto()
    INTENT = auto()


class Handshake(msgspec.Struct, eq=False):
    """One connection's handshake; nothing of it survives the connection (spec 01 §7.1)."""

    nonce_sent: str | None = None
    code_sent: str | None = None
    hello: bytes | None = None
    """Our hello as it left; repeats are the same bytes."""
    hello_retries: int = 0
    advert_sent: Capabilities | None = None
    """The advert in our hello; what changes before the admission is told right after it."""
    local_binding: str | None = None
    remote_binding: str | None = None
    nonce_received: str | None = None
    code_received: str | None = None
    proof_told: bool = False
    """The event `authenticated` is out; it waits for the peer's hello."""
    early_frames: list[bytes] = msgspec.field(default_factory=list)
    """What came before our own open event."""


class Peer(msgspec.Struct, eq=False):
    """One entry. Without a transport it is a placeholder: known from signaling only."""

    device_id: str
    epoch: int
    opened_at: float
    """Monotonic second at which the entry, and its transport if any, was made."""
    has_transport: bool = False
    offerer: bool = False
    opened_by: OpenedBy = OpenedBy.PRESENCE

    status: PeerStatus = PeerStatus.SIGHTED
    authenticated: bool = False
    approved_here: bool = False
    """Roster, `auto_approve` or a person said yes on this connection; the frame may still be under way."""
    local_approve_sent: bool = False
    remote_approve_seen: bool = False
    local_shelved: bool = False
    remote_shelved: bool = False
    admitted: bool = False
    """`authenticated` and active or shelved: the one test of the gate (spec 01 §5)."""

    label: str = ""
    capabilities: Capabilities | None = None
    features: frozenset[str] | None = None
    """None until the peer's hello came."""
    handshake: Handshake = msgspec.field(default_factory=Handshake)

    channel_open: bool = False
    own_offer: OwnOffer = OwnOffer.NONE
    last_offer: float | None = None
    remote_sdp_set: bool = False
    remote_fingerprint: str | None = None
    """First line of the peer's description that is applied or being applied (spec 04 §5.4)."""
    last_remote_offer: str | None = None
    held_offer: str | None = None
    """The peer's newest offer, waiting while our own attempt may still succeed (spec 04 §5.9)."""
    frames_at_hold: int = 0
    held_at: float = 0.0
    answered_at: float | None = None
    """When our first offer of this transport was answered."""

    path: PathState = PathState.NEW
    tier: Tier = STEADY
    tier_since: float = 0.0
    selected_pair: SelectedPair | None = None
    local_candidates: dict[CandidateKind, int] = msgspec.field(default_factory=dict)
    remote_candidates: dict[CandidateKind, int] = msgspec.field(default_factory=dict)

    last_recv: float | None = None
    last_probe: float | None = None
    frames_at_probe: int = 0
    last_nudge: float | None = None
    frames_at_nudge: int = 0
    last_ping_t: int | None = None
    last_ping_at: float | None = None
    rtt_ms: int | None = None
    skew_samples: deque[int] | None = None
    clock_skew_ms: int | None = None
    left_at: float | None = None
    """When signaling said that the peer leaves; a frame in time refutes it (spec 03 §12.1)."""
    frames_at_leave: int = 0

    frames_in: int = 0
    bytes_in: int = 0
    rejected: int = 0
    malformed: int = 0
    throttled: int = 0
    throttled_since: float = 0.0
    control_budget: TokenBucket | None = None

    last_pull: tuple[str, str, int, int] | None = None
    """What the last roster request was for: their root, our root, their log counts."""
    last_full_answer: tuple[float, str] | None = None
    """When the whole roster was last sent here, and its root."""

    @property
    def is_live(self) -> bool:
        """Active or shelved."""
        return self.status in (PeerStatus.ACTIVE, PeerStatus.SHELVED)

    def takes(self, feature: str) -> bool:
        """True unless the peer's hello came and does not name `feature` (spec 01 §6.6)."""
        return self.features is None or feature in self.features

    def silent_for(self, mono: float) -> float | None:
        """Seconds since its last accepted frame; None when none ever came."""
        return None if self.last_recv is None else mono - self.last_recv

    def set_status(self, status: PeerStatus) -> None:
        self.status = status
        self.admitted = self.authenticated and self.is_live

    def budget(self, mono: float) -> TokenBucket:
        """The bucket for frames that cost us work."""
        if self.control_budget is None:
            self.control_budget = TokenBucket(CONTROL_FRAMES_PER_S, CONTROL_FRAMES_BURST, mono)
        return self.control_budget
