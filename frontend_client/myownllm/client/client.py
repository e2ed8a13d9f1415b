"""The mesh client: the trio shell around the machine (spec 08 §5). It carries commands out and decides nothing.

`start`, `stop` and `reconcile` may be called from anywhere at any time; what they mean is in `machine`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol, assert_never

import trio

from myownllm.client import messages
from myownllm.client.machine import Machine
from myownllm.client.serving import serve
from myownllm.client.session import Session
from myownllm.client.state import DIAG_RING, ClientState, Diag
from myownllm.errors import FAILURES, NoNetworkError, not_connected
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh_common.client.session import Session as Bridge
    from myownllm.catalog.model import Catalog
    from myownllm.client.owned import OwnedNetworks
    from myownllm.client.start import Offer
    from myownllm.effects import Level
    from myownllm.supervisor import Connection


class CatalogPort(Protocol):
    """Where the saved networks come from."""

    async def load(self) -> Catalog:
        """As they are now. Raises HomeError."""
        ...


class MeshClient:
    """Made once per app; `run` must be running for anything to happen."""

    def __init__(self, catalog: CatalogPort, owned: OwnedNetworks, offer: Offer, *, now_ms: Callable[[], int]) -> None:
        self.watch: Watch[ClientState] = Watch(ClientState())
        self.diag: deque[Diag] = deque(maxlen=DIAG_RING)
        self.on_diag: list[Callable[[Diag], None]] = []
        self.on_stuck: list[Callable[[int], None]] = []
        """told the generation of a daemon that will never finish an operation"""
        self._machine = Machine(offer)
        self._features = offer.features
        self._catalog = catalog
        self._owned = owned
        self._now_ms = now_ms
        self._nursery: trio.Nursery | None = None
        self._alarm = trio.CancelScope()
        self._inbox: deque[messages.Event] = deque()
        self._is_busy = False
        self._bridge: Bridge | None = None
        self._session: Session | None = None
        self._work: dict[int, set[trio.CancelScope]] = {}
        self._tickets = 0
        self._waiters: dict[int, Watch[messages.Done | None]] = {}
        self.watch.set(self._machine.state)

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

    async def reconcile(self) -> None:
        """Follow the saved networks: switch, start, bring edits in, or look anew; returns when that is done."""
        await self._intend(messages.Reconcile)

    async def boot(self) -> None:
        """The start at launch: its failure is in the state and the log, and the next connection starts again."""
        try:
            await self.start()
        except FAILURES as error:
            self.note("warn", f"start failed: {error}")

    async def preview(self) -> None:
        """Show which network is active before any daemon is there. Raises HomeError."""
        self._feed(messages.Preview(await self._catalog.load()))

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
                if self._machine.state is not self.watch.value:
                    self.watch.set(self._machine.state)
        finally:
            self._is_busy = False
        timer = self._machine.next_timer()
        self._alarm.deadline = math.inf if timer is None else timer

    def _carry_out(self, command: messages.Command) -> None:
        match command:
            case messages.Carry(number, life, request):
                self._spawn(life, lambda: self._answer(number, request))
            case messages.Note(level, message, ts):
                self.note(level, message, ts)
            case messages.Bind(life, wire_id):
                if self._bridge is not None:
                    self._session = Session(life, self._bridge, wire_id)
            case messages.EndWork(life):
                self._end_work(life)
            case messages.Serve(life):
                self._spawn(life, lambda: self._serve(command))
            case messages.Deliver(peer, channel, payload):
                handler = self._features.channel(channel)
                if handler is not None:
                    handler(peer, channel, payload)
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

    def _spawn(self, life: int, work: Callable[[], Awaitable[None]]) -> None:
        if self._nursery is None:
            return
        scope = trio.CancelScope()
        scopes = self._work.setdefault(life, set())
        scopes.add(scope)

        async def run() -> None:
            with scope:
                await work()
            scopes.discard(scope)
            if not scopes:
                self._work.pop(life, None)

        self._nursery.start_soon(run)

    def _end_work(self, life: int) -> None:
        for scope in self._work.get(life, ()):
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

    async def _serve(self, order: messages.Serve) -> None:
        method = self._features.method(order.call.method)
        if self._bridge is None or method is None:
            return
        self._feed(messages.Served(order, await serve(self._bridge, order, method)))

    def _remember(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            self.note("warn", f"which networks are ours could not be saved: {error.strerror}")
