"""What a joined network is made of. Loaded with the first network: a daemon without any answers before."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from mesh_common.events import PeerApproved
from mesh_common.switching import program_goes_on
from myownmesh.engine import EngineConfig
from myownmesh.flight.tape import TapedEngine
from myownmesh.governance.rules import Rules
from myownmesh.mesh.adopting import Adopting
from myownmesh.mesh.adopting import Surroundings as Around
from myownmesh.mesh.channels import SERVICES
from myownmesh.mesh.driver import Driver
from myownmesh.mesh.governance_keeping import Governed
from myownmesh.mesh.governing import Governing
from myownmesh.mesh.inviting import Door, Inviting
from myownmesh.mesh.network import Network
from myownmesh.mesh.networks import JoinFailed
from myownmesh.mesh.tending import Tending
from myownmesh.protocol.ids import BadNetworkId, normalize_network_id
from myownmesh.sealing.desk import Desk, Surroundings
from myownmesh.signaling.room import room_handle
from myownmesh.store import StoreError
from myownmesh.transport.session import IceServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mesh_common.events import MeshEvent
    from myownmesh.identity import Identity
    from myownmesh.mesh.ports import SignalingFactory
    from myownmesh.protocol.ids import Rng
    from myownmesh.roster import Roster
    from myownmesh.sealing.budgets import Allowance
    from myownmesh.store import Store
    from myownmesh.store.governance_files import GovernanceFiles
    from myownmesh.store.network_config import NetworkConfig


log = logging.getLogger(__name__)


async def build_network(
    record: NetworkConfig,
    compat: Mapping[str, bool],
    *,
    identity: Identity,
    store: Store,
    signaling: SignalingFactory,
    app_id: str,
    on_event: Callable[[MeshEvent], None],
    gate: Callable[[str, str | None], Awaitable[None]],
    is_locked: Callable[[str], Awaitable[bool]],
    clock_ahead_s: Callable[[], float],
    rng: Rng,
    allowance: Allowance,
) -> Network:
    """A network that does not run yet; `compat` are the daemon's switches. Raises `JoinFailed`.

    `gate` lets one signature in a network pass the authenticator lock, or raises `MeshError`; `is_locked` says whether
    one is on. `clock_ahead_s`: by how much this device's clock is ahead of others'. `allowance` is what all networks
    together may try to open.
    """
    try:
        network_id = normalize_network_id(record.network_id)
    except BadNetworkId as error:
        raise JoinFailed(f"identity: {error}") from error
    try:
        with program_goes_on():  # ten thousand rows take tens of milliseconds
            roster, files = await trio.to_thread.run_sync(_read, store, network_id)
    except StoreError as error:
        raise JoinFailed(str(error)) from error
    network: Network
    room = room_handle(app_id, network_id)
    inviting = Inviting(
        me=identity.device_id,
        room=room,
        load=partial(store.load_invites, network_id),
        save=partial(store.save_invites, network_id),
        door=Door(
            is_removed=lambda device_id: network.is_removed(device_id),
            approve=lambda device_id, label: network.let_in(device_id, label),
            tell=lambda level, text, detail: network.driver.switch.tell(level, "invite", text, detail),
        ),
        rng=rng,
    )

    desk = Desk(
        identity,
        room,
        record.signaling.sealing,
        rng,
        Surroundings(
            is_known_to_seal=lambda device_id: network.is_known_to_seal(device_id),
            is_linked=lambda device_id: network.is_linked(device_id),
            changed=lambda device_id, seals: network.driver.switch.note_sealing(device_id, seals),
            tell=lambda text, detail: network.driver.switch.tell("warn", "signaling", text, detail),
        ),
        allowance,
    )

    adopting = Adopting(
        load=partial(store.load_offers, network_id),
        save=partial(store.save_offers, network_id),
        is_on=lambda: network.config.adopt_services,
        around=Around(
            is_linked=lambda device_id: network.is_linked(device_id),
            distrust=lambda device_id: network.distrust(device_id),
            reached_at=lambda device_id: network.driver.switch.reached_at(device_id),
            post=lambda device_id, payload: network.post_to(device_id, SERVICES, payload, _asked),
            use_relays=lambda urls: network.driver.use_relays(urls),
        ),
    )

    def tell(event: MeshEvent) -> None:
        adopting.heard_event(event)
        if isinstance(event, PeerApproved):
            inviting.let_in_by(event.device_id)
            network.driver.switch.note_sealing(event.device_id, desk.is_known_to_seal(event.device_id))
        on_event(event)

    engine = TapedEngine(
        identity=identity,
        network_id=network_id,
        config=engine_config(record, compat, inviting),
        roster=roster,
        rng=rng,
    )
    driver = Driver(
        engine,
        signaling=signaling(record, network_id, desk),
        ice_servers=lambda: (*ice_servers(network.config), *adopting.ice_servers()),
        save_roster=partial(store.save_roster, network_id),
        on_event=tell,
        rng=rng,
        close=desk.close,
    )
    engine.introduce_by(inviting.introduce)
    driver.switch.effects.on_knock = inviting.knock
    driver.switch.effects.on_link_down = desk.link_ended
    driver.beside.append(inviting.run)
    governing = Governing(
        Governed(
            identity=identity,
            network_id=network_id,
            kind=record.kind,
            rules=rules_of(record, compat),
            founder=record.founder,
            gate=lambda code: gate(network_id, code),
            inviters=lambda: inviting.inviters,
            clock_ahead_s=clock_ahead_s,
        ),
        files,
        store,
        driver.switch,
        rng,
    )
    tending = Tending(governing, driver.switch, is_locked=lambda: is_locked(network_id), rng=rng)

    async def prepare() -> None:
        await governing.load()
        adopting.begin()  # not before: the log says who is an authority, and what is of nobody trusted is forgotten

    driver.prepare = prepare
    driver.switch.effects.on_book = governing.book_changed
    driver.beside += [governing.run, tending.run, adopting.run]
    network = Network(record, network_id, driver, engine.tape, inviting, governing, adopting)
    network.listen(SERVICES, adopting.heard)
    return network


def _read(store: Store, network_id: str) -> tuple[Roster, GovernanceFiles]:
    return store.load_roster(network_id), store.open_governance(network_id)


def _asked(error: str | None) -> None:
    if error is not None:
        log.debug("a question for a TURN password did not leave: %s", error)  # it is asked again


def engine_config(record: NetworkConfig, compat: Mapping[str, bool], inviting: Inviting) -> EngineConfig:
    """What the engine has to know of a network's record; its own switches go before the daemon's."""
    switches = {**compat, **record.compat}
    return EngineConfig(
        kind=record.kind,
        rules=rules_of(record, compat),
        auto_approve=record.auto_approve,
        topology=record.topology,
        pinned_peers=frozenset(record.pinned_peers) | inviting.inviters,
        listens_only=record.signaling.listen_only,
        stun_urls=sum(len(server.urls) for server in record.stun_servers),
        turn_urls=sum(len(server.urls) for server in record.turn_servers),
        immediate_leave=switches.get("immediate_leave", False),
    )


def rules_of(record: NetworkConfig, compat: Mapping[str, bool]) -> Rules:
    """What a network asks of governance; its own switches go before the daemon's."""
    return Rules.of(compat, record.compat)


def ice_servers(record: NetworkConfig) -> tuple[IceServer, ...]:
    """The STUN and TURN servers of a network; entries without URLs are skipped (spec 04 §10.10)."""
    stun = (IceServer(urls=entry.urls) for entry in record.stun_servers)
    turn = (IceServer(entry.urls, entry.username, entry.credential) for entry in record.turn_servers)
    return tuple(server for server in (*stun, *turn) if server.urls)
