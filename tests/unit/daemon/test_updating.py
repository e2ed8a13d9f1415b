"""The daemon's updates while it runs: it shows that it works, and looks for the next version when that is due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from mesh_common.answers import UpdateChecked
from mesh_common.client import blocking
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.version import VERSION
from myownmesh.daemon.updating import LOOK_AGAIN_S, Updating
from myownmesh.store.config import MeshConfig
from myownmesh.updates import probation, rules, schedule
from myownmesh.updates.errors import UpdateError
from myownmesh.updates.installation import Installation
from myownmesh.updates.place import Place
from myownmesh.updates.records import State

if TYPE_CHECKING:
    from pathlib import Path

    from myownmesh.store.config import AutoUpdate

OLD = "0.3.7"


class FakeUpdates:
    """What a check answers, and how often it was asked for."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.installation = Installation("file", root / "myownmesh")
        self.allowed = True
        self.checks = 0
        self.failing = False

    def may_look(self, _: AutoUpdate) -> bool:
        return self.allowed

    async def check(self, _: AutoUpdate) -> UpdateChecked:
        self.checks += 1
        if self.failing:
            raise UpdateError("no network")
        self.place.checked(time.time())
        return UpdateChecked("staged", version="0.3.9", auto=True)


class FakeMesh:
    async def config_on_disk(self) -> MeshConfig:
        return MeshConfig()


@pytest.fixture
def updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeUpdates:
    monkeypatch.setattr(blocking, "request", lambda *_, **__: {})
    return FakeUpdates(tmp_path)


def updating(updates: FakeUpdates) -> Updating:
    stand_ins: Any = (updates, FakeMesh())
    return Updating(*stand_ins, updates.place.root / "daemon.sock", lambda: 0.5)


async def lives(seconds: float, updates: FakeUpdates) -> None:
    """A life of the daemon of so many virtual seconds, ended by a signal."""
    found = updating(updates)
    with trio.move_on_after(seconds):
        await found.run()
    found.stopping()


def on_probation(updates: FakeUpdates, boots: int = 1) -> None:
    state = rules.swapped(State(OLD), VERSION, "checksum", 0)
    for _ in range(boots):
        _, state = rules.at_start(state, VERSION, way_back=False, now=0)
    updates.place.write(state)


async def test_a_version_that_answers_and_stays_up_is_confirmed(updates: FakeUpdates, autojump_clock: Any) -> None:
    on_probation(updates)
    await lives(probation.CONFIRM_AFTER_S + 1, updates)
    state = updates.place.state()
    assert state is not None
    assert (state.status, state.boots, state.previous) == ("confirmed", 0, OLD)


async def test_one_that_is_stopped_before_does_not_lose_a_start(updates: FakeUpdates, autojump_clock: Any) -> None:
    on_probation(updates, boots=2)
    await lives(probation.CONFIRM_AFTER_S - 1, updates)
    state = updates.place.state()
    assert state is not None
    assert (state.status, state.boots) == ("unconfirmed", 1)


async def test_one_whose_socket_never_answers_does(
    updates: FakeUpdates, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> object:
        raise ControlError(ErrorKind.CONNECT_FAILED, "nobody")

    monkeypatch.setattr(blocking, "request", refuses)
    on_probation(updates, boots=2)
    await lives(200, updates)
    state = updates.place.state()
    assert state is not None
    assert (state.status, state.boots) == ("unconfirmed", 2)


async def test_a_home_without_updates_gets_no_file(updates: FakeUpdates, autojump_clock: Any) -> None:
    updates.allowed = False
    await lives(3600, updates)
    assert not updates.place.root.exists()
    assert updates.checks == 0


async def test_it_looks_a_minute_after_the_start_and_then_as_configured(
    updates: FakeUpdates, autojump_clock: Any
) -> None:
    await lives(59, updates)
    assert updates.checks == 0
    await lives(61, updates)
    assert updates.checks == 1
    await lives(3600, updates)
    assert updates.checks == 1, "six hours are not over by the wall clock"


async def test_a_look_that_fails_ends_nothing(updates: FakeUpdates, autojump_clock: Any) -> None:
    updates.failing = True
    await lives(schedule.FIRST_S[1] + 2 * LOOK_AGAIN_S, updates)
    assert updates.checks == 3


async def test_what_is_older_goes_a_week_after_it_was_confirmed(updates: FakeUpdates, autojump_clock: Any) -> None:
    on_probation(updates)
    state = updates.place.state()
    assert state is not None
    updates.place.write(rules.confirmed(state, time.time() - rules.KEEP_PREVIOUS_S - 1))
    updates.installation.previous_file.write_bytes(b"old")
    await lives(probation.CONFIRM_AFTER_S + 1, updates)
    assert not updates.installation.previous_file.exists()
    after = updates.place.state()
    assert after is not None
    assert after.previous is None
