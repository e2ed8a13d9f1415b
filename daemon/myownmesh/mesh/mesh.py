"""All networks of this device as local clients change them: in memory and on disk, with the label and the adverts."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from mesh_common.views import PeerStatus
from myownmesh.engine.moves import Move
from myownmesh.engine.timing import HEARTBEAT_INTERVAL_S, LEAVE_FLUSH_S
from myownmesh.mesh import clock
from myownmesh.mesh.addresses import check_addresses, check_public_url
from myownmesh.mesh.adverts import merge, own_relay
from myownmesh.mesh.danger import Danger
from myownmesh.mesh.delays import Delays
from myownmesh.mesh.errors import MeshError, NetworkLeft
from myownmesh.mesh.founding import check_founder, judges_anew
from myownmesh.mesh.networks import Networks
from myownmesh.mesh.records import named, wire_id, with_changed, with_pin, with_record, without
from myownmesh.mesh.update import kept_from
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.sealing.budgets import Allowance
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mesh_common.events import MeshEvent
    from mesh_common.views import ServicesReport
    from myownmesh.governance.checkup import Surroundings
    from myownmesh.governance.history import Arrival
    from myownmesh.identity import Identity
    from myownmesh.invitations.book import Accepted
    from myownmesh.mesh.custody import Custody
    from myownmesh.mesh.network import Network
    from myownmesh.mesh.ports import ServiceHost, SignalingFactory
    from myownmesh.netwatch.pace import Change
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.ids import Rng
    from myownmesh.signaling.clockoffset import Skew
    from myownmesh.signaling.timepiece import Timepiece
    from myownmesh.store import Store
    from myownmesh.store.config import AutoUpdate, MeshConfig
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.store.services_config import ServicesConfig
    from myownmesh.topology.modes import TopologyMode
    from myownmesh.transport.session import SessionFactory

log = logging.getLogger(__name__)

OWN_RELAY_S = 3.0
"""For the relay that this device hosts to listen before networks are joined; it takes a fifth of a second."""
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
        timepiece: Timepiece,
        app_id: str,
    ) -> None:
        """`timepiece` and `app_id` are those that the ways into the rooms reckon with."""
        self.identity = identity
        self.config = config
        self._networks = Networks(build=self._build, sessions=sessions, on_rejoined=self._refresh_adverts)
        self.on_network_added = self._networks.on_added
        self.on_network_removed = self._networks.on_removed
        self._store = store
        self.danger = Danger(store, self._networks, lambda: identity.device_id)
        self._signaling = signaling
        self._services = services
        self._rng = rng
        self._timepiece = timepiece
        self._app_id = app_id
        self._allowance = Allowance()
        self._app_adverts: dict[str, Capabilities] = {}
        self._listeners: tuple[Callable[[MeshEvent], None], ...] = ()
        self._labelling = trio.Lock()
        self.delays = Delays()
        """Of the heartbeat: measured by timers that are there anyway."""
        self._outage: Change | None = None
        """This machine has no network."""

    @cached_property
    def custody(self) -> Custody:
        """The locks on what this device signs."""
        from myownmesh.mesh.custody import Custody  # with the first network

        return Custody(self._store, lambda: (each.config for each in self._networks), lambda: self.identity.label)

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Join the configured networks, report started, and serve them until cancelled; then leave them all.

        A network that cannot be joined is logged and skipped.
        """
        async with trio.open_nursery() as nursery:
            drivers: trio.CancelScope = await nursery.start(self._networks.run_drivers)
            try:
                hosts = trio.Event()
                nursery.start_soon(self._host, hosts)
                if self.config.services.signaling.enabled:
                    # Networks that are met at our own relay would be refused there, and try again in two seconds.
                    with trio.move_on_after(OWN_RELAY_S):
                        await hosts.wait()
                if self.config.services.node.enabled:
                    async with self._networks.lock:
                        await self._networks.join_each(self.config.networks)
                    self._refresh_adverts()
                task_status.started()
                while True:
                    due = trio.current_time() + HEARTBEAT_INTERVAL_S
                    await trio.sleep_until(due)
                    self.delays.add(trio.current_time() - due)
                    self._hear_the_time()
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_FLUSH_S + STOP_BUDGET_S):
                    await self._networks.leave_all()
                drivers.cancel()

    async def _host(self, hosts: trio.Event) -> None:
        """What this device is configured to host; `hosts` is set when everything has been tried once."""
        self._services.on_change(self._refresh_adverts)
        await self._services.apply(self.config.services)
        self._refresh_adverts()
        hosts.set()

    # ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def networks(self) -> list[Network]:
        """The joined networks in join order."""
        return [*self._networks]

    def get(self, alias: str) -> Network | None:
        """The network with this record id or wire id (spec 05 §5), if it is joined."""
        return self._networks.get(alias)

    def find(self, alias: str) -> Network:
        """`get`; raises `MeshError` when it is not joined."""
        if (network := self.get(alias)) is None:
            raise MeshError(f"unknown network: {alias}")
        return network

    def subscribe(self, callback: Callable[[MeshEvent], None]) -> Callable[[], None]:
        """Call back synchronously with every event of every network; returns what ends that."""
        self._listen((*self._listeners, callback))

        def unsubscribe() -> None:
            self._listen(tuple(each for each in self._listeners if each is not callback))

        return unsubscribe

    async def keep_recording(self, network: Network, data: bytes) -> Path:
        """Write a recording into the home. Raises `MeshError`."""
        try:
            return await trio.to_thread.run_sync(
                self._store.save_recording, network.network_id, clock.now().wall_ms, data
            )
        except StoreError as error:
            raise MeshError(str(error)) from error

    async def arrivals(self, network: Network) -> dict[bytes, Arrival]:
        """How what is signed in a network first came to this device, by the entries' keys."""
        return await trio.to_thread.run_sync(self._store.read_audit, network.network_id)

    def around(self, network: Network) -> Surroundings:
        """What a look at a network's governance has to know beside what is signed."""
        from myownmesh.governance.checkup import Surroundings  # most daemons are never asked

        skew = self.clock_skew()
        ahead_s = 0.0 if skew is None else skew.ahead_ms / 1000
        return Surroundings(network.rostered(), network.linked_v038, ahead_s, network.left_behind)

    def clock_skew(self) -> Skew | None:
        """How wrong this device's clock is by what relays, peers and rooms say; None when nobody has told the time."""
        self._hear_the_time()
        return self._timepiece.skew()

    def _clock_ahead_s(self) -> float:
        skew = self.clock_skew()
        return 0.0 if skew is None else skew.ahead_ms / 1000

    # ── surroundings ──────────────────────────────────────────────────────────────────────────────────────────────────

    def network_changed(self, change: Change) -> None:
        """This machine's network is another one than before, or there is none (spec 04 §7.7)."""
        self._outage = change if change.move is Move.OFFLINE else None
        for network in self._networks:
            network.network_moved(change.move, change.told())

    def woken(self, seconds: float) -> None:
        """This machine slept for so long, or this process stood still."""
        for network in self._networks:
            network.woken(seconds)

    # ── identity ──────────────────────────────────────────────────────────────────────────────────────────────────────

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
            identity = self.identity = self.identity.with_label(label)
            for network in self._networks:
                network.set_label(label)
            return identity

    # ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add_network(self, record: NetworkConfig, code: str | None = None) -> Network:
        """Join a network and keep its record. Raises `MeshError` with the texts of spec 05 §8.1.

        `code`: an authenticator's, wanted where a lock is on and the record weakens the network's governance.
        """
        check_addresses(record)
        check_founder(record)
        async with self._networks.lock:
            self._networks.check_names(record)
            await self.custody.gate_record(None, record, self.config.compat, code)
            network = await self._networks.join(record)
            self._refresh_adverts()
            await self._save("network joined but config.json save failed", lambda config: with_record(config, record))
            return network

    async def remove_network(self, alias: str, *, purge: bool) -> str:
        """Leave a network and forget its record; with `purge` its roster and state too. Returns the record id.

        A record that is configured but not joined is only forgotten. Raises `MeshError` (spec 05 §8.2).
        """
        async with self._networks.lock:
            if (network := self.get(alias)) is None:
                return await self._forget_unjoined(alias, purge=purge)
            await self._networks.leave(network)
            self._app_adverts.pop(network.config_id, None)
            record = network.config
            await self._save("network left but config.json save failed", lambda config: without(config, record))
            if purge:
                await trio.to_thread.run_sync(self._store.purge_network, network.network_id)
            return network.config_id

    async def update_network(
        self, record: NetworkConfig, given: frozenset[str], code: str | None = None
    ) -> tuple[Network, bool]:
        """Change a network; True when it had to be joined anew. Raises `MeshError` (spec 05 §8.3).

        `given` names the members that the request really contained, those of `signaling` as `signaling.<name>`; `code`
        is what `add_network` wants.
        """
        async with self._networks.lock:
            network = self.get(record.id) or self.get(record.network_id)
            if network is None:
                raise MeshError(f"unknown network '{record.id}' — join it with network_add first")
            self._networks.check_names(record, but=network)
            old, request = network.config, record
            check_addresses(request, old)
            record = kept_from(old, request, given)
            check_founder(record)
            await self.custody.gate_record(old, record, self.config.compat, code)
            restart = record.network_id not in (old.network_id, network.network_id) or record.signaling != old.signaling
            # What is signed was judged by these; it is judged anew.
            restart = restart or judges_anew(old, record)
            if restart:
                try:
                    network = await self._networks.rejoin(network, record)
                finally:
                    self._refresh_adverts()
            else:
                self._configure(network, record)
            await self._save(
                "network updated but config.json save failed"
                if restart
                else "config applied but config.json save failed",
                lambda config: with_changed(config, old, lambda stored: kept_from(stored, request, given)),
            )
            return network, restart

    async def keep_accepted(self, network_id: str, taken: Accepted) -> None:
        """Keep an invitation that was taken, to a network that is joined or soon will be. Raises `MeshError`."""
        if (network := self.get(network_id)) is not None:
            await network.inviting.accept(taken)
            self._configure(network, network.config)
            return
        try:
            await trio.to_thread.run_sync(self._store.add_accepted, network_id, taken, clock.now().wall_ms // 1000)
        except StoreError as error:
            raise MeshError(str(error)) from error

    async def approve_ahead(self, network_id: str, device_id: str, label: str) -> None:
        """Approve a device in a network that will soon be joined, in its roster on the disk. Raises `MeshError`."""
        now = clock.now().wall_ms // 1000
        try:
            await trio.to_thread.run_sync(self._store.approve_ahead, network_id, device_id, label, now)
        except StoreError as error:
            raise MeshError(str(error)) from error

    async def pin_ahead(self, network_id: str, founder: str) -> bool:
        """Believe a founder of a network that will soon be joined; False where another one is pinned.

        Raises `MeshError`.
        """
        try:
            return await trio.to_thread.run_sync(self._store.pin_ahead, network_id, founder)
        except StoreError as error:
            raise MeshError(str(error)) from error

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

    async def change_updates(self, change: Callable[[AutoUpdate], AutoUpdate]) -> AutoUpdate:
        """Save what a person wants of the updater. Raises `MeshError` when it cannot be saved."""
        await self._save(
            "update prefs save failed", lambda config: replace(config, auto_update=change(config.auto_update))
        )
        return (await self.config_on_disk()).auto_update

    # ── services ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def services_report(self) -> ServicesReport:
        """What is hosted here and what of it runs (spec 06 §3)."""
        return self._services.report(joined=len(self._networks))

    async def services_set(self, services: ServicesConfig) -> ServicesReport:
        """Save and apply what this device hosts. Raises `MeshError` when it cannot be saved; then nothing changed."""
        check_public_url(services, self.config.services)
        async with self._networks.lock:
            await self._save("services config save failed", lambda config: replace(config, services=services))
            self.config = replace(self.config, services=services)
            if not services.node.enabled:
                await self._networks.leave_all()
            else:
                await self._join_missing()
            await self._services.apply(services)
            self._refresh_adverts()
            return self.services_report()

    def _hear_the_time(self) -> None:
        """What the pings of admitted peers tell of it; they come once in a heartbeat."""
        for network in self._networks:
            for peer in network.peers():
                if peer.clock_skew_ms is not None and peer.status in (PeerStatus.ACTIVE, PeerStatus.SHELVED):
                    self._timepiece.peer_is_ahead(peer.device_id, peer.clock_skew_ms)

    # ── joining ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _join_missing(self) -> None:
        config = await self.config_on_disk()
        self.config = replace(self.config, networks=config.networks)
        joined = {network.config_id for network in self._networks}
        await self._networks.join_each(record for record in config.networks if record.id not in joined)

    async def _build(self, record: NetworkConfig) -> Network:
        """A network that does not run yet. Raises `JoinFailed`."""
        from myownmesh.mesh.building import build_network

        network = await build_network(
            record,
            self.config.compat,
            identity=self.identity,
            store=self._store,
            signaling=self._signaling,
            app_id=self._app_id,
            on_event=self._emit,
            gate=self.custody.gate,
            is_locked=self.custody.is_on,
            clock_ahead_s=self._clock_ahead_s,
            rng=self._rng,
            allowance=self._allowance,
        )
        network.be_watched(watched=bool(self._listeners))
        if self._outage is not None:
            network.network_moved(self._outage.move, self._outage.told())
        return network

    def _listen(self, listeners: tuple[Callable[[MeshEvent], None], ...]) -> None:
        had_any, self._listeners = bool(self._listeners), listeners
        if had_any is not bool(listeners):
            for network in self._networks:
                network.be_watched(watched=bool(listeners))

    # ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _emit(self, event: MeshEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def _configure(self, network: Network, record: NetworkConfig) -> None:
        from myownmesh.mesh.building import engine_config  # there with the network

        network.configure(record, engine_config(record, self.config.compat, network.inviting))

    def _refresh_adverts(self) -> None:
        service = self._services.advert()
        hosted = None if service.extra is None else self.services_report().signaling
        own = None if hosted is None else own_relay(service, hosted.listen)
        for network in self._networks:
            is_met_there = own is None or own.is_among(network.config.signaling.servers)
            network.adopting.host(None if own is None or is_met_there else own.here)
            try:
                advert = merge(service, self._app_adverts.get(network.config_id))
                if advert != network.capabilities:  # every change is told to every peer
                    network.set_capabilities(advert)
            except MeshError as error:
                log.warning("network %s: advert not refreshed: %s", network.network_id, error)

    async def _change_record(self, network: Network, change: Callable[[NetworkConfig], NetworkConfig]) -> None:
        async with self._networks.lock:
            if network not in self._networks:
                # Left while we waited for the lock: its record must not come back.
                from myownmesh.engine.waiting import SHUT_DOWN

                raise NetworkLeft(SHUT_DOWN)
            running = network.config
            await self._save("config.json save failed", lambda config: with_changed(config, running, change))
            network.config = change(running)  # last, so that a client which tries again tries to save again

    async def _forget_unjoined(self, alias: str, *, purge: bool) -> str:
        config = await self.config_on_disk()
        record = named(config, alias)
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
