"""A daemon restarts by itself for a version that waits, where that is wanted and when nothing is under way."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_common.version import VERSION
from mesh_common.views import Lane, RelayedTraffic, Traffic, TurnReport
from myownmesh.daemon.restarting import (
    ASK_S,
    LIMIT_S,
    LOOK_S,
    QUIET_BYTES_PER_S,
    QUIET_S,
    Activity,
    Restarting,
    Watch,
    activity,
)
from myownmesh.mesh.errors import MeshError
from myownmesh.store.config import AutoUpdate, MeshConfig
from myownmesh.updates import rules
from myownmesh.updates.installation import Installation
from myownmesh.updates.records import Staged, State
from myownmesh.updates.service import Updates
from support.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

NEW = "0.3.801"
STILL = Activity(0, 0, 0)
LONG_S = 20 * LOOK_S


class FakeNetwork:
    def __init__(self) -> None:
        self.under_way = 0
        self.most_queued_bytes = 0
        self.traffic = Traffic(app_tx=Lane(), app_rx=Lane())


class FakeMesh:
    """A mesh of one network, and what its configuration says."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.restart: object = "idle"
        self.is_readable = True
        self.turn: TurnReport | None = None

    def networks(self) -> list[FakeNetwork]:
        return [self.network]

    def services_report(self) -> Any:
        return SimpleNamespace(turn=self.turn)

    async def config_on_disk(self) -> MeshConfig:
        if not self.is_readable:
            raise MeshError("no")
        return MeshConfig(auto_update=AutoUpdate(unknown={} if self.restart is None else {"restart": self.restart}))


class Life:
    """A daemon of virtual seconds: what waits for it, and when it began anew."""

    def __init__(self) -> None:
        self.mesh = FakeMesh()
        self.waiting: str | None = None
        self.restart_waits_for: str | None = None
        self.restarted_at: float | None = None

    def next_version(self, _: AutoUpdate) -> str | None:
        return self.waiting

    async def run(self) -> None:
        parts: Any = (self, self.mesh)
        await Restarting(*parts, self._restart).run()

    def _restart(self) -> None:
        self.restarted_at = trio.current_time()


