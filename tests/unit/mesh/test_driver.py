"""A driver before WebRTC is there: the control socket answers earlier than that (spec 05 §1.3 no. 7)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from myownmesh.engine import Engine, EngineConfig, EngineError
from myownmesh.identity import Identity
from myownmesh.mesh.driver import Driver
from myownmesh.roster import Roster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ME, PEER = (Identity.from_seed(bytes([n]) * 32, label="") for n in (1, 2))


class FakeSession:
    def __init__(self) -> None:
        self.did: list[str] = []

    def make_offer(self, *, restart: bool) -> None:
        self.did.append(f"offer restart={restart}")

    def close(self) -> None:
        self.did.append("close")


class FakeFactory:
    """Hands out sessions once `loaded`; counts them."""

    def __init__(self) -> None:
        self.loaded = trio.Event()
        self.sessions: list[FakeSession] = []

    async def __call__(self) -> Any:
        await self.loaded.wait()
        return self

    def open(self, *, offerer: bool, **_how: Any) -> FakeSession:
        assert offerer
        self.sessions.append(FakeSession())
        return self.sessions[-1]


@pytest.fixture
async def factory() -> FakeFactory:
    return FakeFactory()


@pytest.fixture
async def driver(factory: FakeFactory, nursery: trio.Nursery) -> AsyncIterator[Driver]:
    rng = random.Random(1)
    driver = Driver(
        Engine(identity=ME, network_id="home", config=EngineConfig(), roster=Roster("home"), rng=rng),
        signaling=(),
        ice_servers=tuple,
        save_roster=lambda _roster: None,
        on_event=lambda _event: None,
        rng=rng,
    )
    nursery.start_soon(driver.run, factory)
    await trio.testing.wait_all_tasks_blocked()
    yield driver
    driver.stop()


async def loaded(factory: FakeFactory) -> None:
    factory.loaded.set()
    await trio.testing.wait_all_tasks_blocked()


async def test_a_dial_before_webrtc_is_loaded_happens_afterwards(driver: Driver, factory: FakeFactory) -> None:
    driver.connect(PEER.device_id, pin=False, done=None)
    assert factory.sessions == []
    await loaded(factory)
    assert [session.did for session in factory.sessions] == [["offer restart=False"]]


async def test_whoever_waits_for_an_early_dial_is_told_of_the_end(driver: Driver, factory: FakeFactory) -> None:
    told: list[str | None] = []
    waited: Callable[[], None] = driver.connect(PEER.device_id, pin=True, done=told.append)
    assert told == []
    driver.stop()
    assert told == ["network: network shut down"]
    assert factory.sessions == []
    waited()


async def test_an_early_dial_to_oneself_is_refused_at_once(driver: Driver) -> None:
    with pytest.raises(EngineError, match="id of this device"):
        driver.connect(ME.device_id, pin=False, done=None)
