"""Several clients change the networks at once, and a driver that crashes (spec 05 §8)."""

from __future__ import annotations

import random
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from myownmesh.engine.actions import Emit
from myownmesh.engine.moves import Move
from myownmesh.identity import Identity
from myownmesh.invitations.book import Book
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.mesh import Mesh
from myownmesh.mesh.switch import Switch
from myownmesh.netwatch.pace import Change
from myownmesh.netwatch.snapshot import Snapshot
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.modes import FullMesh, Star
from myownmesh.roster import Roster
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.store import StoreError
from myownmesh.store.config import MeshConfig
from myownmesh.store.governance_files import GovernanceFiles
from myownmesh.store.network_config import NetworkConfig, SignalingConfig
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio.testing import MockClock

    from myownmesh.governance.book import Book as Governance

ME, PEER = (Identity.from_seed(bytes([n]) * 32, label="") for n in (1, 2))
HOME = NetworkConfig(id="1", network_id="home", label="Home")


class MemoryStore:
    def __init__(self) -> None:
        self.config = MeshConfig(networks=(HOME,))
        self.broken = False
        self.may_read = threading.Event()
        self.may_read.set()

    def load_config(self) -> MeshConfig:
        return self.config

    def change_config(self, change: Callable[[MeshConfig], MeshConfig]) -> MeshConfig:
        self.config = change(self.config)
        return self.config

    def load_roster(self, network_id: str) -> Roster:
        if self.broken:
            raise StoreError("roster: disk on fire")
        assert self.may_read.wait(60)
        return Roster(network_id)

    def save_roster(self, network_id: str, roster: Roster) -> None:
        pass

    def save_invites(self, network_id: str, book: Book) -> None:
        pass

    def load_offers(self, _network_id: str) -> tuple[()]:
        return ()

    def save_offers(self, _network_id: str, _rows: object) -> None:
        pass

    def load_invites(self, _network_id: str) -> Book:
        return Book()

    def open_governance(self, network_id: str) -> GovernanceFiles:
        return GovernanceFiles(network_id, None, Path("nowhere"), None)

    def save_governance(self, network_id: str, book: Governance) -> None:
        pass

    def purge_network(self, network_id: str) -> None:
        pass


class NoServices:
    tags: tuple[str, ...] = ()

    def on_change(self, callback: Callable[[], None]) -> None:
        pass

    async def apply(self, _services: object) -> None:
        await trio.lowlevel.checkpoint()

    def advert(self) -> Capabilities:
        return Capabilities(tags=self.tags, app_version="0.3.8")


class WebRtc:
    """Never there; the first driver that asks for it crashes when the test says so."""

    def __init__(self) -> None:
        self.broken = trio.Event()
        self.asked = 0

    async def __call__(self) -> Any:
        self.asked += 1
        if self.asked > 1:
            await trio.sleep_forever()
        await self.broken.wait()
        raise ZeroDivisionError("a bug")


@pytest.fixture
async def webrtc() -> WebRtc:
    return WebRtc()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def mesh(store: MemoryStore, webrtc: WebRtc, nursery: trio.Nursery) -> AsyncIterator[Mesh]:
    parts: dict[str, Any] = {"store": store, "services": NoServices()}
    mesh = Mesh(
        identity=ME,
        config=store.config,
        sessions=webrtc,
        signaling=lambda _record, _network_id, _desk: (),
        rng=random.Random(1),
        timepiece=Timepiece(clock.now, clock.steady),
        app_id="test",
        **parts,
    )
    await nursery.start(mesh.run)
    yield mesh
    nursery.cancel_scope.cancel()


async def test_a_change_that_comes_too_late_does_not_bring_a_network_back(
    mesh: Mesh, store: MemoryStore, autojump_clock: MockClock
) -> None:
    [network] = mesh.networks()
    errors: list[str] = []

    async def pin() -> None:
        try:
            await mesh.pin(network, PEER.device_id)
        except MeshError as error:
            errors.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(mesh.remove_network, "1", purge=False))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pin)
    assert store.config.networks == ()
    assert errors == ["network: network shut down"]


async def test_files_are_read_off_the_loop_and_in_order(mesh: Mesh, store: MemoryStore) -> None:
    """Spec 05 W21: who comes second waits for the first one's files, and finds the name taken."""
    errors: list[str] = []

    async def add(record: NetworkConfig) -> None:
        try:
            await mesh.add_network(record)
        except MeshError as error:
            errors.append(str(error))

    store.may_read.clear()
    async with trio.open_nursery() as nursery:
        for record_id, name in (("2", "away"), ("3", "third"), ("2", "fourth")):
            nursery.start_soon(add, NetworkConfig(id=record_id, network_id=name, label=""))
            await trio.testing.wait_all_tasks_blocked()
        assert [network.config_id for network in mesh.networks()] == ["1"]
        store.may_read.set()
    assert [network.config_id for network in mesh.networks()] == ["1", "2", "3"]
    assert errors == ["config id '2' already in use"]


async def test_who_gives_up_while_files_are_read_joins_nothing(mesh: Mesh, store: MemoryStore) -> None:
    before = store.config
    store.may_read.clear()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mesh.add_network, NetworkConfig(id="2", network_id="away", label=""))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            store.may_read.set()
    assert [network.config_id for network in mesh.networks()] == ["1"]
    assert store.config == before


async def test_a_network_comes_back_though_who_changed_it_gave_up(mesh: Mesh, store: MemoryStore) -> None:
    [home] = mesh.networks()
    moved = replace(HOME, network_id="elsewhere")
    store.may_read.clear()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mesh.update_network, moved, frozenset({"network_id"}))
            with trio.fail_after(60):
                while mesh.networks():
                    await trio.sleep(0.01)
            scope.cancel()
            store.may_read.set()
    [again] = mesh.networks()
    assert again is not home
    assert again.network_id == "elsewhere"


