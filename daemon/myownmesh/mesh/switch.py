"""One network's switch: what comes in for its engine, and what clients ask of the network.

Synchronous and without I/O of its own: everything runs on one thread within the call that brought it, so a frame is
decoded, decided and answered without a queue or a task switch (`mesh.effects`). Tasks, threads and files are its
driver's (`mesh.driver`); the simulator drives the same switch on a virtual clock.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from myownmesh.engine import EngineError, FrameTooLarge, PeerNotFound, ShutDown
from myownmesh.engine.path_words import pair_class
from myownmesh.engine.waiting import SHUT_DOWN
from myownmesh.mesh.channels import Channels
from myownmesh.mesh.effects import Effects
from myownmesh.mesh.errors import DoesNotFit, MeshError, NetworkLeft, NotLinked
from myownmesh.mesh.precedence import order_of
from myownmesh.mesh.rpc import CALL_CEILING_S, Rpc
from myownmesh.protocol.frames import Channel
from myownmesh.transport.session import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from mesh_common.events import ConnTrace, Level
    from mesh_common.views import PeerInfo
    from myownmesh.engine import Engine, EngineConfig
    from myownmesh.engine.diagnostics import Category
    from myownmesh.engine.governor import Governor
    from myownmesh.engine.moves import Move
    from myownmesh.mesh.ports import Outside, SessionOpener
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.topology.modes import TopologyMode

T = TypeVar("T")


class Switch:
    """One engine with its links, calls and channels.

    Commands raise `MeshError` before anything has changed. Inputs raise nothing but bugs.
    """

    __slots__ = ("_links", "_now", "_pump", "_sending", "_tickets", "_waiters", "channels", "effects", "engine", "rpc")

    def __init__(self, engine: Engine, outside: Outside, rng: Rng) -> None:
        self.engine = engine
        """For its views. Commands and inputs go through the switch, which carries out what comes of them."""
        self.channels = Channels()
        self.rpc = Rpc(self.send, rng)
        self._now = outside.now
        self.effects = Effects(engine, self.rpc, self.channels, outside)
        """What comes of the engine's decisions; its `on_…` may be set by whoever runs this."""
        self._links = self.effects.links
        self._sending = self.effects.sending
        self._waiters = self.effects.waiters
        self._pump = self.effects.pump
        self._tickets = count()

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, open_session: SessionOpener) -> None:
        """Begin. Dials that were asked for before this happen now."""
        self.engine.start(self._now())
        self.effects.open_sessions(open_session)
        self._pump()

    def leave(self) -> float:
        """Announce the departure. Returns the seconds that it takes to reach the room: `stop` should come then."""
        now = self._now()
        self.engine.leave(now)
        self._pump()
        closes_at = self.engine.next_timer()  # nothing else is left to do
        return 0.0 if closes_at is None else max(0.0, closes_at - now.mono)

    def stop(self) -> None:
        """Close every session, fail every call and tell whoever waits, also after a bug. A second one does nothing."""
        try:
            self.engine.stop(self._now())
            self._pump()
        finally:
            self._links.close_all()
        self.rpc.shut_down()
        while self._waiters:
            self._waiters.popitem()[1](SHUT_DOWN)

    def peers(self) -> list[PeerInfo]:
        """Every peer that is known, as clients see it now."""
        return [self._with_turn(row) for row in self.engine.peers(self._now())]

    def _with_turn(self, row: PeerInfo) -> PeerInfo:
        """The engine knows kinds of candidates; which server lends one, the session knows."""
        if row.selected_pair is None or pair_class(row.selected_pair) != "turn":
            return row
        paths = (link.session.turn_path() for link in self._links.of(row.device_id))
        return structs.replace(row, turn=next((path for path in paths if path is not None), None))

    @property
    def most_queued_bytes(self) -> int:
        """What waits for room on the fullest link."""
        return self._links.most_queued_bytes

    def reached_at(self, peer: str) -> frozenset[str]:
        """Addresses, as IP literals, at which a peer itself has answered; none for a way that is relayed."""
        seen = [snapshot for link in self._links.of(peer) if (snapshot := link.session.ice_snapshot()) is not None]
        return frozenset(address for each in seen for address in each.reached)

    def be_watched(self, *, watched: bool) -> None:
        """Whether anybody reads events; while nobody does, no diagnostics are made."""
        self.engine.be_watched(watched=watched)

    # ── trace ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def trace(self, on_record: Callable[[ConnTrace], None]) -> Callable[[], None]:
        """Call back with how every peer stands, and from then on with what changes (spec 04 §9.5); returns what ends
        that. `on_record` does not come back in."""
        return self.effects.followers.add(on_record, self._now())

    # ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def signaling_is_up(self) -> None:
        """A way into the room works."""
        self.engine.signaling_is_up(self._now())
        self._pump()

    def has_no_relays(self) -> None:
        """Of the relays that are redialled there is none: nothing has to wait for them."""
        self.engine.has_no_relays(self._now())
        self._pump()

    def network_moved(self, move: Move, detail: dict[str, object]) -> None:
        """This machine's network changed; `detail` is for the diagnostics."""
        self.engine.network_moved(move, detail, self._now())
        self._pump()

    def woken(self, seconds: float) -> None:
        """This machine slept for so long, or this process stood still."""
        self.engine.woken(seconds, self._now())
        self._pump()

    def tell(self, level: Level, category: Category, message: str, detail: dict[str, object]) -> None:
        """Have the network's diagnostics say what somebody outside of the engine has noticed."""
        self.engine.tell(level, category, message, detail, self._now())
        self._pump()

    def receive_signal(self, signal: InboundSignal) -> None:
        """Take one item of the room."""
        self.engine.receive_signal(signal, self._now())
        self._pump()

    def handle_timer(self) -> None:
        """Do what is due; call it at the time of the last `wake_at` or soon after."""
        self.effects.handle_timer()

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def approve(self, device_id: str, label: str) -> None:
        """A person admits a device."""
        self._command(lambda now: self.engine.approve(device_id, label, now))

    def note_sealing(self, device_id: str, seals: bool) -> None:
        """A device is known to seal its signaling, or no more."""
        self.engine.note_sealing(device_id, seals=seals)
        self._pump()

    def remove(self, device_id: str) -> None:
        """A person takes a device off the roster."""
        self._command(lambda now: self.engine.remove(device_id, now))

    def show_invitation(self, device_id: str) -> None:
        """We took an invitation of this peer."""
        self._command(lambda now: self.engine.show_invitation(device_id, now))

    def reconnect(self, peer: str | None) -> None:
        """Renegotiate with one peer, or redial all relays and renegotiate with everybody."""
        self._command(lambda now: self.engine.reconnect(peer, now))

    def set_topology(self, mode: TopologyMode) -> None:
        self._command(lambda now: self.engine.set_topology(mode, now))

    def set_capabilities(self, capabilities: Capabilities) -> None:
        self._command(lambda now: self.engine.set_capabilities(capabilities, now))

    def set_label(self, label: str) -> None:
        """The label of the next hello."""
        self.engine.set_label(label)

    def configure(self, config: EngineConfig) -> None:
        """Take a changed network record."""
        self._command(lambda now: self.engine.configure(config, now))

    def connect(self, peer: str, done: Callable[[str | None], None] | None, *, pin: bool) -> Callable[[], None]:
        """Dial a peer; `done(error)` is called when it is active or the dial ended. Returns what abandons the wait."""
        if done is None:
            self._command(lambda now: self.engine.connect(peer, pin, None, now))
            return lambda: None
        waiter = next(self._tickets)
        self._waiters[waiter] = done

        def abandon() -> None:
            if self._waiters.pop(waiter, None) is not None:
                self.engine.abandon_waiter(waiter)

        try:
            self._command(lambda now: self.engine.connect(peer, pin, waiter, now))
        except MeshError:
            abandon()
            raise
        return abandon

    def govern(self, act: Callable[[Governor, Instant], T]) -> T:
        """Do something with the network's signed governance."""
        result = act(self.engine.governor, self._now())
        self._pump()
        return result

    def _command(self, act: Callable[[Instant], None]) -> None:
        try:
            act(self._now())
        except ShutDown as error:
            raise NetworkLeft(str(error)) from error
        except EngineError as error:
            raise MeshError(str(error)) from error
        self._pump()

    # ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, peer: str, frame: Frame, done: Callable[[str | None], None], *, urgent: bool = False) -> int:
        """Send an application frame to a peer, ahead of others if `urgent`; returns the epoch of the link it goes by.

        Raises `NotLinked`, `DoesNotFit`, `MeshError` before anything is sent; a later loss is told to `done`.
        """
        now = self._now()
        try:
            out = self.engine.frame_for(peer, frame, now)
        except PeerNotFound as error:
            raise NotLinked(str(error)) from error
        except FrameTooLarge as error:
            raise DoesNotFit(f"transport: {error}") from error
        links = self._links.all_of(out.hops)
        if not links:
            raise MeshError("transport: session not yet established")
        order = Order.AHEAD if urgent else order_of(frame, len(out.data))
        self._sending.by_first(links, frame.KIND, out.data, done, now.mono, order)
        return links[0].epoch

    def send_reliable(
        self, peer: str, channel: str, payload: msgspec.Raw, ttl_s: float, done: Callable[[str | None], None]
    ) -> None:
        """Have a frame reach a peer; `done(error)` is called when it has acknowledged it, or will not.

        Raises `DoesNotFit`, `MeshError`.
        """
        ticket = next(self._tickets)
        self._waiters[ticket] = done
        frame = Channel(channel=channel, payload=payload)
        try:
            self._command(lambda now: self.engine.send_reliable(peer, frame, ttl_s, ticket, now))
        except MeshError:
            del self._waiters[ticket]
            raise
        except FrameTooLarge as error:
            del self._waiters[ticket]
            raise DoesNotFit(f"transport: {error}") from error

    def broadcast(self, channel: str, payload: msgspec.Raw, done: Callable[[int], None]) -> None:
        """Send one channel frame to every peer that takes broadcasts; `done` gets the number of sends that succeeded.

        Raises `DoesNotFit`.
        """
        try:
            out = self.engine.broadcast(Channel(channel=channel, payload=payload))
        except FrameTooLarge as error:
            raise DoesNotFit(f"transport: {error}") from error
        self._sending.to_all(self._links.all_of(out.hops), Channel.KIND, out.data, done)

    def call(
        self,
        peer: str,
        method: str,
        payload: msgspec.Raw,
        on_done: Callable[[msgspec.Raw | None, str | None], None],
        timeout_s: float = CALL_CEILING_S,
    ) -> Callable[[], None]:
        """Call a peer's method; `on_done(ok, error)` is called once unless the returned cancel is called first."""
        cancel = self.rpc.call(peer, method, payload, on_done, now_s=self._now().mono, timeout_s=timeout_s)
        self.effects.be_woken_at(self.rpc.next_deadline)
        return cancel
