"""All networks of this device: joining, leaving and changing them, in memory and on disk.

One lock orders everything that changes which networks there are, so that two clients cannot join one network twice
or lose each other's records (spec 05 W21).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, cast

import attrs
import trio
from msgspec.structs import replace

from myownmesh.engine import Engine, EngineConfig
from myownmesh.engine.timing import LEAVE_FLUSH_S
from myownmesh.mesh import clock
from myownmesh.mesh.adverts import merge
from myownmesh.mesh.driver import Driver
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.network import Network
from myownmesh.mesh.records import wire_id, with_changed, with_pin, with_record, without
from myownmesh.mesh.update import kept_from
from myownmesh.protocol.ids import BadDeviceId, BadNetworkId, normalize_network_id, parse_device_id
from myownmesh.store import StoreError
from myownmesh.transport.session import IceServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from myownmesh.engine.events import MeshEvent
    from myownmesh.identity import Identity
    from myownmesh.mesh.ports import ServiceHost, SignalingFactory
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.frames import NetworkKind
    from myownmesh.protocol.ids import Rng
    from myownmesh.store import Store
    from myownmesh.store.config import MeshConfig
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.store.services_config import ServicesConfig
    from myownmesh.topology.modes import TopologyMode
    from myownmesh.transport.session import SessionFactory

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 1.0
"""Between the crash of a network's driver (a bug) and its next start: visible in the log, harmless to the CPU."""

STOP_BUDGET_S = 1.2
"""For closing all sessions at shutdown; with the leave flush it stays below a supervisor's 2 s (07 C11)."""


