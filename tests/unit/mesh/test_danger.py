"""The danger zone in a mesh: farewell first, files second, and no network comes back (spec 05 §15, W25, W26)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from attrs import define, field

from mesh_common.answers import NetworksForgotten
from myownmesh.mesh.danger import FAREWELL_S, Danger
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.networks import STARTS_ANEW, JoinFailed, Networks
from myownmesh.store import StoreError
from myownmesh.store.config import MeshConfig
from myownmesh.store.network_config import NetworkConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from myownmesh.store.erasure import Doomed

JOINED = [NetworkConfig(id="m3", network_id="third-net"), NetworkConfig(id="a2", network_id="second-net")]
UNJOINED = NetworkConfig(id="b1", network_id="first-net")


@define(eq=False)
class FakeDriver:
    done: list[str]
    name: str
    farewell_s: float = 0.25

    async def leave(self) -> None:
        await trio.sleep(self.farewell_s)
        self.done.append(f"left {self.name}")

    async def run(self, _sessions: object) -> None:
        await trio.sleep_forever()


@define(eq=False)
class FakeNetwork:
    config: NetworkConfig
    driver: FakeDriver

    @property
    def network_id(self) -> str:
        return self.config.network_id

    @property
    def names(self) -> set[str]:
        return {self.config.id, self.config.network_id}


@define(eq=False)
class FakeStore:
    """Writes down what is done, and fails where the test says so."""

    done: list[str]
    refusal: str | None = None
    broken: frozenset[str] = frozenset()
    home: Any = field(default=None)

    def load_config(self) -> MeshConfig:
        self._fail("load")
        return MeshConfig(networks=(UNJOINED, *JOINED))

    def refuses_reset(self) -> str | None:
        return self.refusal

    def begin_erasure(self, device_id: str, networks: Sequence[Doomed] | None) -> None:
        self._fail("begin")
        self.done.append(f"noted {device_id} {'all' if networks is None else ' '.join(n.id for n in networks)}")

    def forget_networks(self, networks: Sequence[Doomed]) -> None:
        self._fail("forget")
        self.done.append(f"forgot {' '.join(each.id for each in networks)}")

    def wipe(self) -> list[str]:
        self.done.append("wiped")
        return ["delete x: Permission denied"]

    def _fail(self, what: str) -> None:
        if what in self.broken:
            raise StoreError(f"config: write: no space left ({what})")


@define(eq=False)
class Scene:
    done: list[str]
    store: FakeStore
    networks: Networks
    danger: Danger


@pytest.fixture
async def scene(nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path) -> AsyncIterator[Scene]:
    done: list[str] = []

    async def build(record: NetworkConfig) -> Any:
        await trio.lowlevel.checkpoint()
        return FakeNetwork(record, FakeDriver(done, record.id))

    async def sessions() -> Any:
        raise AssertionError("nobody is met here")

    networks = Networks(build=build, sessions=sessions, on_rejoined=lambda: None)
    drivers: trio.CancelScope = await nursery.start(networks.run_drivers)
    await networks.join_each(JOINED)
    store: Any = FakeStore(done, home=type("Place", (), {"root": tmp_path}))
    yield Scene(done, store, networks, Danger(store, networks, lambda: "me"))
    drivers.cancel()


async def test_all_networks_go_those_that_are_only_configured_too(scene: Scene, autojump_clock: MockClock) -> None:
    assert not scene.danger.has_begun
    answer = await scene.danger.forget_all()
    assert answer == NetworksForgotten(forgotten=("a2", "b1", "m3"), restarting=True)
    assert [scene.done[0], {*scene.done[1:3]}, scene.done[3]] == [
        "noted me m3 a2 b1",
        {"left m3", "left a2"},
        "forgot m3 a2 b1",
    ]
    assert scene.danger.has_begun


async def test_farewells_are_said_at_once_and_one_that_hangs_is_not_waited_for(
    scene: Scene, autojump_clock: MockClock
) -> None:
    [first, _] = scene.networks
    cast("Any", first).driver.farewell_s = 60
    began = trio.current_time()
    await scene.danger.reset()
    assert FAREWELL_S <= trio.current_time() - began < 60
    assert scene.done == ["noted me all", "left a2", "wiped"]


async def test_nothing_is_joined_any_more(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.danger.forget_all()
    with pytest.raises(JoinFailed, match=STARTS_ANEW):
        await scene.networks.join(JOINED[0])
    for again in (scene.danger.forget_all, scene.danger.reset):
        with pytest.raises(MeshError, match=STARTS_ANEW):
            await again()
    assert [each for each in scene.done if each.startswith(("forgot", "wiped"))] == ["forgot m3 a2 b1"]


async def test_a_configuration_that_cannot_be_written_keeps_them_and_says_so(
    scene: Scene, autojump_clock: MockClock
) -> None:
    scene.store.broken = frozenset({"begin", "forget"})
    answer = await scene.danger.forget_all()
    assert answer == NetworksForgotten(forgotten=(), failed=("a2", "b1", "m3"), restarting=True)


async def test_one_that_cannot_be_read_hides_only_what_is_not_joined(scene: Scene, autojump_clock: MockClock) -> None:
    scene.store.broken = frozenset({"load"})
    assert (await scene.danger.forget_all()).forgotten == ("a2", "m3")


async def test_a_refused_reset_changes_nothing(scene: Scene, autojump_clock: MockClock) -> None:
    scene.store.refusal = "/ holds more than this device's files"
    with pytest.raises(MeshError, match="factory reset: / holds more than this device's files; nothing was deleted"):
        await scene.danger.reset()
    assert scene.done == []
    assert not scene.danger.has_begun
    assert len(scene.networks) == len(JOINED)


async def test_two_that_ask_at_once_get_one_answer_and_one_refusal(scene: Scene, autojump_clock: MockClock) -> None:
    heard: list[str] = []

    async def ask() -> None:
        try:
            await scene.danger.reset()
        except MeshError as error:
            heard.append(str(error))

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(ask)
    assert heard == [STARTS_ANEW]