async def lives(life: Life, seconds: float, waiting: str | None = NEW) -> None:
    """So many seconds from the moment at which a version began to wait; the daemon itself is older."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.run)
        await trio.sleep(LOOK_S / 2)
        life.waiting = waiting
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def test_an_idle_daemon_restarts_within_two_minutes(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life()
    began = trio.current_time()
    with caplog.at_level(logging.INFO):
        await lives(life, LOOK_S + QUIET_S + ASK_S)
    assert life.restarted_at is not None
    assert life.restarted_at - began >= QUIET_S
    assert f"restarting, so that version {NEW} runs" in caplog.text
    assert life.restart_waits_for is None


@pytest.mark.parametrize("setting", [None, "never", "always", True, 1])
async def test_without_being_told_to_it_never_does(setting: object, autojump_clock: Any) -> None:
    life = Life()
    life.mesh.restart = setting
    await lives(life, LONG_S)
    assert life.restarted_at is None


async def test_a_setting_that_changes_counts_from_then_on(autojump_clock: Any) -> None:
    life = Life()
    life.mesh.restart = "never"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lives, life, 3 * LOOK_S + 2 * QUIET_S)
        await trio.sleep(2 * LOOK_S)
        assert life.restarted_at is None
        life.mesh.restart = "idle"
    assert life.restarted_at is not None


async def test_with_nothing_that_waits_it_does_not(autojump_clock: Any) -> None:
    life = Life()
    await lives(life, LONG_S, None)
    assert life.restarted_at is None


async def test_what_its_own_start_did_not_put_in_is_not_tried_again(autojump_clock: Any) -> None:
    """Otherwise a full disk would have it restart for ever."""
    life = Life()
    life.waiting = NEW
    await lives(life, LONG_S)
    assert life.restarted_at is None
    life.waiting = None
    await lives(life, 2 * LOOK_S + QUIET_S, "0.3.802")
    assert life.restarted_at is not None, "a later one is another matter"


async def test_a_configuration_that_cannot_be_read_ends_nothing(autojump_clock: Any) -> None:
    life = Life()
    life.mesh.is_readable = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lives, life, 3 * LOOK_S + 2 * QUIET_S)
        await trio.sleep(2 * LOOK_S)
        life.mesh.is_readable = True
    assert life.restarted_at is not None


async def test_a_call_a_queue_and_a_file_each_keep_it(autojump_clock: Any) -> None:
    life = Life()
    network = life.mesh.network
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.run)
        await trio.sleep(1)
        life.waiting = NEW
        network.under_way = 2
        await trio.sleep(LONG_S)
        assert (life.restarted_at, life.restart_waits_for) == (None, "2 calls, streams or messages")
        network.under_way = 0
        network.most_queued_bytes = 1
        await trio.sleep(LONG_S)
        assert (life.restarted_at, life.restart_waits_for) == (None, "what is on its way, a file for one")
        network.most_queued_bytes = 0
        for _ in range(30):
            network.traffic.app_rx.bytes += int(QUIET_BYTES_PER_S * ASK_S) + 1
            await trio.sleep(ASK_S)
        assert life.restarted_at is None
        quiet_from = trio.current_time()
        await trio.sleep(QUIET_S / 2)
        assert life.restart_waits_for == "60 s without calls, streams and files"
        await trio.sleep(QUIET_S)
        assert life.restarted_at is not None
        assert life.restarted_at - quiet_from >= QUIET_S - 2 * ASK_S


async def test_a_version_that_is_withdrawn_meanwhile_restarts_nothing(autojump_clock: Any) -> None:
    life = Life()
    life.mesh.network.under_way = 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.run)
        await trio.sleep(1)
        life.waiting = NEW
        await trio.sleep(3 * LOOK_S)
        assert life.restart_waits_for == "1 call, stream or message"
        life.waiting = None
        life.mesh.network.under_way = 0
        await trio.sleep(LONG_S)
        assert (life.restarted_at, life.restart_waits_for) == (None, None)
        nursery.cancel_scope.cancel()


@settings(max_examples=examples(50))
@given(
    st.lists(st.tuples(st.floats(0.1, 3600), st.integers(0, 2), st.integers(0, 2), st.integers(0, 10**9)), min_size=1)
)
def test_it_waits_for_quiet_and_no_longer_than_a_day(looks: list[tuple[float, int, int, int]]) -> None:
    """Whatever is seen: let go means a quiet minute, or a day that is over; and one of them means let go."""
    watch, now, quiet_since, moved = Watch(0.0, STILL), 0.0, 0.0, 0
    for pause, under_way, queued, more in looks:
        now, moved = now + pause, moved + more
        kept = watch.look(now, Activity(under_way, queued, moved))
        if under_way or queued or more > QUIET_BYTES_PER_S * pause:
            quiet_since = now
        assert (kept is None) == (now >= LIMIT_S or now - quiet_since >= QUIET_S)


def test_what_is_relayed_for_others_counts() -> None:
    mesh = FakeMesh()
    relayed = RelayedTraffic(1, 1, 0, 1, 1, 300, 44, 0, 0, 0, 0)
    mesh.turn = TurnReport(True, True, "0.0.0.0:3478", None, relayed=relayed)
    mesh.network.traffic.app_tx.bytes = 1000
    mesh.network.under_way = 3
    stand_in: Any = mesh
    assert activity(stand_in) == Activity(3, 0, 1344)


# ── what waits ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Updates:
    """Of a single file in a home of its own."""
    program = tmp_path / "myownmesh"
    program.write_bytes(b"")
    monkeypatch.setattr("myownmesh.updates.installation.find", lambda _: Installation("file", program))
    found = Updates(tmp_path / "home", VERSION, {})
    found.place.make()
    return found


def on_disk(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setattr("myownmesh.updates.installation.packed_version", lambda _: version)


def staged(*, auto: bool = True, version: str = NEW) -> Staged:
    return Staged(version, "file", "p", "00", 1, "a", "checksum", None, 1, auto, "t", 1)


@pytest.mark.parametrize(
    ("waits", "preferences", "expected"),
    [
        (staged(), AutoUpdate(), NEW),
        (staged(auto=False), AutoUpdate(), None),
        (staged(version="0.3.7"), AutoUpdate(), None),
        (staged(), AutoUpdate(enabled=False), None),
        (None, AutoUpdate(), None),
    ],
)
def test_what_the_next_start_puts_in_waits(
    updates: Updates,
    monkeypatch: pytest.MonkeyPatch,
    waits: Staged | None,
    preferences: AutoUpdate,
    expected: str | None,
) -> None:
    on_disk(monkeypatch, VERSION)
    if waits is not None:
        updates.place.write(waits)
    assert updates.next_version(preferences) == expected


def test_what_is_in_quarantine_does_not(updates: Updates, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk(monkeypatch, VERSION)
    updates.place.write(staged())
    updates.place.write(State(VERSION).with_quarantined(NEW, "it fell", 1.0))
    assert updates.next_version(AutoUpdate()) is None


def test_what_a_command_put_in_does_and_what_somebody_else_put_there_does_not(
    updates: Updates, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = AutoUpdate(enabled=False)
    on_disk(monkeypatch, NEW)
    assert updates.next_version(off) is None
    updates.place.write(rules.swapped(State(VERSION), NEW, "checksum", 1.0))
    assert updates.next_version(off) == NEW
    on_disk(monkeypatch, VERSION)
    assert updates.next_version(off) is None, "killed between the note and the swap"
