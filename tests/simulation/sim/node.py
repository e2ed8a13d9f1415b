"""One device in the simulated mesh: an engine, and a driver that carries its actions out on fakes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar, assert_never

from myownmesh.engine import Engine
from myownmesh.engine.actions import (
    AddCandidate,
    CloseSession,
    Deliver,
    Emit,
    LinkDown,
    MakeOffer,
    OpenSession,
    Publish,
    RedialRelays,
    SaveRoster,
    SendFrame,
    TakeAnswer,
    TakeOffer,
    WaiterDone,
)
from myownmesh.engine.events import Diag, PeerDropped
from myownmesh.engine.timing import LEAVE_FLUSH_S
from myownmesh.protocol.signals import Announce, AnswerReceived, CandidateReceived, OfferReceived, PeerAnnounced
from myownmesh.protocol.views import PeerStatus
from myownmesh.roster import Roster

if TYPE_CHECKING:
    from myownmesh.engine import EngineConfig
    from myownmesh.engine.actions import (
        Action,
    )
    from myownmesh.engine.events import MeshEvent
    from myownmesh.engine.links import LinkEvent
    from myownmesh.identity import Identity
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.protocol.views import PeerInfo
    from simulation.sim.wire import FakeSession
    from simulation.sim.world import World

E = TypeVar("E")

NETWORK = "simulated"
FILTER_SIZE = 2048
TICKER_S = 120.0


class Node:
    """A process on one device. `kill` ends it without a word, `leave` with one; a new Node is its next start."""

    def __init__(self, world: World, identity: Identity, config: EngineConfig, roster: Roster | None = None) -> None:
        self.world = world
        self.identity = identity
        self.device_id = identity.device_id
        self.running = True
        self.events: list[MeshEvent] = []
        self.delivered: list[tuple[str, Frame]] = []
        self.waiters: dict[int, str | None] = {}
        self.links: dict[str, tuple[int, FakeSession]] = {}
        self.actions_taken: list[Action] = []
        self.saved = roster or Roster(NETWORK)
        self.skew_ms = 0
        self._announcers: dict[str, Node | None] = {}
        self._seen: deque[object] = deque(maxlen=FILTER_SIZE)
        self._armed_for: float | None = None
        self.engine = Engine(identity, NETWORK, config, self.saved, world.rng)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.engine.start(self.now())
        self._pump()
        self.world.room.join(self)
        self._tick(first=True)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is closed."""
        self.running = False
        self.world.room.quit(self)
        for _, session in self.links.values():
            self.world.wire.kill(session)

    def leave(self) -> None:
        """SIGTERM: leave the room, and stop when the leave is out."""
        self.engine.leave(self.now())
        self._pump()
        self.world.clock.after(LEAVE_FLUSH_S, self._stop)

    def _stop(self) -> None:
        self.engine.stop(self.now())
        self._pump()
        self.running = False
        self.world.room.quit(self)

    # ── what a person or an app does ─────────────────────────────────────────────────────────────────────────

    def approve(self, other: Node, label: str = "") -> None:
        self.engine.approve(other.device_id, label, self.now())
        self._pump()

    def remove(self, other: Node) -> None:
        self.engine.remove(other.device_id, self.now())
        self._pump()

    def connect(self, other: Node, *, pin: bool = False, waiter: int | None = None) -> None:
        self.engine.connect(other.device_id, pin, waiter, self.now())
        self._pump()

    def reconnect(self, other: Node | None = None) -> None:
        self.engine.reconnect(None if other is None else other.device_id, self.now())
        self._pump()

    def send(self, other: Node, frame: Frame) -> None:
        out = self.engine.frame_for(other.device_id, frame, self.now())
        self.send_raw(other, out.data)

    def send_raw(self, other: Node, data: bytes) -> None:
        """Bytes of our own choice, past the engine."""
        self.links[other.device_id][1].send(data)

    # ── what tests ask ───────────────────────────────────────────────────────────────────────────────────────

    def peer(self, other: Node) -> PeerInfo | None:
        return next((info for info in self.engine.peers() if info.device_id == other.device_id), None)

    def info(self, other: Node) -> PeerInfo:
        """`peer`, where it is known to be there."""
        found = self.peer(other)
        assert found is not None, f"{self.identity.label} does not know {other.identity.label}"
        return found

    def status(self, other: Node) -> str | None:
        info = self.peer(other)
        return None if info is None else info.status

    def is_linked(self, other: Node) -> bool:
        return self.status(other) == PeerStatus.ACTIVE

    def heard(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def drops(self) -> list[str]:
        return [event.reason.kind for event in self.events if isinstance(event, PeerDropped)]

    # ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> Instant:
        return self.world.clock.now(self.skew_ms)

    def hear(self, item: InboundSignal) -> None:
        """The signaling layer's part: repeats of one content are dropped (spec 04 §1.5)."""
        if not self.running:
            return
        if isinstance(item, OfferReceived | AnswerReceived | CandidateReceived):
            if item in self._seen:
                return
            self._seen.append(item)
        if isinstance(item, PeerAnnounced):
            process = self.world.room.members.get(item.peer)
            known = item.peer in self._announcers and self._announcers[item.peer] is process
            self._announcers[item.peer] = process
            item = PeerAnnounced(item.peer, again=known)
        self.engine.receive_signal(item, self.now())
        self._pump()

    def _event(self, peer: str, epoch: int, event: LinkEvent) -> None:
        if self.running:
            self.engine.receive_link_event(peer, epoch, event, self.now())
            self._pump()

    def _frame(self, peer: str, epoch: int, data: bytes) -> None:
        if self.running:
            self.engine.receive_frame(peer, epoch, data, self.now())
            self._pump()

    def _tick(self, *, first: bool = False) -> None:
        if self.running and not first:
            self.world.room.publish(self.device_id, Announce())
        if self.running:
            self.world.clock.after(TICKER_S * self.world.rng.uniform(0.85, 1.15), self._tick)

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self) -> None:
        while actions := self.engine.actions():
            for action in actions:
                self.actions_taken.append(action)
                self._carry_out(action)
        self._arm()

    def _arm(self) -> None:
        deadline = self.engine.next_timer()
        if deadline is None or deadline == self._armed_for:
            return
        self._armed_for = deadline

        def ring() -> None:
            if self.running and self._armed_for == deadline:
                self._armed_for = None
                self.engine.handle_timer(self.now())
                self._pump()

        self.world.clock.at(deadline, ring)

    def _carry_out(self, action: Action) -> None:
        match action:
            case OpenSession(peer, epoch, offerer):
                session = self.world.wire.open(
                    self.device_id,
                    offerer=offerer,
                    on_event=lambda event: self._event(peer, epoch, event),
                    on_frame=lambda data: self._frame(peer, epoch, data),
                )
                if (old := self.links.get(peer)) is not None:
                    old[1].close()
                self.links[peer] = (epoch, session)
            case MakeOffer(peer, epoch, restart):
                self._session(peer, epoch).make_offer(restart=restart)
            case TakeOffer(peer, epoch, sdp):
                self._session(peer, epoch).take_offer(sdp)
            case TakeAnswer(peer, epoch, sdp):
                self._session(peer, epoch).take_answer(sdp)
            case AddCandidate(peer, epoch, candidate):
                self._session(peer, epoch).add_candidate(candidate)
            case CloseSession(peer, epoch):
                if self.links.get(peer, (None,))[0] == epoch:
                    self.links.pop(peer)[1].close()
            case SendFrame(peer, epoch, _, data):
                self._session(peer, epoch).send(data)
            case Publish(signal):
                self.world.room.publish(self.device_id, signal)
            case Emit(event):
                if not isinstance(event, Diag):
                    self.events.append(event)
            case SaveRoster():
                self.saved = self.engine.roster
            case Deliver(peer, _, frame):
                self.delivered.append((peer, frame))
            case WaiterDone(waiter, error):
                self.waiters[waiter] = error
            case RedialRelays() | LinkDown():
                pass
            case _:
                assert_never(action)

    def _session(self, peer: str, epoch: int) -> FakeSession:
        known, session = self.links[peer]
        assert known == epoch, "the engine spoke to a session that it had replaced"
        return session
