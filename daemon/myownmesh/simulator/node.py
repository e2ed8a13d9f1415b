"""One device in the simulated mesh: the product's switch, driven by a virtual clock, a fake room and fake sessions."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from mesh_common.events import Diag, PeerDropped
from mesh_common.views import PeerStatus
from myownmesh.engine import Engine
from myownmesh.engine.moves import Move
from myownmesh.mesh.effects import NEVER
from myownmesh.mesh.ports import Outside
from myownmesh.mesh.switch import Switch
from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
)
from myownmesh.roster import Roster
from myownmesh.simulator.calls import Outcome, Stream
from myownmesh.simulator.etiquette import PER_NEWCOMER, Announces
from myownmesh.simulator.history import Recent
from myownmesh.simulator.room import Announced, Sealed
from myownmesh.simulator.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from mesh_common.events import MeshEvent
    from mesh_common.views import PeerInfo
    from myownmesh.engine import EngineConfig
    from myownmesh.engine.links import LinkEvent
    from myownmesh.identity import Identity
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.signals import InboundSignal, OutboundSignal
    from myownmesh.sealing.desk import Mode
    from myownmesh.simulator.clock import VirtualClock
    from myownmesh.simulator.room import Member, Room
    from myownmesh.simulator.session import FakeSession
    from myownmesh.simulator.sources import Sources
    from myownmesh.simulator.wire import Wire

E = TypeVar("E")

NETWORK = "simulated"
FILTER_SIZE = 2048
TICKER_S = 120.0
QUIET_TICKER_S = 720.0
REDIAL_S = 0.05
_ONCE = (OfferReceived, AnswerReceived, CandidateReceived, Sealed)
"""Of what the signaling layer drops repeats."""


class Place(Protocol):
    """What a node needs of its world."""

    clock: VirtualClock
    room: Room
    wire: Wire
    sources: Sources
    skews_ms: dict[str, int]
    sealing: Mode | None
    """How every device that starts from now on signs and seals; None: not at all, which costs nothing."""


class Node:
    """A process on one device. `kill` ends it without a word, `leave` with one; a new Node is its next start."""

    __slots__ = (
        "_alarms",
        "_clock",
        "_is_quiet",
        "_left_room",
        "_seen",
        "_sessions",
        "_slept_at",
        "_slept_offline",
        "_ticked_at",
        "_ticks",
        "_wakes_at",
        "announces",
        "device_id",
        "engine",
        "events",
        "identity",
        "is_offline",
        "leaving",
        "rng",
        "running",
        "saved",
        "skew_ms",
        "switch",
        "world",
        "writing",
    )

    def __init__(self, world: Place, identity: Identity, config: EngineConfig, roster: Roster | None = None) -> None:
        self.world = world
        self._clock = world.clock
        self.identity = identity
        self.device_id = identity.device_id
        self.running = True
        self.leaving = False
        self.events: Recent[MeshEvent] = Recent()
        self.saved = roster or Roster(NETWORK)
        self.skew_ms = world.skews_ms.get(self.device_id, 0)
        self._sessions: list[FakeSession] = []
        self._seen: deque[object] = deque(maxlen=FILTER_SIZE)
        self._wakes_at = NEVER
        self._alarms: list[float] = []
        """For when the clock will wake it, also in vain."""
        self._ticks = 0
        self._ticked_at = 0.0
        self._is_quiet = False
        self._left_room = False
        """Its connections to the relays ended with its network."""
        self.announces = Announces(world.clock.seconds)
        self._slept_at: float | None = None
        self._slept_offline = False
        self.is_offline = False
        """Its watch over the network has said so, and nothing else since."""
        self.rng = world.sources.of(f"node {self.device_id}")
        self.engine = Engine(identity, NETWORK, config, self.saved, self.rng)
        self.engine.be_watched(watched=False)
        outside = Outside(
            now=self.now,
            publish=self._publish,
            redial=self._redial,
            set_pace=self._set_pace,
            save_roster=self._save,
            on_event=self._hear_event,
            wake_at=self._wake_at,
        )
        self.switch = Switch(self.engine, outside, self.rng)
        self.writing = Writing(self, world.room, world.sealing)

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.switch.start(self._open_session)
        self.world.room.join(self, has_network=not self._is_unplugged)
        if self._is_unplugged:
            self._lose_network()
        self._tick()

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is closed."""
        self.running = False
        self.world.room.quit(self)
        for session in self.sessions():
            self.world.wire.kill(session)

    def freeze(self) -> None:
        """SIGSTOP: it neither does nor says anything, and the machine keeps what comes for it."""
        self.world.wire.freeze(self.device_id)

    def thaw(self) -> None:
        """SIGCONT."""
        self.announces.occasions += 1
        self.world.wire.thaw(self.device_id)

    def move(self, *, is_told: bool = False) -> None:
        """Its machine gets another address; `is_told`: and the watch over the network notices, unless there is none."""
        self.world.wire.move(self.device_id)
        if is_told and not self.is_offline:
            self._moved(Move.MOVED)

    def unplug(self) -> None:
        """Its machine loses its network, and sees it."""
        self.world.wire.unplug(self.device_id)
        self._lose_network()

    def _lose_network(self) -> None:
        self._left_room = True
        self.is_offline = True
        self._moved(Move.OFFLINE)

    def plug_in(self, *, elsewhere: bool = False) -> None:
        """It has one again; `elsewhere`: with another address."""
        if elsewhere:
            self.world.wire.move(self.device_id)
        if self._slept_at is None:
            self.world.wire.plug_in(self.device_id)
        self._slept_offline = False
        self.is_offline = False
        self._moved(Move.ONLINE)

    def sleep(self) -> None:
        """Its machine is suspended: what is sent to it meanwhile is lost."""
        self._slept_at = self.world.clock.seconds
        self._slept_offline = self._is_unplugged
        self._left_room = True
        self.world.wire.freeze(self.device_id)
        self.world.wire.unplug(self.device_id)

    @property
    def is_asleep(self) -> bool:
        return self._slept_at is not None

    def wake(self) -> None:
        """It goes on, and the watch over the clocks notices."""
        assert self._slept_at is not None
        slept_s, self._slept_at = self.world.clock.seconds - self._slept_at, None
        if not self._slept_offline:
            self.world.wire.plug_in(self.device_id)
        self.world.wire.thaw(self.device_id)
        self.announces.occasions += 1
        self.switch.woken(slept_s)

    def relay_is_back(self) -> None:
        """A link to a relay opens again: what is stored there comes, and an announce goes out."""

        def serve() -> None:
            if self.running and not self.leaving and not self._is_unplugged:
                self.world.room.rejoin(self)
                self.switch.signaling_is_up()

        self.world.wire.run_of(self.device_id, serve)

    def _moved(self, move: Move) -> None:
        self.world.wire.run_of(self.device_id, lambda: self.switch.network_moved(move, {}) if self.running else None)

    def leave(self) -> None:
        """SIGTERM: leave the room, and stop when the leave is out."""
        self.leaving = True
        self.world.clock.after(self.switch.leave(), self._stop)

    def _stop(self) -> None:
        self.switch.stop()
        self.running = False
        self.world.room.quit(self)

    # ── what a person or an app does ──────────────────────────────────────────────────────────────────────────────────

    def approve(self, other: Node, label: str = "") -> None:
        self.switch.approve(other.device_id, label)

    def remove(self, other: Node) -> None:
        self.switch.remove(other.device_id)

    def connect(self, other: Node, *, pin: bool = False) -> Outcome:
        outcome = Outcome(self.world.clock)
        self.announces.occasions += 1
        self.switch.connect(other.device_id, outcome.sent, pin=pin)
        return outcome

    def reconnect(self, other: Node | None = None) -> None:
        self.announces.occasions += 1
        self.switch.reconnect(None if other is None else other.device_id)

    def send(self, other: Node, frame: Frame) -> Outcome:
        outcome = Outcome(self.world.clock)
        self.switch.send(other.device_id, frame, outcome.sent)
        return outcome

    def call(self, other: Node, method: str, payload: msgspec.Raw, timeout_s: float = 600.0) -> Outcome:
        outcome = Outcome(self.world.clock)
        self.switch.call(other.device_id, method, payload, outcome.answered, timeout_s)
        return outcome

    def call_stream(self, other: Node, method: str, payload: msgspec.Raw) -> Stream:
        stream = Stream()
        self.switch.rpc.call_stream(other.device_id, method, payload, stream.chunk, stream.end)
        return stream

    def send_raw(self, other: Node, data: bytes) -> None:
        """Bytes of our own choice, past the switch."""
        session = self.session_to(other)
        assert session is not None
        session.send(data)

    # ── what tests ask ────────────────────────────────────────────────────────────────────────────────────────────────

    def peer(self, other: Member) -> PeerInfo | None:
        return next((info for info in self.switch.peers() if info.device_id == other.device_id), None)

    def info(self, other: Node) -> PeerInfo:
        """`peer`, where it is known to be there."""
        found = self.peer(other)
        assert found is not None, f"{self.identity.label} does not know {other.identity.label}"
        return found

    def status(self, other: Member) -> str | None:
        info = self.peer(other)
        return None if info is None else info.status

    def is_linked(self, other: Node) -> bool:
        return self.status(other) == PeerStatus.ACTIVE

    def heard(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def drops(self) -> list[str]:
        return [event.reason.kind for event in self.events if isinstance(event, PeerDropped)]

    def sessions(self) -> list[FakeSession]:
        """What is open, oldest first."""
        self._sessions = [session for session in self._sessions if not session.closed]
        return self._sessions

    def session_to(self, other: Node) -> FakeSession | None:
        """The newest session that knows the other's."""
        return next((each for each in reversed(self.sessions()) if self.owner_at(each) == other.device_id), None)

    def owner_at(self, session: FakeSession) -> str | None:
        """Whose session is at the other end."""
        far_end = self.world.wire.far_end(session)
        return None if far_end is None else far_end.owner

    # ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> Instant:
        clock = self._clock
        return clock.now(self.skew_ms) if self.skew_ms or clock.moment.mono != clock.seconds else clock.moment

    def hear(self, item: InboundSignal | Sealed) -> None:
        """The signaling layer's part: repeats of one content are dropped (spec 04 §1.5)."""
        wire = self.world.wire
        if wire.unplugged and self._is_unplugged:
            return
        if wire.frozen and self.device_id in wire.frozen:
            wire.run_of(self.device_id, lambda: self._take(item))
        elif self.running:
            self._read(item)

    def _take(self, item: InboundSignal | Sealed) -> None:
        if self.running:
            self._read(item)

    def _read(self, item: InboundSignal | Sealed) -> None:
        if type(item) is Announced:  # nothing comes more often
            read = self.writing.announced(item)
            if type(read) is PeerAnnounced and not read.again:
                self.announces.occasions += PER_NEWCOMER
        else:
            if isinstance(item, _ONCE):
                if item in self._seen:
                    return
                self._seen.append(item)
            read = self.writing.read(item)
        if read is not None:
            self.switch.receive_signal(read)

    def _tick(self, number: int = 0) -> None:
        """The ticker of `number`: one that was set anew has another."""
        if self.running and number == self._ticks:
            if number and self.device_id not in self.world.wire.frozen:
                self._publish(Announce())
            self._ticked_at = self.world.clock.seconds
            self.sessions()  # forgets those that are over, which a crowd that meets makes many of
            self._plan_tick()

    def _plan_tick(self) -> None:
        self._ticks += 1
        wait_s = (QUIET_TICKER_S if self._is_quiet else TICKER_S) * self.rng.uniform(0.85, 1.15)
        self.world.clock.at(self._ticked_at + wait_s, partial(self._tick, self._ticks))

    def _set_pace(self, quiet: bool) -> None:
        self._is_quiet = quiet
        self._plan_tick()

    # ── what the switch asks for ──────────────────────────────────────────────────────────────────────────────────────

    def _open_session(
        self, *, offerer: bool, on_event: Callable[[LinkEvent], None], on_frame: Callable[[bytes], None]
    ) -> FakeSession:
        session = self.world.wire.open(self.device_id, offerer=offerer, on_event=on_event, on_frame=on_frame)
        self._sessions = [*self.sessions(), session]
        return session

    @property
    def _is_unplugged(self) -> bool:
        return self.device_id in self.world.wire.unplugged

    def _publish(self, signal: OutboundSignal) -> None:
        self.announces.said += isinstance(signal, Announce)
        carried = self.writing.close(signal)
        if carried is not None and not self._is_unplugged:
            self.world.room.publish(self.device_id, carried)

    def _redial(self, if_mute: bool) -> None:
        """Relays that are asked, or dialled anew, serve again a moment later."""

        def serve() -> None:
            if not self.running or self._is_unplugged or not self.world.room.serves(self.device_id):
                return
            if self._left_room:
                self._left_room = False
                self.world.room.rejoin(self)
            self.switch.signaling_is_up()

        self.world.clock.after(REDIAL_S, lambda: self.world.wire.run_of(self.device_id, serve))

    def _save(self) -> None:
        self.saved = self.engine.roster

    def _hear_event(self, event: MeshEvent) -> None:
        self.writing.approved(event)
        if not isinstance(event, Diag):
            self.events.append(event)

    def _wake_at(self, second: float) -> None:
        self._wakes_at = second
        if second not in self._alarms:  # an earlier one came in between, and this is the one from before
            self._alarms.append(second)
            self._clock.at(second, partial(self._ring, second))

    def _ring(self, second: float) -> None:
        self._alarms.remove(second)
        if self._wakes_at == second:
            wire = self.world.wire
            if wire.frozen and self.device_id in wire.frozen:
                wire.run_of(self.device_id, partial(self._handle_timer, second))
            else:
                self._handle_timer(second)

    def _handle_timer(self, second: float) -> None:
        if self.running and self._wakes_at == second:
            self._wakes_at = NEVER
            self.switch.handle_timer()
