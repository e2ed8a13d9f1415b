"""What is known of one peer: a class for each stage of its life, which owns what means something there (spec 04 §3).

A stage keeps the pieces that it took over from the one before: a link its `Transport`, an open one its `Channel`, until
it is admitted its `Opening` and then its `Upkeep`. `life.py` says which stage follows which.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import ClassVar, Final

from msgspec import Struct, field

from mesh_common.views import CandidateKind, PeerStatus, SelectedPair, Tier
from myownmesh.engine.life import Stage
from myownmesh.engine.limits import MAX_OFFER_IDS, ControlBudget
from myownmesh.engine.links import PathState
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.frames import NetworkKind
from myownmesh.protocol.introduction import Introduction
from myownmesh.protocol.signals import AnswerReceived, OfferReceived

STEADY: Final = Tier("steady")
ICE_WATCHDOG: Final = Tier("ice_watchdog")
ICE_RESTART: Final = Tier("ice_restart")


class OwnOffer(Enum):
    """Where our last offer of this transport stands; an answer is taken only in `OPEN` (spec 04 §5.5)."""

    NONE = auto()
    BUILDING = auto()
    OPEN = auto()


class Reoffer(Enum):
    """Why a transport makes an offer that is not its first, as diagnostics say it."""

    STUCK = "stuck-at-sighted"
    """The peer announced itself while it should have answered."""
    FAILED_ANSWER = "failed-answer"
    """It answered what was not asked, or nothing that could be used."""
    UNANSWERED = "unanswered"
    CONTEST = "peer-offers"
    """Both sides offer, and ours counts."""


class OpenedBy(Enum):
    """Why a transport was opened; decides whether its failure starts a new reconnect window (spec 04 §6.3)."""

    PRESENCE = auto()
    OFFER = auto()
    COMMAND = auto()
    INTENT = auto()


class OurApprove(Enum):
    """Our consent to a peer that has proved itself."""

    MISSING = auto()
    """Neither roster, `auto_approve` nor a person said yes on this connection."""
    SENT = auto()
    LOST = auto()
    """Given, but the frame did not leave; it is sent again."""


# ── pieces that stages hand on ────────────────────────────────────────────────────────────────────────────────────────


class HeldOffer(Struct, frozen=True):
    """The peer's newest offer, waiting while our own attempt, or the link, may still prove alive (spec 04 §5.9)."""

    offer: OfferReceived
    since: float
    """Monotonic second of the first one that was held."""
    frames: int
    """How many frames had come by then."""


class Recovery(Struct, frozen=True):
    """The path is or was down, and no frame has come since (spec 04 §7.1)."""

    tier: Tier
    since: float


class Restart(Struct):
    """A restart of the path in place, from its first offer until a frame over the new path confirms it."""

    trigger: str
    since: float
    frames: int
    """How many frames had come when it began, or when the new path came up."""
    is_forced: bool = False
    """Not because the path was seen to be down: a person or a change of the network asks for it."""
    is_wanted: bool = False
    """An offer of ours is due."""
    offers: int = 0
    repeats: int = 0
    """Offers of ours since it was asked for last."""
    up_at: float | None = None
    """When the new path came up."""


class Asked(Struct):
    """The peer owes us a frame, and has been asked for one."""

    since: float
    frames: int
    pings: int = 0


class Mark(Struct, frozen=True):
    """A moment, and how many frames had come by then."""

    at: float
    frames: int


class Greeting(Struct, frozen=True):
    """What the peer's hello said."""

    nonce: str
    code: str
    label: str
    features: frozenset[str]


