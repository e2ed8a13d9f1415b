"""Several clients change the networks at once, and a driver that crashes (spec 05 §8)."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from myownmesh.identity import Identity
from myownmesh.mesh.driver import Driver
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.mesh import Mesh
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.modes import FullMesh
from myownmesh.roster import Roster
from myownmesh.store import StoreError
from myownmesh.store.config import MeshConfig
from myownmesh.store.network_config import NetworkConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ME, PEER = (Identity.from_seed(bytes([n]) * 32, label="") for n in (1, 2))
HOME = NetworkConfig(id="1", network_id="home", label="Home")


class MemoryStore:
    def __init__(self) -> None:
        self.config = MeshConfig(networks=(HOME,))
        self.broken = False

    def load_config(self) -> MeshConfig:
        return self.config

    def change_config(self, change: Callable[[MeshConfig], MeshConfig]) -> MeshConfig:
        self.config = change(self.config)
        return self.config

    def load_roster(self, network_id: str) -> Roster:
        if self.broken:
            raise StoreError("roster: disk on fire")
        return Roster(network_id)

    def save_roster(self, network_id: str, roster: Roster) -> None:
        pass

    def purge_network(self, network_id: str) -> None:
        pass


class NoServices:
    tags: tuple[str, ...] = ()

    async def apply(self, _services: object) -> None:
        await trio.lowlevel.checkpoint()

    def advert(self) -> Capabilities:
        return Capabilities(tags=self.tags, app_version="0.3.8")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def mesh(store: MemoryStore, nursery: trio.Nursery) -> AsyncIterator[Mesh]:
    parts: dict[str, Any] = {"store": store, "services": NoServices()}
    mesh = Mesh(
        identity=ME,
        config=store.config,
        sessions=trio.sleep_forever,
        signaling=lambda _record, _network_id: (),
        rng=random.Random(1),
        **parts,
    )
    await nursery.start(mesh.run)
    yield mesh
    nursery.cancel_scope.cancel()


async def test_a_change_that_comes_too_late_does_not_bring_a_network_back(mesh: Mesh, store: MemoryStore) -> None:
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


async def test_a_driver_that_cannot_come_back_takes_nobody_else_down(
    mesh: Mesh, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    away = await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))
    [home, _] = mesh.networks()
    store.broken = True
    home.driver._fail(ZeroDivisionError("a bug"))
    with trio.fail_after(5.0):
        while home in mesh.networks():
            await trio.sleep(0.05)
    assert mesh.networks() == [away]
    assert "disk on fire" in caplog.text
    await mesh.set_topology(away, FullMesh())


async def test_peers_hear_of_an_advert_only_when_it_changed(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[object] = []
    monkeypatch.setattr(Driver, "command", lambda _driver, act: commands.append(act))
    await mesh.add_network(NetworkConfig(id="2", network_id="away", label=""))
    assert commands == []
    monkeypatch.setattr(NoServices, "tags", ("service:signaling",))
    await mesh.add_network(NetworkConfig(id="3", network_id="third", label=""))
    assert len(commands) == 3
