"""The state that the engine's rooms share, and the few ways in which anything leaves the engine.

One `Core` per network. The rooms (`lifecycle`, `handshake`, `negotiation`, …) are modules of functions over it. What
the room says, sessions report, peers send and timers bring about is sorted by `signals`, `session_events`, `intake`
and `deadlines`; everything else comes by `engine.py`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from mesh_common.events import Diag, PhaseChanged
from mesh_common.views import PeerStatus, Phase, Traffic
from myownmesh.engine.actions import DescribePaths, Emit, Publish, SaveRoster, SendFrame
from myownmesh.engine.clockwatch import ClockWatch
from myownmesh.engine.government import Government
from myownmesh.engine.intents import IntentBook
from myownmesh.engine.life import OutOfTurn, Stage, follow
from myownmesh.engine.limits import NUDGES_BURST, NUDGES_PER_S, REPEATS_BURST, REPEATS_PER_S
from myownmesh.engine.memory import Memories
from myownmesh.engine.peer import Connecting, Handshaking, Link, Live, Pending, Placeholder
from myownmesh.engine.phase import rollup
from myownmesh.engine.rescue_gate import RescueGate
from myownmesh.engine.roll import Attendance, Roll
from myownmesh.engine.routes import Routes
from myownmesh.engine.timers import PeerTimer, Timers
from myownmesh.engine.timing import ANSWER_MARGIN_S, ECHOES, MAX_ROOM_DELAY_S, OFFER_REPEAT_S, REACTIVE_ANNOUNCE_GAP_S
from myownmesh.governance.book import Book
from myownmesh.identity.handshake import verify_handshake
from myownmesh.protocol.codec import FrameTooLarge, encode_frame
from myownmesh.protocol.signals import Announce
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.protocol.traffic import count_sent
from myownmesh.topology.choices import BY_IDS
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence, Set

    from mesh_common.events import Level, MeshEvent
    from myownmesh.engine.actions import Action
    from myownmesh.engine.config import EngineConfig
    from myownmesh.engine.diagnostics import Category
    from myownmesh.engine.life import Turn
    from myownmesh.engine.outbox import Outbox
    from myownmesh.engine.peer import Peer
    from myownmesh.identity import Identity
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame, NetworkKind
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.introduction import Introduction
    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.protocol.signals import OfferReceived, OutboundSignal
    from myownmesh.roster import Roster
    from myownmesh.topology.choices import Choices


MUCH_LARGER: Final = 8
"""Of a roster that is so many times as large as what is known beside it, not every entry is compared."""


class Twin(Struct, frozen=True):
    """What is known of another process that has our identity (spec 03 §16.1)."""

    is_proved: bool
    """It has our key. Otherwise it says so, or somebody pretends it."""
    stands_aside: bool
    """We came later and leave the name to it."""


class Core:
    """Everything that one network's engine knows."""

    # Of a dict of so many names each look-up takes twice as long.
    __slots__ = (
        "_awaits_echo",
        "_echoes_s",
        "_last_reactive_announce",
        "_next_epoch",
        "_nudges",
        "_repeats",
        "_wanted",
        "attendance",
        "capabilities",
        "changes",
        "choices",
        "clock_watch",
        "config",
        "dials",
        "early_offers",
        "early_until",
        "fan_out_due",
        "gossip_not_before",
        "government",
        "heard",
        "identity",
        "intents",
        "introduce",
        "is_quiet",
        "is_watched",
        "kind",
        "known",
        "label",
        "last_beat",
        "learnt_at",
        "leaving",
        "left_out",
        "lingering",
        "me",
        "memories",
        "network_id",
        "offline_since",
        "out",
        "outboxes",
        "peers",
        "phase",
        "pins",
        "rescue",
        "rng",
        "roll",
        "roster",
        "roster_changes",
        "routes",
        "said_at",
        "shape",
        "signaling_up",
        "since",
        "started_at",
        "strangers",
        "successors",
        "timers",
        "topology",
        "traffic",
        "twin",
        "unproven",
        "verify",
        "waiters",
        "woken_at",
    )

    def __init__(self, identity: Identity, network_id: str, config: EngineConfig, roster: Roster, rng: Rng) -> None:
        self.identity = identity
        self.me = identity.device_id
        self.label = identity.label
        self.network_id = network_id
        self.config = config
        self.choices: Choices = BY_IDS
        """Of shapes, by the bytes of ids; a replay, whose ids are others, is told what was chosen."""
        self.changes = 0
        self.roster_changes = 0
        """Grows with every change of an entry, of the roster, of the shape, and with a member's leave."""
        self.kind: NetworkKind = config.kind
        """Of signed state once there is any, else of the record."""
        self.government = Government(Book(network_id, self.me, rules=config.rules, configured=config.kind))
        self.set_topology(config.topology)
        self.capabilities: Capabilities = config.capabilities
        self.pins: set[str] = set(config.pinned_peers)
        self.roster = roster
        self.rng = rng
        self.verify = verify_handshake
        """Of a peer's proof; a replay is told what came of it."""
        self.introduce: Callable[[str, str], Introduction | None] = _nobody_invited
        """What we show a peer in our hello: by its id and the binding of our certificate. Secrets stay behind it."""

        self.peers: dict[str, Peer] = {}
        self.roll = Roll()
        self.successors: dict[str, Link] = {}
        """Transports that are made beside a live link, one for a peer at most; by device id."""
        self.since: dict[str, float] = {}
        """When each peer's stage began, in monotonic seconds."""
        self.known = Members([self.me])
        """Whom the shape is made of: ourselves, and of the entries those that are rostered or have proved themselves.
        Who merely announces ids bends no edge."""
        self._wanted: set[str] | None = None
        """Whom of those the shape wants us linked with; None since one of them, or the shape, changed."""
        self.routes = Routes()
        self.outboxes: dict[str, Outbox] = {}
        """What peers have still to acknowledge; by device id."""
        self.memories = Memories()
        self.intents = IntentBook()
        self.waiters: dict[str, list[int]] = {}
        self.timers = Timers()
        self.clock_watch = ClockWatch()
        self.gossip_not_before = 0.0
        """Monotonic second from which on the roster may be told again."""
        self.learnt_at: float | None = None
        """Monotonic second at which gossip brought new members last."""
        self.traffic = Traffic()
        self.lingering: dict[str, tuple[str, int]] = {}
        """Transports whose entry is gone but whose last frame must leave first; by linger key."""

        self.phase = Phase.JOINING
        self.signaling_up = False
        self.offline_since: float | None = None
        """This machine has no network since then: what cannot work is not tried (spec 04 §7.7)."""
        self.rescue = RescueGate()
        self.fan_out_due = False
        """The network moved, and no relay has worked since."""
        self.woken_at: float | None = None
        self.leaving = False
        self.left_out: tuple[str, ...] = ()
        """What the last gathering kept back."""
        self.twin: Twin | None = None
        """Another process that speaks in our name."""
        self.started_at: float | None = None
        """Monotonic second of the start."""
        self.last_beat: Instant | None = None
        """When the heartbeat last ran; a gap means that we slept."""
        self.said_at: float | None = None
        """Monotonic second of the newest diagnostic that has not been taken."""
        self.is_watched = True
        """Somebody reads the diagnostics."""
        self.out: list[Action] = []
        self.unproven: OrderedDict[str, Link] = OrderedDict()  # a plain one looks for its oldest entry among the gone
        """Transports to strangers that have not proved themselves, oldest first."""
        self.dials: OrderedDict[str, float] = OrderedDict()
        """Of those the ones that we offer to, with the monotonic second at which each was opened."""
        self.strangers: OrderedDict[str, float] = OrderedDict()
        """Placeholders whom the roster does not know, with the monotonic second at which each was heard last; longest
        ago first."""
        self.heard: dict[str, float] = {}
        """When members of the roster announced themselves last, in monotonic seconds."""
        self.attendance = Attendance()
        self.is_quiet = False
        """Nobody is missed, and the ticker is slow."""
        self._nudges = TokenBucket(NUDGES_PER_S, NUDGES_BURST, 0.0)
        self._repeats = TokenBucket(REPEATS_PER_S, REPEATS_BURST, 0.0)
        self.early_until: float | None = None
        """From when on an offer may be the answer to our announce; None while we do not know."""
        self.early_offers: dict[str, OfferReceived] = {}
        """The newest one of each peer that came sooner than it may be taken; by device id."""
        self._next_epoch = 0
        self._last_reactive_announce: float | None = None
        self._echoes_s: deque[float] = deque(maxlen=ECHOES)
        self._awaits_echo = False

    # ── what leaves ───────────────────────────────────────────────────────────────────────────────────────────────────

    def emit(self, event: MeshEvent) -> None:
        self.out.append(Emit(event))

    def diag(
        self, now: Instant, level: Level, category: Category, message: str, detail: dict[str, Any] | None = None
    ) -> None:
        """Say something in the diagnostics. What is costly to word, or said often, asks `is_watched` first."""
        if self.is_watched:
            self.said_at = now.mono
            self.out.append(Emit(Diag(now.wall_ms, self.network_id, level, category, message, detail)))

    def describe_paths(self, peer: Peer, context: str, level: Level) -> None:
        """Have the diagnostics say how ICE stands on a link, if somebody reads them."""
        if self.is_watched:
            self.out.append(DescribePaths(peer.device_id, peer.epoch, context, level))

    def publish(self, signal: OutboundSignal) -> None:
        if isinstance(signal, Announce):
            self.traffic.announces_tx += 1
        else:
            self.traffic.negotiation_tx += 1
        self.out.append(Publish(signal))

    def announce(self, now: Instant, *, is_asked: bool = False) -> bool:
        """Announce in answer to something; inside the gap it is dropped, never deferred (spec 04 §5.8).

        `is_asked`: a person asked for it, which no gap makes undone. True when it went out.
        """
        if self.stands_aside or self.government.is_down:
            return False
        last = self._last_reactive_announce
        if not is_asked and last is not None and now.mono - last < REACTIVE_ANNOUNCE_GAP_S:
            return False
        self._last_reactive_announce = now.mono
        self._awaits_echo = bool(self._echoes_s)
        self.publish(Announce())
        return True

    def nudge(self, now: Instant) -> None:
        """Announce after something failed, which the other side may not know; seldom, however much fails."""
        if self._nudges.has_one(now.mono) and self.announce(now):
            self._nudges.take(now.mono)

    def repeat(self, now: Instant) -> None:
        """Announce to a device that must have heard us before; seldom, however many such there are."""
        if self._repeats.has_one(now.mono) and self.announce(now):
            self._repeats.take(now.mono)

    def send(self, peer: Peer, frame: Frame, now: Instant) -> None:
        """Send a frame of ours; one that does not fit is reported instead (spec 01 §4.2)."""
        try:
            data = encode_frame(frame)
        except FrameTooLarge as error:
            self.diag(now, "error", "transport", f"cannot send {frame.KIND}: {error}", {"peer": peer.device_id})
            return
        self.send_encoded(peer, frame.KIND, data)

    def send_encoded(self, peer: Peer, kind: str, data: bytes) -> None:
        count_sent(self.traffic, kind, len(data))
        self.out.append(SendFrame(peer.device_id, peer.epoch, kind, data))

    def save_roster(self, roster: Roster) -> None:
        before, self.roster = self.roster, roster
        self.roster_changes += 1
        come_or_gone = sorted(self._come_or_gone(before.ids, roster.ids))
        for device_id in come_or_gone:
            if (peer := self.peers.get(device_id)) is not None:
                self._place(peer)
                self._sort_unproven(peer)
            if device_id in roster.ids:
                self.strangers.pop(device_id, None)
            else:
                self.heard.pop(device_id, None)
        self._dial_no_more(come_or_gone)
        self.changes += 1
        self.out.append(SaveRoster())

    def _dial_no_more(self, device_ids: Iterable[str]) -> None:
        """Whose dial waits for its time, and whom the shape keeps apart now that it counts them as members: of a crowd
        that meets, hundreds of timers would end one by one to find that."""
        if self.kind == "silent" or not self.shape.prunes:
            return
        wanted, kept = self.wanted(), {*self.pins, *self.government.let_in_again}
        for device_id in device_ids:
            is_noted = isinstance(self.peers.get(device_id), Placeholder) and device_id in self.known
            if is_noted and device_id not in wanted and device_id not in kept:
                self.timers.cancel(PeerTimer.DIAL_ANYWAY, device_id)

    def _come_or_gone(self, before: Set[str], after: Set[str]) -> Collection[str]:
        """Who is in one of the two, of those that something is kept of beside the roster."""
        if len(self.peers) + len(self.strangers) + len(self.heard) >= len(after) // MUCH_LARGER:
            return before ^ after
        known = {*self.peers, *self.strangers, *self.heard}
        return [device_id for device_id in known if (device_id in before) != (device_id in after)]

    # ── what is known ─────────────────────────────────────────────────────────────────────────────────────────────────

    def age_ms(self, now: Instant) -> int:
        """Milliseconds since the start."""
        return 0 if self.started_at is None else round((now.mono - self.started_at) * 1000)

    def next_epoch(self) -> int:
        """A number that no entry of this engine had before."""
        epoch = self._next_epoch
        self._next_epoch += 1
        return epoch

    def stage_of(self, device_id: str) -> Stage:
        peer = self.peers.get(device_id)
        return Stage.UNKNOWN if peer is None else peer.stage

    def link_to(self, device_id: str) -> Link | None:
        """The entry of a peer that has a transport."""
        peer = self.peers.get(device_id)
        return peer if isinstance(peer, Link) else None

    def link_with(self, device_id: str, epoch: int) -> Link | None:
        """The link of a peer, or its successor, whose session this is; None for that of a transport that is over."""
        for link in (self.peers.get(device_id), self.successors.get(device_id)):
            if isinstance(link, Link) and link.epoch == epoch:
                return link
        return None

    def link_of(self, owner: str) -> Link | None:
        """The link, or its successor, whose timers these are."""
        device_id, slash, _ = owner.partition("/")
        if not slash:
            return self.link_to(device_id)
        successor = self.successors.get(device_id)
        return successor if successor is not None and successor.owner == owner else None

    def is_successor(self, peer: Peer) -> bool:
        """Whether it is being made beside a link."""
        successor = self.successors.get(peer.device_id)
        return successor is not None and successor.epoch == peer.epoch

    def is_offered_anew(self, device_id: str) -> bool:
        """Whether we have offered a peer another transport: an offer of the present one would undo that."""
        successor = self.successors.get(device_id)
        return successor is not None and successor.transport.offerer

    def live_link(self, device_id: str) -> Live:
        """The link beside which a successor is made."""
        peer = self.peers[device_id]
        assert isinstance(peer, Live)
        return peer

    def live_peers(self) -> Sequence[Live]:
        """Those that are admitted, in the order of `peers`; who comes and goes meanwhile does not change the list."""
        return self.roll.live()

    def set_topology(self, mode: TopologyMode) -> None:
        self.topology: TopologyMode = mode
        self.shape = shape_of(mode, self.choices)
        """What the network's mode means; whoever dials, shelves, prunes or forwards asks it."""
        self.changes += 1
        self._wanted = None

    def wanted(self) -> Set[str]:
        """Everybody of `known` whom the shape has an edge to; not to be changed."""
        if self._wanted is None:
            self._wanted = self.shape.wanted(self.me, self.known)
        return self._wanted

    def wants_link(self, device_id: str) -> bool:
        """Has the shape an edge to this peer? Silent networks have no shape: links there are made by hand."""
        if self.kind == "silent":
            return True
        wanted = self._wanted
        if wanted is not None and device_id in self.known.ids:
            return device_id in wanted
        return self.shape.edge(self.me, device_id, self.known)

    def echo_heard(self, late_s: float) -> None:
        """An announce of ours came back from the room after so long."""
        self._echoes_s.append(min(late_s, MAX_ROOM_DELAY_S))
        self._awaits_echo = False

    @property
    def answer_s(self) -> float:
        """How long an answer may be on its way: there and back through the room, by the slowest of our last announces.
        While one is out, the room may just have become slow."""
        known = 2 * self.room_s + ANSWER_MARGIN_S
        return max(known, OFFER_REPEAT_S) if self._awaits_echo else known

    @property
    def last_room_s(self) -> float:
        """One way through the room, by our last announce."""
        return self._echoes_s[-1] if self._echoes_s else 0.0

    @property
    def room_s(self) -> float:
        """One way through the room, by the slowest of our last announces."""
        return max(self._echoes_s, default=0.0)

    @property
    def is_offline(self) -> bool:
        """This machine has no network."""
        return self.offline_since is not None

    @property
    def stands_aside(self) -> bool:
        """Another process has our identity and was here first."""
        return self.twin is not None and self.twin.stands_aside

    def is_silent(self) -> bool:
        return self.kind == "silent"

    @property
    def dials_by_hand(self) -> bool:
        """Nobody is dialled for being in the room."""
        return self.config.listens_only or self.is_silent()

    def is_evicted(self, device_id: str) -> bool:
        """Whether signed governance has put a device out."""
        return self.kind == "closed" and self.government.book.is_evicted(device_id)

    def is_rostered(self, device_id: str) -> bool:
        return device_id in self.roster

    def refresh_phase(self) -> None:
        """Tell clients when the peers amount to another phase; `joining` lasts until there is something to say."""
        if self.phase is Phase.ACTIVE and self.roll.count(PeerStatus.ACTIVE):
            return  # as nearly always
        phase = rollup(self.roll.statuses())
        if phase is Phase.ALONE and self.phase is Phase.JOINING and not self.signaling_up:
            return
        if phase is not self.phase:
            prev, self.phase = self.phase, phase
            self.emit(PhaseChanged(self.network_id, prev, phase))

    # ── the turns of a peer's life ────────────────────────────────────────────────────────────────────────────────────

    def enter(self, turn: Turn, peer: Peer, now: Instant) -> None:
        """Put `peer` in the place of what is known of its id. Raises `OutOfTurn` where the table has no such turn."""
        is_beside = self.is_successor(peer)
        before = self.successors[peer.device_id].stage if is_beside else self.stage_of(peer.device_id)
        if follow(before, turn) is not peer.stage:
            raise OutOfTurn(before, turn)
        if is_beside:
            assert isinstance(peer, Link)
            self.successors[peer.device_id] = peer
            return
        self.install(peer, now)

    def install(self, peer: Peer, now: Instant) -> None:
        """Make it what is known of its id."""
        self.changes += 1
        self.roll.replaced(self.peers.get(peer.device_id), peer)
        self.peers[peer.device_id] = peer
        self.since[peer.device_id] = now.mono
        self._place(peer)
        if isinstance(peer, Placeholder) and not self.is_rostered(peer.device_id):
            self.strangers[peer.device_id] = now.mono
        else:
            self.strangers.pop(peer.device_id, None)
        if isinstance(peer, Connecting):
            self.unproven.pop(peer.device_id, None)  # the newest entry is the last one
            self.dials.pop(peer.device_id, None)
        self._sort_unproven(peer)

    def end(self, turn: Turn, device_id: str) -> Peer | None:
        """Forget the entry of an id, if there is one, and return it. Raises `OutOfTurn` like `enter`."""
        peer = self.peers.get(device_id)
        if peer is not None:
            if follow(peer.stage, turn) is not Stage.UNKNOWN:
                raise OutOfTurn(peer.stage, turn)
            self.changes += 1
            self.roll.replaced(peer, None)
            del self.peers[device_id]
            self.since.pop(device_id, None)
            if self.known.discard(device_id):
                self._wanted = None
            self.strangers.pop(device_id, None)
            self.unproven.pop(device_id, None)
            self.dials.pop(device_id, None)
        return peer

    def _sort_unproven(self, peer: Peer) -> None:
        if isinstance(peer, Connecting | Handshaking) and not self.is_rostered(peer.device_id):
            self.unproven[peer.device_id] = peer
            if peer.transport.offerer:
                self.dials[peer.device_id] = peer.transport.opened_at
        else:
            self.unproven.pop(peer.device_id, None)
            self.dials.pop(peer.device_id, None)

    def hear_stranger(self, device_id: str, now: Instant) -> None:
        """One of the strangers announced itself again."""
        self.strangers[device_id] = now.mono
        self.strangers.move_to_end(device_id)

    def _place(self, peer: Peer) -> None:
        if isinstance(peer, Pending | Live) or self.is_rostered(peer.device_id):
            has_changed = self.known.add(peer.device_id)
        else:
            has_changed = self.known.discard(peer.device_id)
        if has_changed:
            self._wanted = None


def _nobody_invited(_peer: str, _binding: str) -> None:
    """We took no invitation."""