class Transport(Struct, eq=False):
    """One WebRTC connection, from its opening on: negotiation and path."""

    opened_at: float
    """Monotonic second."""
    offerer: bool
    opened_by: OpenedBy
    owner: str = ""
    """Whose timers its link has, if not the peer's: those of a successor are its own."""

    own_offer: OwnOffer = OwnOffer.NONE
    offer_ids: tuple[str, ...] = ()
    """Of the offers that this transport made; an answer that names another one belongs to an attempt that is over."""
    answering: list[str] = field(default_factory=list)
    """Ids of the peer's offers that the session is answering, in its order."""
    signaled_by: str = ""
    """The last offer of either side: what candidates of ours belong to."""
    is_sealed: bool | None = None
    """Whether the peer's description came sealed; None before any came."""
    last_offer: float | None = None
    offered_again: Reoffer | None = None
    """Why the offer that is being built is not the first one."""
    is_unheard: bool = False
    """A process that cannot know it has announced itself since that offer."""
    remote_sdp_set: bool = False
    remote_fingerprint: str | None = None
    """First line of the peer's description that is applied or being applied (spec 04 §5.4)."""
    last_remote_offer: str | None = None
    held: HeldOffer | None = None
    former_offer: float | None = None
    """When the transport before this one made an offer that nobody had answered: its answer may still come."""
    doubtful: AnswerReceived | None = None
    """One that may be that; the next one tells."""
    answered_at: float | None = None
    """When our first offer of this transport was answered."""

    offers_restart: bool = False
    """Our last offer is one of new credentials."""
    offered_ufrag: str | None = None
    """Of our last offer; answers to offers with others come too late."""
    remote_ufrag: str | None = None
    """Of the peer's last description."""

    path: PathState = PathState.NEW
    """Of the newest generation."""
    fallback: PathState | None = None
    """Of the older generation that carries the frames while the newest has found no path."""
    path_since: float = 0.0
    restart: Restart | None = None
    recovery: Recovery | None = None
    selected_pair: SelectedPair | None = None
    local_candidates: dict[CandidateKind, int] = field(default_factory=dict)
    remote_candidates: dict[CandidateKind, int] = field(default_factory=dict)
    remote_sdp_has_relay: bool = False
    """A relayed address stood in the peer's description itself."""
    remote_sdp_has_candidates: bool = False
    """Some address did: the peer was heard, whatever became of its candidate messages (spec 04 §15.1 no. 24)."""
    is_ours: bool = False
    """The peer's description has a line that v0.3.8 never writes."""

    @property
    def carrier(self) -> PathState:
        """Of what carries the frames."""
        return self.path if self.fallback is None or self.path.is_up else self.fallback

    def offered(self, offer_id: str, ufrag: str | None) -> None:
        """An offer of ours is out; what answers one with other credentials does not fit."""
        earlier = self.offer_ids if ufrag == self.offered_ufrag else ()
        self.offer_ids, self.offered_ufrag = (*earlier, offer_id)[-MAX_OFFER_IDS:], ufrag

    def begin_offer(self, mono: float, *, restart: bool) -> None:
        """An offer of ours is being made."""
        self.offers_restart = restart or self.has_open_restart  # one that is open is said again by any offer
        self.own_offer = OwnOffer.BUILDING
        self.last_offer = mono

    @property
    def has_open_restart(self) -> bool:
        """A restart offer of ours is being made or waits for its answer."""
        return self.offers_restart and self.own_offer is not OwnOffer.NONE


class Channel(Struct, eq=False):
    """An open data channel: our part of the handshake over it, what the peer said, what came in."""

    local_binding: str
    remote_binding: str
    nonce: str
    code: str
    budget: ControlBudget

    greeting: Greeting | None = None
    """None until the peer's hello came."""
    capabilities: Capabilities | None = None
    last_recv: float | None = None
    """Monotonic second of the last accepted frame."""
    frames_in: int = 0
    rejected: int = 0
    malformed: int = 0
    misnamed: int = 0
    """Frames that named another device as their origin, which this one may not."""
    left_at: float | None = None
    """When signaling said that the peer leaves; a frame in time refutes it (spec 03 §12.1)."""
    frames_at_leave: int = 0