async def test_a_driver_that_cannot_come_back_takes_nobody_else_down(
    mesh: Mesh, store: MemoryStore, webrtc: WebRtc, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    away = await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))
    [home, _] = mesh.networks()
    store.broken = True
    webrtc.broken.set()
    with trio.fail_after(5.0):
        while home in mesh.networks():
            await trio.sleep(0.05)
    assert mesh.networks() == [away]
    assert "disk on fire" in caplog.text
    await mesh.set_topology(away, FullMesh())


async def test_peers_hear_of_an_advert_only_when_it_changed(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    adverts: list[object] = []
    monkeypatch.setattr(Switch, "set_capabilities", lambda _switch, advert: adverts.append(advert))
    await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))
    assert adverts == []
    monkeypatch.setattr(NoServices, "tags", ("service:signaling",))
    await mesh.add_network(NetworkConfig(id="3", network_id="third", label=""))
    assert len(adverts) == 3


async def test_a_driver_that_crashed_comes_back_with_what_it_advertised(
    mesh: Mesh, webrtc: WebRtc, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    [home] = mesh.networks()
    monkeypatch.setattr(NoServices, "tags", ("service:signaling",))
    webrtc.broken.set()
    with trio.fail_after(20.0):
        while home in mesh.networks():
            await trio.sleep(0.05)
    [again] = mesh.networks()
    assert again.names == home.names
    assert mesh.get("1") is mesh.get("home") is again
    assert again.capabilities.tags == ("service:signaling",)


async def test_a_network_that_is_joined_without_a_network_of_the_machine_knows_it(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    told: list[object] = []
    monkeypatch.setattr(Switch, "network_moved", lambda _switch, move, detail: told.append((move, detail["prev"])))
    monkeypatch.setattr(Switch, "woken", lambda _switch, seconds: told.append(seconds))
    there, gone = Snapshot("192.168.1.5", None, frozenset({"192.168.1.5"})), Snapshot(None, None, frozenset())
    mesh.network_changed(Change(Move.OFFLINE, there, gone))
    await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))
    assert told == [(Move.OFFLINE, there.told())] * 2
    mesh.network_changed(Change(Move.ONLINE, gone, there))
    await mesh.add_network(NetworkConfig(id="3", network_id="third", label=""))
    assert told[2:] == [(Move.ONLINE, gone.told())] * 2
    mesh.woken(60.0)
    assert told[4:] == [60.0] * 3


async def test_a_record_id_names_its_network_before_a_wire_id_does(mesh: Mesh, autojump_clock: MockClock) -> None:
    """Spec 05 §5; a network may be called what another one's record is called only while they do not meet."""
    away = await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))
    assert [mesh.get(alias) for alias in ("2", "away", "Away", "")] == [away, away, None, None]
    for alias in ("1", "home"):
        with pytest.raises(MeshError, match="already in use"):
            await mesh.add_network(NetworkConfig(id=alias, network_id="third", label=""))
        with pytest.raises(MeshError, match="already joined under a different config"):
            await mesh.add_network(NetworkConfig(id="3", network_id=alias, label=""))
    with pytest.raises(MeshError, match="unknown network: third"):
        mesh.find("third")


@pytest.mark.heavy
async def test_addresses_that_cannot_be_used_are_refused_at_the_door(mesh: Mesh, store: MemoryStore) -> None:
    before = store.config
    bad = NetworkConfig(id="2", network_id="office", signaling=SignalingConfig(servers=(" ws://h",)))
    with pytest.raises(MeshError, match="' ws://h' is no relay address"):
        await mesh.add_network(bad)
    with pytest.raises(MeshError, match="is no relay address"):
        await mesh.update_network(replace(HOME, signaling=bad.signaling), frozenset())
    with pytest.raises(MeshError, match="public_url: 'x' is no relay address"):
        await mesh.services_set(ServicesConfig.from_json({"signaling": {"public_url": "x"}}))
    assert store.config == before
    assert [network.config_id for network in mesh.networks()] == ["1"]


async def test_a_record_with_another_shape_changes_it_where_it_stands(
    mesh: Mesh, store: MemoryStore, autojump_clock: MockClock
) -> None:
    """Spec 04 §8.5: `network_update` acts as `topology_set` does, and no link is given up for it."""
    [home] = mesh.networks()
    star = Star(hub=PEER.device_id)
    network, was_joined_anew = await mesh.update_network(replace(home.config, topology=star), frozenset({"topology"}))
    assert (network, was_joined_anew) == (home, False)
    assert mesh.networks() == [home]
    assert home.driver.switch.engine.topology == star
    assert [record.topology for record in store.config.networks] == [star]


async def test_diagnostics_are_made_while_somebody_reads_events(mesh: Mesh, autojump_clock: MockClock) -> None:
    """Spec 04 §9.3: a network that comes meanwhile is no exception, and nothing is made after the last reader."""
    heard: list[object] = []
    unsubscribe = mesh.subscribe(heard.append)
    for network in (*mesh.networks(), await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))):
        network.reconnect(None)
    assert [type(event).__name__ for event in heard] == ["Diag", "Diag"]
    unsubscribe()
    made: list[object] = []
    for network in mesh.networks():
        engine = network.driver.switch.engine
        engine.reconnect(None, clock.now())
        made += [action for action in engine.actions() if isinstance(action, Emit)]
    assert made == []
