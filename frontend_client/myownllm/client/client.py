"""The mesh client: the one place that decides what the app's mesh state is (spec 08 §5).

`start`, `stop` and `reconcile` may be called from anywhere at any time; at most one life runs, and the state that is
published last matches the request that came last. A lost daemon ends the life; a new connection begins the next one.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import trio

from myownllm.client.convergence import Converger
from myownllm.client.dispatch import Dispatcher
from myownllm.client.life import Life
from myownllm.client.operations import Operations
from myownllm.client.start import RELEASE_BUDGET_S, Starter
from myownllm.client.state import DIAG_RING, ClientState, Diag
from myownllm.errors import AppError, MeshError, not_connected
from myownllm.peers import peer_entries
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.bridge import Bridge
    from myownllm.catalog.coerce import JsonObject
    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client.features import FeatureSet
    from myownllm.client.owned import OwnedNetworks
    from myownllm.effects import Level
    from myownllm.supervisor import Connection

PEERS_SPACING_S: Final = 0.1  # FE-5.16
DECISION_POLL_S: Final = 0.25  # while a device waits for an approval
CHECK_ONLINE_S: Final = 5.0  # one `status`; no event tells that another program removed the network
EXPLAIN_AFTER_S: Final = 8.0  # a start that takes longer says what it waits for (FE-10.1)
START_AGAIN_S: Final = 10.0  # after a start that failed although its daemon is connected
CHECK_UNSETTLED_S: Final = 2.0  # while not online: a healthy daemon must never be left with the app still joining


class CatalogPort(Protocol):
    """Where the saved networks come from."""

    async def load(self) -> Catalog: ...
    async def changed(self) -> bool:
        """Has the file changed since the last `load`?"""
        ...


class MeshClient:
    """Made once per app; `run` must be running for anything to happen."""

    def __init__(
        self,
        catalog: CatalogPort,
        owned: OwnedNetworks,
        features: FeatureSet,
        *,
        pin: str | None,
        now_ms: Callable[[], int],
        blob: JsonObject | None = None,
        app_version: str = "",
    ) -> None:
        self.watch: Watch[ClientState] = Watch(ClientState(pinned_version=pin))
        self.diag: deque[Diag] = deque(maxlen=DIAG_RING)
        self.on_diag: list[Callable[[Diag], None]] = []
        self._catalog = catalog
        self._now_ms = now_ms
        self.on_stuck: list[Callable[[int], None]] = []
        self._converger = Converger(owned, lambda text: self.note("warn", text), self._daemon_stuck)
        self._starter = Starter(
            self, catalog, self._converger, features, pin=pin, blob=blob or {}, app_version=app_version
        )
        self.dispatcher = Dispatcher(self, features)
        self.do = Operations(self)
        self._nursery: trio.Nursery | None = None
        self.life: Life | None = None
        self._lives = 0
        self._wanted = False
        self.bridge: Bridge | None = None
        self.connection: Connection | None = None
        self._reconciling = trio.Lock()
        self._reconcile_again = False
        self._quiet = False
        self._refusal = ""

    @property
    def state(self) -> ClientState:
        return self.watch.value

    # --- connection -------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the client's tasks until cancelled; stops it on the way out."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(RELEASE_BUDGET_S + 1, shield=True):
                    await self.stop()
                self._nursery = None
                nursery.cancel_scope.cancel()

    def connected(self, bridge: Bridge, connection: Connection) -> None:
        """A daemon's event connection is up. Whoever asked for a start gets one."""
        previous = self.connection
        self.bridge, self.connection = bridge, connection
        self._refusal = ""
        if previous is not None and previous.daemon_version != connection.daemon_version:
            self.note("info", f"daemon is now {connection.daemon_version}, was {previous.daemon_version}")
        if previous is not None and previous.device_id != connection.device_id:
            text = (
                f"this device is now {connection.device_id}, was {previous.device_id}: its peers must approve it anew"
            )
            self.note("warn", text)
        self.update(subscription="live")
        if self._wanted and self.life is None:
            self._begin()

    def disconnected(self, generation: int) -> None:
        """That connection is gone; a life that hangs on it ends, and the next connection begins a new one."""
        if self.bridge is None or self.bridge.generation != generation:
            return
        self.bridge = None
        self.update(subscription="disconnected")
        life = self.life
        if life is not None and life.bridge is not None and life.bridge.generation == generation:
            life.end(again=True)
        if self._wanted:
            self.update(status="connecting", phase="starting")

    def not_subscribed(self, reason: str) -> None:
        """A daemon answers, but gives no events: nothing can start, and that is shown instead of "joining"."""
        if reason != self._refusal:
            self._refusal = reason
            self.note("warn", reason)
        if self._wanted:
            self.update(status="error", phase="error", error=reason)

    def _daemon_stuck(self) -> None:
        if self.connection is not None:
            for listener in self.on_stuck:
                listener(self.connection.generation)

    # --- intents ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring the active network online. Concurrent calls share one run and its outcome (FE-5.4).

        Raises MeshError or HomeError when the run failed; the client then begins again by itself with the next
        connection to a daemon.
        """
        self._wanted = True
        while self.life is not None and self.life.scope.cancel_called:
            await self.life.ended.wait()
        life = self.life or self._begin()
        await life.finished.wait()
        if life.error is not None:
            raise life.error

    async def stop(self) -> None:
        """Release everything and show nothing; the daemon stays joined. Safe at any time, also twice (FE-5.23)."""
        self._wanted = False
        life = self.life
        if life is not None:
            life.end()
            await life.ended.wait()
        if self.life is None and not self._wanted:
            self.update(status="off", phase="off", error="", network="", active_config_id="", peers=())
            self.update(recent_ice_failure_at=None)

    async def reconcile(self) -> None:
        """Follow the catalog: switch, start or refresh. Requests while one runs collapse into one more (FE-5.21)."""
        if self._reconciling.locked():
            self._reconcile_again = True
            return
        async with self._reconciling:
            self._reconcile_again = True
            while self._reconcile_again:
                self._reconcile_again = False
                await self._reconcile_once()

    async def _reconcile_once(self) -> None:
        try:
            catalog = await self._catalog.load()
        except AppError as error:
            self.note("warn", f"reconcile loadConfig failed: {error}")
            return
        desired = catalog.active
        life = await self._settled_life(desired)
        bound = life.network if life is not None else None
        same_network = (desired is None) == (bound is None) and (
            desired is None or bound is None or (desired.id == bound.id and desired.wire_id == bound.wire_id)
        )
        if life is None or not life.online or not same_network:
            handle = None if desired is None else desired.handle
            self.update(handle=handle, status="connecting", phase="starting")  # "online" is about the old network
            await self.stop()
            await self._start_quietly()
        elif desired is not None and bound is not None and desired.to_daemon() != bound.to_daemon():
            life.network = desired
            self.show_active(catalog)
            await self._pass(life, catalog, check_drift=True)
        else:
            self.show_active(catalog)
            self.refresh_peers()

    async def _settled_life(self, desired: SavedNetwork | None) -> Life | None:
        """The present life; a start under way is awaited unless it is for another network (FE-5.21)."""
        life = self.life
        if life is not None and not life.finished.is_set():
            stale = life.catalog_read and (life.network is None or desired is None or life.network.id != desired.id)
            if not stale:
                await life.finished.wait()
        return self.life

    async def _start_quietly(self) -> None:
        try:
            await self.start()
        except AppError as error:
            self.note("warn", f"start failed: {error}")

    async def preview(self) -> None:
        """Show which network is active before any daemon is there. Raises HomeError."""
        self.show_active(await self._catalog.load())

    async def boot(self) -> None:
        """The start at launch: its failure is in the state and the log, and the next connection starts again."""
        await self._start_quietly()

    async def follow_catalog(self, period_s: float = 0.2) -> None:
        """Reconcile whenever the file changes, whoever changed it: that is how commands reach a running app."""
        while True:
            await trio.sleep(period_s)
            if await self._catalog.changed():
                await self.reconcile()

    # --- a life -----------------------------------------------------------------------------------------------------

    def _begin(self) -> Life:
        if self._nursery is None:
            raise not_connected()
        self._lives += 1
        life = Life(self._lives)
        self.life = life
        self.update(status="connecting", phase="starting", error="")
        self._nursery.start_soon(self._live, life)
        self._nursery.start_soon(self._explain_wait, life)
        return life

    async def _explain_wait(self, life: Life) -> None:
        """Say what a long start waits for, so that "joining" never stands there without a reason."""
        while not life.finished.is_set():
            with trio.move_on_after(EXPLAIN_AFTER_S):
                await life.finished.wait()
                return
            operation = None if life.bridge is None else life.bridge.waits_for
            if operation is not None and self.life is life:
                self.update(error=f"the mesh daemon has not answered `{operation}` yet")

    async def _live(self, life: Life) -> None:
        try:
            with life.scope:
                try:
                    await self._starter.run(life)
                except AppError as error:
                    self._start_failed(life, error)
                    return
                life.finished.set()
                await self._stay(life)
        finally:
            await self._starter.release(life)
            if not life.finished.is_set():
                life.error = life.error or MeshError("stopped", "the start was overtaken by a stop or a lost daemon")
                life.finished.set()
            self.life = None
            life.ended.set()
            life.wake_streams()
            if life.again and self._wanted and self._nursery is not None:
                if self.bridge is not None:
                    self._begin()
                else:
                    self.update(status="connecting", phase="starting")

    def _start_failed(self, life: Life, error: AppError) -> None:
        life.error = error
        gone = isinstance(error, MeshError) and error.kind in ("not_connected", "connection_lost", "connect_failed")
        if gone and self._refusal:
            self.update(status="error", phase="error", error=self._refusal)
        elif gone:  # not an error of the app: the supervisor says what it waits for (FE-5.5)
            self.update(status="connecting", phase="starting")
            life.again = self.bridge is not None
        else:
            self.update(status="error", phase="error", error=str(error))
            self.note("error", f"start failed: {error}")
            if self._nursery is not None:
                self._nursery.start_soon(self._start_again, life)

    async def _start_again(self, failed: Life) -> None:
        """A start that failed for another reason than the connection is repeated: nothing else would begin it."""
        await trio.sleep(START_AGAIN_S)
        if self._wanted and self.life is None and self._lives == failed.number and self.bridge is not None:
            self._begin()

    async def _stay(self, life: Life) -> None:
        """The tasks of a life that is up; ends by cancellation only."""
        try:
            async with trio.open_nursery() as nursery:
                life.nursery = nursery
                nursery.start_soon(self._keep_peers_fresh, life)
                nursery.start_soon(self._keep_converged, life)
        finally:
            life.nursery = None

    async def _keep_peers_fresh(self, life: Life) -> None:
        """One refresh at a time, none lost, no more than ten a second (FE-5.16).

        No event tells of an approval that another program gave through the same daemon, so while one is due we look.
        """
        while True:
            undecided = any(p.status in ("pending_approval", "pending_remote") for p in self.state.peers)
            with trio.move_on_after(DECISION_POLL_S if undecided else math.inf):
                await life.peers_dirty.wait()
            life.peers_dirty = trio.Event()
            resync, life.resync = life.resync, False
            if life.wire_id:
                try:
                    self.apply_peers(await life.command("peers_list", network=life.wire_id))
                    if resync:
                        phase = await self._starter.daemon_phase(life)
                        if phase is not None:
                            self.update(phase=phase[0], status=phase[1])
                except MeshError as error:
                    life.resync = life.resync or resync
                    self.note("warn", f"reconcile peers_list failed: {error.text}")
                    if "unknown network" in error.text:
                        life.recheck.set()
            await trio.sleep(PEERS_SPACING_S)

    async def _keep_converged(self, life: Life) -> None:
        """Look again whether the daemon still has what this app shows: every few seconds, at once when in doubt."""
        while True:
            settled = self.state.status == "online" or not life.wire_id
            with trio.move_on_after(CHECK_ONLINE_S if settled else CHECK_UNSETTLED_S):
                await life.recheck.wait()
            life.recheck = trio.Event()
            try:
                catalog = await self._catalog.load()
                await self._pass(life, catalog, check_drift=False)
            except AppError as error:
                self.note("warn", f"network check failed: {error}")

    async def _pass(self, life: Life, catalog: Catalog, *, check_drift: bool) -> None:
        """A convergence pass in a running life; what it changed makes a new life, because claims may be gone."""
        if life.bridge is None or life.connection is None:
            return
        try:
            result = await self._converger.run(life.bridge, life.connection.mode, catalog, check_drift=check_drift)
        except MeshError as error:
            self.note("warn", f"network sync failed: {error.text}")
            return
        await trio.lowlevel.checkpoint_if_cancelled()
        if result.error:
            handle = catalog.active.handle if catalog.active is not None else ""
            self.update(status="error", phase="error", error=f"cannot join '{handle}': {result.error}")
        elif result.changed or self.state.status == "error":
            life.end(again=True)
        elif self.state.phase in ("starting", "off") and life.wire_id:
            phase = await self._starter.daemon_phase(life) or ("signaling-up", "online")
            self.update(phase=phase[0], status=phase[1])

    # --- state ------------------------------------------------------------------------------------------------------

    def update(self, **changes: Any) -> None:
        """Publish a new snapshot, if anything is different."""
        changed = attrs.evolve(self.state, **changes)
        if changed != self.state:
            self.watch.set(attrs.evolve(changed, rev=changed.rev + 1))

    def note(self, level: Level, message: str, ts: int | None = None) -> None:
        """Add a line to the activity log."""
        if self._quiet and level in ("debug", "info"):
            return
        diag = Diag(self._now_ms() if ts is None else ts, level, message)
        self.diag.append(diag)
        for listener in self.on_diag:
            listener(diag)

    @property
    def quiet(self) -> bool:
        """Info lines are hidden (`cloud_mesh.diag_quiet`)."""
        return self._quiet

    def refresh_peers(self, *, resync: bool = False) -> None:
        """Read the peer list soon; with `resync` also the phase."""
        if self.life is not None:
            self.life.resync = self.life.resync or resync
            self.life.peers_dirty.set()

    def apply_peers(self, answer: Any) -> None:
        """Take an answer of `peers_list` into the state; what only the app knows about a peer is carried over."""
        previous = {p.device_pubkey: p for p in self.state.peers}
        peers = peer_entries(answer, previous)
        changes: dict[str, Any] = {"peers": peers}
        if any(p.status == "active" for p in peers):
            changes["recent_ice_failure_at"] = None
        elif any(p.needs_turn for p in peers) and self.state.status == "online":
            life = self.life
            has_turn = life is not None and life.network is not None and bool(life.network.turn_servers)
            changes["phase"] = "ice-failed-turn-unreachable" if has_turn else "ice-failed-no-turn"
            changes["recent_ice_failure_at"] = self._now_ms()
        self.update(**changes)

    def show_active(self, catalog: Catalog) -> None:
        """Show which saved network is active, and its settings."""
        active = catalog.active
        self._quiet = catalog.diag_quiet
        life = self.life
        self.update(
            handle=None if active is None else active.handle,
            active_config_id="" if active is None else active.id,
            network="" if life is None else life.wire_id,
            accepting="available" if active is None else active.accepting,
            auto_gossip=True if active is None else active.auto_gossip,
        )