class Opening(Struct, eq=False):
    """What comes before the admission and ends with it: our hello, consent, an invitation."""

    hello: bytes
    """Ours as it left; repeats are the same bytes."""
    advert: Capabilities
    """What it says of us; what changes before the admission is told right after it."""
    approve_seen: bool = False
    """The peer has consented, be it before its proof."""
    introduction: Introduction | None = None
    """The invitation that the peer shows."""
    knocked: bool = False
    """Whether it was asked what that opens; once for a transport."""


class Upkeep(Struct, eq=False):
    """An admitted link: liveness, round trips, clocks, shelving by the peer, gossip."""

    remote_shelved: bool = False
    shelving_lost: bool = False
    """Our last shelve or unshelve did not leave; it is said again."""
    probe: Mark | None = None
    expected: Mark | None = None
    """When a call went out that something of the peer should follow."""
    asked: Asked | None = None
    nudge: Mark | None = None
    doubt: Mark | None = None
    """The network changed or we slept: does this link still carry anything?"""
    is_newcomer: bool = False
    """A process that was not heard of before announced itself behind that nudge."""
    last_ping: tuple[int, float] | None = None
    """Its time in Unix milliseconds, as it went out, and the monotonic second."""
    rtt_ms: int | None = None
    skew_samples: deque[int] | None = None
    clock_skew_ms: int | None = None
    told_root: str = ""
    """Of the last summary that it was sent; empty: none yet."""
    told_state: tuple[NetworkKind, int] | None = None
    """Kind of the network and number of our change of the logs when it was sent a state last."""
    their_root: str = ""
    """Of its last summary or state."""
    last_pull: tuple[str, str, int, int, str, int] | None = None
    """What the last roster request was for: their root, our root, their log counts, the number of our last change."""
    last_full_answer: tuple[float, int, int] | None = None
    """When roster and logs were last sent here, and the numbers of their last changes then."""


# ── stages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Peer(Struct, eq=False):
    """What every stage has."""

    stage: ClassVar[Stage]
    status: ClassVar[PeerStatus]

    device_id: str
    epoch: int
    """No other entry of this engine has it; what the session of another epoch reports acts on nobody."""


class Placeholder(Peer):
    stage = Stage.PLACEHOLDER
    status = PeerStatus.SIGHTED

    expects_link: bool = False
    """A link was to follow when the peer was noted: clients were told of this appearance, and are not told again."""


class Link(Peer):
    """There is a transport."""

    transport: Transport

    @property
    def owner(self) -> str:
        """Of its `LinkTimer`s."""
        return self.transport.owner or self.device_id


class Connecting(Link):
    stage = Stage.CONNECTING
    status = PeerStatus.SIGHTED

    early_frames: list[bytes] = field(default_factory=list)
    """What came before the channel's own open event."""


class OpenLink(Link):
    """Its channel is open."""

    channel: Channel

    @property
    def label(self) -> str:
        """The name that the peer gives itself."""
        return "" if self.channel.greeting is None else self.channel.greeting.label

    def takes(self, feature: str) -> bool:
        """True unless the peer's hello came and does not name `feature` (spec 01 §6.6)."""
        return self.channel.greeting is None or feature in self.channel.greeting.features


class Handshaking(OpenLink):
    stage = Stage.HANDSHAKING
    status = PeerStatus.HANDSHAKING

    opening: Opening
    hello_retries: int = 0
    frames_at_contest: int = 0
    """When another process of the peer announced itself."""


class Pending(OpenLink):
    stage = Stage.PENDING
    status = PeerStatus.PENDING_APPROVAL

    opening: Opening
    our_approve: OurApprove = OurApprove.MISSING
    provisional: bool = False
    """Both sides have consented, and nobody has told us yet who belongs here: it carries governance frames only."""


class Live(OpenLink):
    """Admitted: the one test of the gate (spec 01 §5)."""

    upkeep: Upkeep


class Active(Live):
    stage = Stage.ACTIVE
    status = PeerStatus.ACTIVE


class Shelved(Live):
    stage = Stage.SHELVED
    status = PeerStatus.SHELVED
