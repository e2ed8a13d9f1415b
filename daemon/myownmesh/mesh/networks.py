"""The networks that this device is in right now: under which names, and how one is joined, kept running and left.

What the configuration file says is not decided here. Whoever changes which networks there are holds `lock`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.records import wire_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from myownmesh.mesh.network import Network
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.transport.session import SessionFactory

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 1.0
"""Between the crash of a network's driver (a bug) and its next start: visible in the log, harmless to the CPU."""

STARTS_ANEW = "this daemon is starting anew; try again in a moment"


class JoinFailed(MeshError):
    """A network cannot be joined; nothing has changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"join: {reason}")
        self.reason = reason


class Networks:
    """The joined networks in join order."""

    def __init__(
        self,
        *,
        build: Callable[[NetworkConfig], Awaitable[Network]],
        sessions: Callable[[], Awaitable[SessionFactory]],
        on_rejoined: Callable[[], None],
    ) -> None:
        """`build` makes a network that does not run yet and raises `JoinFailed`.

        `on_rejoined` is called when a network whose driver crashed was joined anew, or could not be.
        """
        self.lock = trio.Lock()
        """Orders all that changes which networks there are: two clients cannot join one network twice or lose each
        other's records (spec 05 W21)."""
        self.on_added: list[Callable[[Network], None]] = []
        self.on_removed: list[Callable[[Network], None]] = []
        self._build = build
        self._sessions = sessions
        self._on_rejoined = on_rejoined
        self._joined: list[Network] = []
        self._nursery: trio.Nursery | None = None
        self.is_closed = False
        """Nothing is joined any more."""

    def close(self) -> None:
        """Join nothing any more: this daemon is about to start anew. Raises `MeshError` when that is known already."""
        if self.is_closed:
            raise MeshError(STARTS_ANEW)
        self.is_closed = True

    async def run_drivers(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Keep the drivers of the joined networks running. Only the scope that is reported as started ends this.

        Drivers outlive whoever joined them by the time that the farewell takes: it leaves through them.
        """
        with trio.CancelScope(shield=True) as scope:
            async with trio.open_nursery() as self._nursery:
                task_status.started(scope)
                await trio.sleep_forever()

    # ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[Network]:
        return iter(tuple(self._joined))

    def __len__(self) -> int:
        return len(self._joined)

    def get(self, alias: str) -> Network | None:
        """The network with this record id, else the one with this wire id (spec 05 §5)."""
        for network in self._joined:
            if network.config.id == alias:
                return network
        return next((network for network in self._joined if network.network_id == alias), None)

    def check_names(self, record: NetworkConfig, but: Network | None = None) -> None:
        """Raise `MeshError` when another network has one of this record's names, in whatever spelling (07 C5)."""
        others = [network for network in self._joined if network is not but]
        taken = {name for network in others for name in network.names}
        if record.id in taken:
            raise MeshError(f"config id '{record.id}' already in use")
        if record.network_id in taken or wire_id(record.network_id) in {network.network_id for network in others}:
            raise MeshError(f"network id '{record.network_id}' already joined under a different config")

    # ── joining ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def join(self, record: NetworkConfig) -> Network:
        """Read a network's files, register it and start its driver. Raises `JoinFailed`; then nothing has changed."""
        if self._nursery is None:
            raise RuntimeError("the mesh is not running")
        if self.is_closed:
            raise JoinFailed(STARTS_ANEW)
        network = await self._build(record)
        await trio.lowlevel.checkpoint_if_cancelled()  # a thread that reads is not stopped
        self._joined.append(network)
        self._nursery.start_soon(self._run, network)
        for added in self.on_added:
            added(network)
        log.info("joined network %s as %s", network.network_id, record.id)
        return network

    async def join_each(self, records: Iterable[NetworkConfig]) -> None:
        """Join what can be joined; the rest is logged."""
        for record in records:  # one after the other: their order is that of the records
            try:
                self.check_names(record)
            except MeshError as error:
                log.warning("network %s: skipped: %s", record.id, error)
                continue
            await self._try_join(record)

    async def rejoin(self, network: Network, record: NetworkConfig) -> Network:
        """Leave a network and join it as `record` says; as it was when that fails. Raises `MeshError` then."""
        old = network.config
        await self.leave(network)
        with trio.CancelScope(shield=True):  # what was left comes back, whoever asked for it
            joined = await self._join_or_go_back(record, old)
        return joined  # noqa: RET504 - mypy sees a scope as one that may swallow

    async def _join_or_go_back(self, record: NetworkConfig, old: NetworkConfig) -> Network:
        try:
            return await self.join(record)
        except JoinFailed as error:
            if await self._try_join(old):
                raise MeshError(f"rejoin with new config: {error.reason} — restored the previous config") from error
            raise MeshError(
                f"rejoin with new config: {error.reason} — AND rollback failed; re-add it from the Networks tab"
            ) from error

    async def _try_join(self, record: NetworkConfig) -> bool:
        try:
            await self.join(record)
        except JoinFailed as error:
            log.error("network %s: %s", record.id, error)
            return False
        return True

    async def _run(self, network: Network) -> None:
        """Run a driver. One that crashes takes only its own network down, and that one comes back."""
        try:
            await network.driver.run(self._sessions)
        except Exception:
            log.exception("network %s: its driver crashed; joining anew in %g s", network.network_id, RESTART_PAUSE_S)
        else:
            return
        await trio.sleep(RESTART_PAUSE_S)
        async with self.lock:
            if network in self._joined:
                self._unregister(network)
                await self._try_join(network.config)
                self._on_rejoined()

    # ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def leave(self, network: Network) -> None:
        """Say goodbye in the network and end its driver."""
        await network.driver.leave()
        if network in self._joined:  # or its driver crashed meanwhile
            self._unregister(network)
        log.info("left network %s", network.network_id)

    async def leave_all(self) -> None:
        """Leave every network, all at once."""
        async with trio.open_nursery() as nursery:
            for network in self:
                nursery.start_soon(self.leave, network)

    def _unregister(self, network: Network) -> None:
        self._joined.remove(network)
        for removed in self.on_removed:
            removed(network)