class Mesh:
    """One identity in many networks. `run` must be running for anything to happen."""

    def __init__(
        self,
        *,
        store: Store,
        identity: Identity,
        config: MeshConfig,
        sessions: Callable[[], Awaitable[SessionFactory]],
        signaling: SignalingFactory,
        services: ServiceHost,
        rng: Rng,
    ) -> None:
        self.identity = identity
        self.config = config
        self.on_network_added: list[Callable[[Network], None]] = []
        self.on_network_removed: list[Callable[[Network], None]] = []
        self._store = store
        self._sessions = sessions
        self._signaling = signaling
        self._services = services
        self._rng = rng
        self._networks: list[Network] = []
        self._app_adverts: dict[str, Capabilities] = {}
        self._listeners: tuple[Callable[[MeshEvent], None], ...] = ()
        self._lifecycle = trio.Lock()
        self._labelling = trio.Lock()
        self._nursery: trio.Nursery | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Join the configured networks, report started, and serve them until cancelled; then leave them all.

        A network that cannot be joined is logged and skipped.
        """
        async with trio.open_nursery() as outer:
            # Drivers outlive our own cancellation by the time that the farewell takes: it leaves through them.
            nursery = self._nursery = await outer.start(_shielded_nursery)
            try:
                if self.config.services.node.enabled:
                    self._join_each(self.config.networks)
                task_status.started()
                await self._services.apply(self.config.services)
                self._refresh_adverts()
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_FLUSH_S + STOP_BUDGET_S):
                    await self._leave_all()
                nursery.cancel_scope.cancel()

    # ── views ────────────────────────────────────────────────────────────────────────────────────────────────

    def networks(self) -> list[Network]:
        """The joined networks in join order."""
        return [*self._networks]

    def find(self, alias: str) -> Network:
        """The network with this record id or wire id (spec 05 §5). Raises `MeshError`."""
        for network in self._networks:
            if alias == network.config_id:
                return network
        for network in self._networks:
            if alias == network.network_id:
                return network
        raise MeshError(f"unknown network: {alias}")

    def subscribe(self, callback: Callable[[MeshEvent], None]) -> Callable[[], None]:
        """Call back synchronously with every event of every network; returns what ends that."""
        self._listeners = (*self._listeners, callback)

        def unsubscribe() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not callback)

        return unsubscribe

    # ── identity ─────────────────────────────────────────────────────────────────────────────────────────────

    async def set_label(self, label: str) -> Identity:
        """Change this device's label: the file first, then memory; peers see it at their next handshake.

        Returns the identity with it. Raises `MeshError`; nothing has changed then.
        """
        async with self._labelling:
            try:
                # In a thread: another process may hold the file's lock for a while, and the mesh must not wait.
                await trio.to_thread.run_sync(self._store.save_label, label)
            except StoreError as error:
                raise MeshError(str(error)) from error
            identity = self.identity = attrs.evolve(self.identity, label=label)
            for network in self._networks:
                network.driver.engine.set_label(label)
            return identity

    # ── networks ─────────────────────────────────────────────────────────────────────────────────────────────

    async def add_network(self, record: NetworkConfig) -> Network:
        """Join a network and keep its record. Raises `MeshError` with the texts of spec 05 §8.1."""
        async with self._lifecycle:
            self._check_names(record)
            network = self._join(record)
            self._refresh_adverts()
            await self._save("network joined but config.json save failed", lambda config: with_record(config, record))
            return network

    async def remove_network(self, alias: str, *, purge: bool) -> str:
        """Leave a network and forget its record; with `purge` its roster and state too. Returns the record id.

        A record that is configured but not joined is only forgotten. Raises `MeshError` (spec 05 §8.2).
        """
        async with self._lifecycle:
            try:
                network = self.find(alias)
            except MeshError:
                return await self._forget_unjoined(alias, purge=purge)
            await self._leave(network)
            self._app_adverts.pop(network.config_id, None)
            record = network.config
            await self._save("network left but config.json save failed", lambda config: without(config, record))
            if purge:
                await trio.to_thread.run_sync(self._store.purge_network, network.network_id)
            return network.config_id

    async def update_network(self, record: NetworkConfig, given: frozenset[str]) -> tuple[Network, bool]:
        """Change a network; True when it had to be joined anew. Raises `MeshError` (spec 05 §8.3).

        `given` names the members that the request really contained, those of `signaling` as `signaling.<name>`.
        """
        async with self._lifecycle:
            network = self._find_for_update(record)
            self._check_names(record, but=network)
            old, request = network.config, record
            record = kept_from(old, request, given)
            restart = record.network_id not in (old.network_id, network.network_id) or record.signaling != old.signaling
            if restart:
                network = await self._rejoin(network, record)
            else:
                network.config = record
                network.driver.command(
                    lambda: network.driver.engine.configure(self._engine_config(record), clock.now())
                )
            await self._save(
                "network updated but config.json save failed"
                if restart
                else "config applied but config.json save failed",
                lambda config: with_changed(config, old, lambda stored: kept_from(stored, request, given)),
            )
            return network, restart

    async def pin(self, network: Network, peer: str) -> None:
        """Keep a pin over restarts (spec 05 W23)."""
        try:
            bare = parse_device_id(peer)
        except BadDeviceId as error:
            raise MeshError(f"network: {error}") from error
        if bare not in network.config.pinned_peers:
            await self._change_record(network, partial(with_pin, device_id=bare))

    async def set_topology(self, network: Network, mode: TopologyMode) -> None:
        """Change a network's shape, now and after a restart. Raises `MeshError`."""
        network.set_topology(mode)
        await self._change_record(network, lambda record: replace(record, topology=mode))

    def set_capabilities(self, network: Network, advert: Capabilities) -> None:
        """Replace what the app advertises in a network; the daemon's own tags stay. Raises `MeshError`."""
        merged = merge(self._services.advert(), advert)
        self._app_adverts[network.config_id] = advert
        network.set_capabilities(merged)

    async def config_on_disk(self) -> MeshConfig:
        """The configuration file as it is now. Raises `MeshError`."""
        try:
            return await trio.to_thread.run_sync(self._store.load_config)
        except StoreError as error:
            raise MeshError(str(error)) from error

    # ── services ─────────────────────────────────────────────────────────────────────────────────────────────

    def services_report(self) -> dict[str, object]:
        """The ServicesReport of spec 06 §3."""
        return self._services.report(joined=len(self._networks))

    async def services_set(self, services: ServicesConfig) -> dict[str, object]:
        """Save and apply what this device hosts. Raises `MeshError` when it cannot be saved; then nothing changed."""
        async with self._lifecycle:
            await self._save("services config save failed", lambda config: replace(config, services=services))
            self.config = replace(self.config, services=services)
            if not services.node.enabled:
                await self._leave_all()
            else:
                await self._join_missing()
            await self._services.apply(services)
            self._refresh_adverts()
            return self.services_report()

    # ── joining ──────────────────────────────────────────────────────────────────────────────────────────────

    def _join_each(self, records: Iterable[NetworkConfig]) -> None:
        for record in records:
            try:
                self._check_names(record)
            except MeshError as error:
                log.warning("network %s: skipped: %s", record.id, error)
                continue
            try:
                self._join(record)
            except MeshError as error:
                log.error("network %s: %s", record.id, error)

    async def _join_missing(self) -> None:
        config = await self.config_on_disk()
        self.config = replace(self.config, networks=config.networks)
        joined = {network.config_id for network in self._networks}
        self._join_each(record for record in config.networks if record.id not in joined)

    def _join(self, record: NetworkConfig) -> Network:
        """Register a network and start its driver. Raises `MeshError` (`join: …`); then nothing has changed."""
        if self._nursery is None:
            raise RuntimeError("the mesh is not running")
        try:
            network_id = normalize_network_id(record.network_id)
        except BadNetworkId as error:
            raise MeshError(f"join: identity: {error}") from error
        try:
            roster = self._store.load_roster(network_id)
        except StoreError as error:
            raise MeshError(f"join: {error}") from error
        engine = Engine(
            identity=self.identity,
            network_id=network_id,
            config=self._engine_config(record),
            roster=roster,
            rng=self._rng,
        )
        network: Network
        driver = Driver(
            engine,
            signaling=self._signaling(record, network_id),
            ice_servers=lambda: ice_servers(network.config),
            save_roster=partial(self._store.save_roster, network_id),
            on_event=self._emit,
            rng=self._rng,
        )
        network = Network(record, network_id, driver)
        self._networks.append(network)
        self._nursery.start_soon(self._run_network, network)
        for added in self.on_network_added:
            added(network)
        log.info("joined network %s as %s", network_id, record.id)
        return network

    async def _run_network(self, network: Network) -> None:
        """Run a driver. One that crashes takes only its own network down, and that one comes back."""
        try:
            await network.driver.run(self._sessions)
        except Exception:
            log.exception("network %s: its driver crashed; joining anew in %g s", network.network_id, RESTART_PAUSE_S)
        else:
            return
        await trio.sleep(RESTART_PAUSE_S)
        async with self._lifecycle:
            if network in self._networks:
                self._unregister(network)
                try:
                    self._join(network.config)
                except MeshError as error:
                    log.error("network %s: %s", network.config_id, error)
                self._refresh_adverts()

    async def _leave(self, network: Network) -> None:
        await network.driver.leave()
        if network in self._networks:  # or its driver crashed meanwhile
            self._unregister(network)
        log.info("left network %s", network.network_id)

    async def _leave_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for network in self._networks:
                nursery.start_soon(self._leave, network)

    def _unregister(self, network: Network) -> None:
        self._networks.remove(network)
        for removed in self.on_network_removed:
            removed(network)

    async def _rejoin(self, network: Network, record: NetworkConfig) -> Network:
        old = network.config
        await self._leave(network)
        try:
            joined = self._join(record)
        except MeshError as error:
            reason = str(error).removeprefix("join: ")
            try:
                self._join(old)
            except MeshError as second:
                log.error("network %s: %s", old.id, second)
                raise MeshError(
                    f"rejoin with new config: {reason} — AND rollback failed; re-add it from the Networks tab"
                ) from error
            raise MeshError(f"rejoin with new config: {reason} — restored the previous config") from error
        finally:
            self._refresh_adverts()
        return joined

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────────────────

    def _emit(self, event: MeshEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def _knows(self, alias: str) -> bool:
        return any(alias in (network.config_id, network.network_id) for network in self._networks)

    def _check_names(self, record: NetworkConfig, but: Network | None = None) -> None:
        """Raise `MeshError` when another network has one of this record's names, in whatever spelling (07 C5)."""
        others = [network for network in self._networks if network is not but]
        aliases = {alias for network in others for alias in (network.config_id, network.network_id)}
        if record.id in aliases:
            raise MeshError(f"config id '{record.id}' already in use")
        joined = {network.network_id for network in others}
        if record.network_id in aliases or wire_id(record.network_id) in joined:
            raise MeshError(f"network id '{record.network_id}' already joined under a different config")

    def _find_for_update(self, record: NetworkConfig) -> Network:
        for alias in (record.id, record.network_id):
            if self._knows(alias):
                return self.find(alias)
        raise MeshError(f"unknown network '{record.id}' — join it with network_add first")

    def _engine_config(self, record: NetworkConfig) -> EngineConfig:
        switches = {**self.config.compat, **record.compat}
        return EngineConfig(
            kind=cast("NetworkKind", record.kind),  # the store admits no other word
            auto_approve=record.auto_approve,
            topology=record.topology,
            pinned_peers=frozenset(record.pinned_peers),
            stun_urls=sum(len(server.urls) for server in record.stun_servers),
            turn_urls=sum(len(server.urls) for server in record.turn_servers),
            immediate_leave=switches.get("immediate_leave", False),
        )

    def _refresh_adverts(self) -> None:
        service = self._services.advert()
        for network in self._networks:
            try:
                advert = merge(service, self._app_adverts.get(network.config_id))
                if advert != network.driver.engine.capabilities:  # every change is told to every peer
                    network.set_capabilities(advert)
            except MeshError as error:
                log.warning("network %s: advert not refreshed: %s", network.network_id, error)

    async def _change_record(self, network: Network, change: Callable[[NetworkConfig], NetworkConfig]) -> None:
        async with self._lifecycle:
            if network not in self._networks:
                # Left while we waited for the lock: its record must not come back.
                raise MeshError("network: network shut down")
            running = network.config
            await self._save("config.json save failed", lambda config: with_changed(config, running, change))
            network.config = change(running)  # last, so that a client which tries again tries to save again

    async def _forget_unjoined(self, alias: str, *, purge: bool) -> str:
        config = await self.config_on_disk()
        record = next((each for each in config.networks if alias in (each.id, each.network_id)), None)
        if record is None:
            raise MeshError(f"unknown network: {alias}")
        await self._save("network removed but config.json save failed", lambda config: without(config, record))
        network_id = wire_id(record.network_id)
        if purge and network_id is not None:
            await trio.to_thread.run_sync(self._store.purge_network, network_id)
        return record.id

    async def _save(self, context: str, change: Callable[[MeshConfig], MeshConfig]) -> None:
        try:
            await trio.to_thread.run_sync(self._store.change_config, change)
        except StoreError as error:
            raise MeshError(f"{context}: {error}") from error


async def _shielded_nursery(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """A nursery that ends only when its own scope is cancelled."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()


def ice_servers(record: NetworkConfig) -> tuple[IceServer, ...]:
    """The STUN and TURN servers of a network; entries without URLs are skipped (spec 04 §10.10)."""
    return tuple(
        IceServer(urls=entry.urls, username=entry.username, credential=entry.credential)
        for entry in (*record.stun_servers, *record.turn_servers)
        if entry.urls
    )
