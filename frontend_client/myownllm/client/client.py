"""The mesh client: the trio shell around the machine (spec 08 §5). It carries commands out and decides nothing.

`start`, `stop` and `reconcile` may be called from anywhere at any time; what they mean is in `machine`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, Protocol, assert_never

import attrs
import trio

from mesh_common.client.errors import ControlError
from myownllm import capabilities
from myownllm.client import messages
from myownllm.client.bulk import Inflow
from myownllm.client.host import CANCEL_CHANNEL, CANCEL_FEATURE, Host
from myownllm.client.machine import Machine
from myownllm.client.procedures import NO_LIFE
from myownllm.client.registry import LANE_BYTES, LANE_MESSAGES, Claim
from myownllm.client.session import Session
from myownllm.client.state import DIAG_RING, ClientState, DaemonUpdate, Diag
from myownllm.client.work import Work
from myownllm.errors import FAILURES, NoNetworkError, not_connected
from myownllm.refusals import PEER_GONE_TEXT
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh_common.client.session import Session as Bridge
    from myownllm.catalog.model import Catalog
    from myownllm.client.owned import OwnedNetworks
    from myownllm.client.registry import ChannelHandler, Release
    from myownllm.client.start import Offer
    from myownllm.effects import Level
    from myownllm.peers import CatalogEntry
    from myownllm.supervisor import Connection

    LifeTask = Callable[[Session], Awaitable[None]]

CANCEL_S: Final = 2.0
"""For telling a host that its caller has gone."""


class CatalogPort(Protocol):
    """Where the saved networks come from."""

    async def load(self) -> Catalog:
        """As they are now. Raises HomeError."""
        ...


class MeshClient(Host):
    """Made once per app; `run` must be running for anything to happen."""

    def __init__(self, catalog: CatalogPort, owned: OwnedNetworks, offer: Offer, *, now_ms: Callable[[], int]) -> None:
        self.watch: Watch[ClientState] = Watch(ClientState())
        self.diag: deque[Diag] = deque(maxlen=DIAG_RING)
        self.on_diag: list[Callable[[Diag], None]] = []
        self.on_stuck: list[Callable[[int], None]] = []
        """told the generation of a daemon that will never finish an operation"""
        self.on_state: list[Callable[[ClientState, ClientState], None]] = []
        """told each new snapshot and the one before it"""
        self.on_peers: list[Callable[[ClientState, ClientState], None]] = []
        """the same, when the peers in it are others"""
        self.on_name: list[Callable[[], None]] = []
        """told when this device is called otherwise"""
        self.on_wake: list[Callable[[], None]] = []
        """told when this machine has slept"""
        self.work = Work(now_ms, lambda urgent: self._feed(messages.WorkChanged(urgent)))
        self._machine = Machine(attrs.evolve(offer, work=self.work))
        self._tasks: dict[LifeTask, trio.CancelScope | None] = {}
        self._up = 0
        self._catalog = catalog
        self._owned = owned
        self._now_ms = now_ms
        self._nursery: trio.Nursery | None = None
        self._alarm = trio.CancelScope()
        self._farewells = Watch(0)
        self._inbox: deque[messages.Event] = deque()
        self._is_busy = False
        self._bridge: Bridge | None = None
        self._session: Session | None = None
        self._scopes: dict[int, set[trio.CancelScope]] = {}
        self._tickets = 0
        self._waiters: dict[int, Watch[messages.Done | None]] = {}
        self.watch.set(self._machine.state)
        super().__init__(offer.registry, self._spawn, self._feed, self.note)

    @property
    def state(self) -> ClientState:
        """What a person sees now."""
        return self.watch.value

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the client's tasks until cancelled. Only `stop`, before that, gives back what was registered."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await self._keep_time()
            finally:
                self._nursery = None

    # ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────────

    def connected(self, bridge: Bridge, connection: Connection) -> None:
        """A daemon's event connection is up. Whoever asked for a start gets one."""
        self._bridge = bridge
        generation = bridge.generation
        link = messages.Link(
            generation=generation,
            client_id=bridge.client_id,
            mode=connection.mode,
            socket=connection.socket,
            daemon_version=connection.daemon_version,
            device_id=connection.device_id,
        )
        self._feed(messages.Connected(link))
        bridge.attach(lambda frame: self._feed(messages.Arrived(generation, frame)))

    def disconnected(self, generation: int) -> None:
        """That connection is gone; a life that hangs on it ends, and the next connection begins a new one."""
        self._feed(messages.Disconnected(generation))

    def not_subscribed(self, reason: str) -> None:
        """A daemon answers, but gives no events."""
        self._feed(messages.NotSubscribed(reason))

    def peers_changed(self) -> None:
        """This app itself did something to a peer: the list is read soon."""
        self._feed(messages.PeersChanged())

    def name_changed(self) -> None:
        """The daemon calls this device otherwise: peers are told soon, and screens at once."""
        self.capabilities_changed()
        for told in self.on_name:
            told()

    def catalog_heard(self, pubkey: str, entries: tuple[CatalogEntry, ...]) -> None:
        """A peer has told which conversations it has: from now on they stand beside it (`PeerEntry.catalog`)."""
        self._feed(messages.CatalogHeard(pubkey, entries))

    def show_update(self, state: Literal["updating", "done", "failed"], detail: str) -> None:
        """How far the update of an old daemon is."""
        self._feed(messages.UpdateShown(DaemonUpdate(state, detail)))

    # ── what features bring, besides `Host` ───────────────────────────────────────────────────────────────────────────

    async def subscribe(
        self,
        channel: str,
        handler: ChannelHandler,
        *,
        messages_waiting: int = LANE_MESSAGES,
        bytes_waiting: int = LANE_BYTES,
    ) -> Release:
        """`listen`, and return when the daemon has confirmed it: nothing sent from now on is missed.

        Raises ControlError; then nobody listens.
        """
        self.session()
        release = self.listen(channel, handler, messages_waiting=messages_waiting, bytes_waiting=bytes_waiting)
        try:
            await self._intend(lambda ticket: messages.Confirm(ticket, Claim("channel", channel)))
        except BaseException:
            release()
            raise
        return release

    async def inflow(self, pubkey: str, channel: str) -> Inflow:
        """Very many messages of one device on a channel, in the life that is up; close it.

        Raises ControlError, NoNetworkError.
        """
        return await Inflow.open(self.session(), pubkey, channel)

    def while_up(self, task: LifeTask) -> Release:
        """Run `task(session)` in the life that is up and in every later one; its end cancels it.

        An expected failure that the task lets out ends it for that life and is told as a warning.
        """
        self._tasks[task] = None
        if self._session is not None and self._up == self._session.life:
            self._start_task(task, self._session)

        def release() -> None:
            scope = self._tasks.pop(task, None)
            if scope is not None:
                scope.cancel()

        return release

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> trio.CancelScope:
        """Run a task beside the lives, until the app ends. `run` must be running."""
        return self._spawn(NO_LIFE, task)

    # ── intents ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Bring the active network online. Concurrent calls share one run and its outcome (FE-5.4).

        Raises ControlError or HomeError when the run failed; the client then begins again by itself, with the next
        connection to a daemon at the latest.
        """
        if self._nursery is None:
            raise not_connected()
        await self._intend(messages.Start)

    async def stop(self) -> None:
        """Release everything and show nothing; the daemon stays joined. Safe at any time, also twice (FE-5.23)."""
        await self._intend(messages.Stop)
        await self._farewells.until(lambda under_way: not under_way)

    async def reconcile(self, *, may_disrupt: bool = False) -> None:
        """Follow the saved networks: switch, start, bring edits in, or look anew; returns when that is done.

        Edits that would cut off running work wait for its end, unless `may_disrupt` (FE-8.6).
        """
        await self._intend(lambda ticket: messages.Reconcile(ticket, may_disrupt))

    async def boot(self) -> None:
        """The start at launch: its failure is in the state and the log, and the next connection starts again."""
        try:
            await self.start()
        except FAILURES as error:
            self.note("warn", f"start failed: {error}")

    async def preview(self) -> None:
        """Show which network is active before any daemon is there. Raises HomeError."""
        self._feed(messages.Preview(await self._catalog.load()))

    async def converge(self) -> None:
        """Hold the daemon to the active network now; over when that is done (spec 08 §12 row 30)."""
        await self._intend(messages.Converge)

    async def rediscover(self) -> None:
        """Look for peers anew (FE-5.26). Raises ControlError, HomeError, NoNetworkError."""
        await self._intend(messages.Rediscover)

    def take_back(self, session: Session, peer: str, stream_id: str) -> None:
        """Tell a host that nobody waits for that stream any more, if it wants to know (FE-9.7). Returns at once."""
        entry = self.state.peer(peer)
        if (
            entry is None
            or not capabilities.supports(entry.capabilities, CANCEL_FEATURE)
            or session.bridge.lost.is_set()
        ):
            return

        async def tell() -> None:
            where = {"network": session.wire_id, "peer": peer, "channel": CANCEL_CHANNEL}
            try:
                await session.bridge.command(
                    "channel_send_to", timeout=CANCEL_S, **where, payload={"stream_id": stream_id}
                )
            except ControlError:
                return  # it will see that nobody listens when its link ends
            finally:
                self._farewells.set(self._farewells.value - 1)

        if self._nursery is not None:
            self._farewells.set(self._farewells.value + 1)
            self.start_soon(tell)

    def session(self) -> Session:
        """The life that users' operations go through now. Raises ControlError when there is none, NoNetworkError."""
        if self._session is None:
            raise not_connected()
        if not self._session.wire_id:
            raise NoNetworkError
        return self._session

    def note(self, level: Level, message: str, ts: int | None = None) -> None:
        """Add a line to the activity log."""
        diag = Diag(self._now_ms() if ts is None else ts, level, message)
        self.diag.append(diag)
        for listener in self.on_diag:
            listener(diag)

    async def _intend(self, intent: Callable[[int], messages.Event]) -> None:
        self._tickets += 1
        ticket = self._tickets
        outcome: Watch[messages.Done | None] = Watch(None)
        self._waiters[ticket] = outcome
        try:
            self._feed(intent(ticket))
            done = await outcome.until(lambda value: value is not None)
        finally:
            del self._waiters[ticket]
        await trio.lowlevel.checkpoint()
        if done is not None and done.error is not None:
            raise done.error

    # ── the machine's hands ───────────────────────────────────────────────────────────────────────────────────────────

    async def _keep_time(self) -> None:
        while True:
            deadline = self._machine.next_timer()
            with trio.CancelScope(deadline=math.inf if deadline is None else deadline) as self._alarm:
                await trio.sleep_forever()
            self._feed(messages.Woke())

    def _feed(self, event: messages.Event) -> None:
        """Hand an event in and carry out what comes back; what that causes at once is handed in afterwards."""
        self._inbox.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._inbox:
                for command in self._machine.handle(self._inbox.popleft(), trio.current_time(), self._now_ms()):
                    self._carry_out(command)
                self._show(self.watch.value, self._machine.state)
        finally:
            self._is_busy = False
        timer = self._machine.next_timer()
        self._alarm.deadline = math.inf if timer is None else timer

    def _show(self, before: ClientState, now: ClientState) -> None:
        if now is before:
            return
        self.watch.set(now)
        if now.diag_quiet and not before.diag_quiet:
            kept = [line for line in self.diag if line.level not in ("debug", "info")]
            self.diag.clear()
            self.diag.extend(kept)
        for listener in tuple(self.on_state):
            listener(before, now)
        if now.peers is not before.peers:
            for listener in tuple(self.on_peers):
                listener(before, now)

    def _start_task(self, task: LifeTask, session: Session) -> None:
        async def run() -> None:
            try:
                await task(session)
            except FAILURES as error:
                if not session.ended.is_set():  # else it is only how the task learnt of the end
                    self.note("warn", str(error))

        self._tasks[task] = self._spawn(session.life, run)

    def _carry_out(self, command: messages.Command) -> None:
        match command:
            case messages.Carry(number, life, request):
                self._spawn(life, lambda: self._answer(number, request))
            case messages.Note(level, message, ts):
                self.note(level, message, ts)
            case messages.Bind(life, wire_id):
                if self._bridge is not None:
                    self._session = Session(life, self._bridge, wire_id)
            case messages.Up(life):
                self._up = life
                for task in self._tasks:
                    if self._session is not None:
                        self._start_task(task, self._session)
            case messages.EndWork(life):
                self._end_work(life)
            case messages.Serve():
                if self._bridge is not None:
                    self._serving.begin(self._bridge, command)
            case messages.Deliver(channel=channel):
                for hearer in self._registry.listeners(channel):
                    self._lanes.put(command, hearer)
            case messages.PeerGone(_, peer):
                self._serving.end_peer(peer, PEER_GONE_TEXT)
                if self._session is not None:
                    self._session.fail_peer(peer, PEER_GONE_TEXT)
            case messages.Woken(life):
                if self._session is not None and self._session.life == life:
                    self._session.woke_at = trio.current_time()
                for told in tuple(self.on_wake):
                    told()
            case messages.PassStream(life, piece):
                if self._session is not None and self._session.life == life:
                    self._session.streams.receive(piece, trio.current_time())
            case messages.Own(device_id, config_id, network_id):
                self._remember(lambda: self._owned.add(device_id, config_id, network_id))
            case messages.Disown(device_id, network_id):
                self._remember(lambda: self._owned.remove(device_id, network_id))
            case messages.DaemonStuck(generation):
                for listener in self.on_stuck:
                    listener(generation)
            case messages.Done(ticket):
                waiter = self._waiters.get(ticket)
                if waiter is not None:
                    waiter.set(command)
            case _:
                assert_never(command)

    def _spawn(self, life: int, work: Callable[[], Awaitable[None]]) -> trio.CancelScope:
        """Run a task that ends with a life."""
        scope = trio.CancelScope()
        if self._nursery is None:
            scope.cancel()
            return scope
        scopes = self._scopes.setdefault(life, set())
        scopes.add(scope)

        async def run() -> None:
            try:
                with scope:
                    await work()
            finally:
                scopes.discard(scope)
                if not scopes:
                    self._scopes.pop(life, None)

        self._nursery.start_soon(run)
        return scope

    def _end_work(self, life: int) -> None:
        for scope in tuple(self._scopes.get(life, ())):
            scope.cancel()
        if self._session is not None and self._session.life == life:
            self._session.end()
            self._session = None

    async def _answer(self, number: int, request: messages.Request) -> None:
        answer: object = None
        try:
            match request:
                case messages.Ask(operation, members, timeout_s):
                    if self._bridge is None:
                        raise not_connected()
                    answer = await self._bridge.command(operation, timeout=timeout_s, **members)
                case messages.ReadCatalog():
                    answer = await self._catalog.load()
                case messages.ReadOwned(device_id):
                    answer = self._owned.of(device_id)
                case _:
                    assert_never(request)
        except FAILURES as error:
            self._feed(messages.Answered(number, error=error))
        else:
            self._feed(messages.Answered(number, answer))

    def _remember(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            self.note("warn", f"which networks are ours could not be saved: {error.strerror}")
