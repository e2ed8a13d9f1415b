"""Finding, starting and losing daemons, in a scripted world on a clock that jumps (vectors `supervisor`, `backoff`)."""

from __future__ import annotations

import itertools
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from msgspec.structs import replace

from mesh_common.answers import StatusAnswer
from myownllm.errors import AppError
from myownllm.supervisor import Supervisor, policy
from myownllm.supervisor.binaries import Candidate, Refused
from myownllm.supervisor.ports import Ports, ReadyLine, Row
from myownllm.supervisor.process import LaunchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from myownllm.supervisor import SupervisorState

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "frontend.json").read_text(encoding="utf-8")
)["suites"]
STATUS = StatusAnswer("0.3.8", "me-0A1B2")


class FakeChild:
    """A process that binds, dies or hangs as its script says."""

    pid = 4242

    def __init__(self, world: ScriptedWorld, name: str, script: str) -> None:
        self.name = name
        self._world = world
        self._exited = trio.Event()
        self.exit_status: int | None = None
        self.stopped = False
        self._script = script
        if script.startswith("binds_after_"):
            world.own_binds_at = trio.current_time() + int(script.removeprefix("binds_after_").removesuffix("s"))
        elif script == "exits_1_immediately":
            self.exit(1)

    def tail(self, lines: int = 20) -> list[str]:
        return [f"last words of {self.name}"]

    def exit(self, status: int) -> None:
        self.exit_status = status
        self._exited.set()
        self._world.own_binds_at = None

    async def wait(self) -> int:
        await self._exited.wait()
        return self.exit_status or 0

    async def ready_line(self) -> ReadyLine:
        if self._script == "says_ready":
            self._world.own_binds_at = trio.current_time()
            return ReadyLine(ready=True)
        if self._script == "says_not_ready":
            return ReadyLine(ready=False, error="another daemon owns this home")
        if self._script == "says_cannot_serve":
            return ReadyLine(ready=False, error="No module named 'uvloop'", cannot_serve=True)
        await trio.sleep_forever()
        raise AssertionError

    async def stop(self, grace_s: float = 5.0) -> None:
        self.stopped = True
        if self.exit_status is None:
            self._world.killed.append(self.name)
            self.exit(-15)


class FakeSurvivor(FakeChild):
    """A daemon of an earlier launch."""

    def __init__(self, world: ScriptedWorld, *, frozen: bool) -> None:
        super().__init__(world, "survivor", "")
        self.is_frozen = frozen


@attrs.define
class ScriptedWorld:
    shared: str = "absent"
    own: str = "absent"
    scripts: dict[str, str] = attrs.field(factory=dict)
    candidates: list[str] = attrs.field(factory=list)
    versions: dict[str, str] = attrs.field(factory=dict)
    own_binds_at: float | None = None
    probes: list[str] = attrs.field(factory=list)
    probe_ms: dict[str, float] = attrs.field(factory=dict)
    killed: list[str] = attrs.field(factory=list)
    children: list[FakeChild] = attrs.field(factory=list)
    locked: bool = False
    hangs: bool = False
    survivor: FakeSurvivor | None = None
    pin: str | None = None
    folder: Path = Path("/s")
    status: StatusAnswer = STATUS

    async def probe(self, socket: Path) -> StatusAnswer | None:
        began = trio.current_time()
        try:
            return await self._probe(socket.name)
        finally:
            self.probe_ms[socket.name] = (trio.current_time() - began) * 1000

    async def _probe(self, name: str) -> StatusAnswer | None:
        if not self.children and not self.locked:
            self.probes.append(name)
        if self.own_binds_at is not None and name == "own":
            return self.status if trio.current_time() >= self.own_binds_at else None
        behaviour = self.shared if name == "shared" else self.own
        if behaviour == "hangs":
            await trio.sleep(0.8)
        if behaviour == "absent_then_ok_after_lock":
            return self.status if self.locked else None
        return self.status if behaviour == "ok" else None

    async def silence(self, socket: Path, limit_s: float) -> str:
        if self.hangs:
            await trio.sleep(limit_s)
            return "does not answer"
        return "" if await self.probe(socket) is not None else "cannot be reached"

    async def version_of(self, candidate: Candidate) -> str | Refused:
        problem = self.versions.get(candidate.path.name)
        return "0.3.8" if problem is None else Refused(candidate, problem)

    async def launch(self, candidate: Candidate) -> FakeChild:
        script = self.scripts.get(candidate.path.name, "binds_after_1s")
        if script == "exec_error":
            raise LaunchError(f"cannot start {candidate.path}: Exec format error")
        child = FakeChild(self, candidate.path.name, script)
        self.children.append(child)
        return child

    async def find_survivor(self) -> FakeSurvivor | None:
        return self.survivor

    @asynccontextmanager
    async def spawn_lock(self) -> AsyncIterator[None]:
        self.locked = True
        try:
            yield
        finally:
            self.locked = False

    def ports(self) -> Ports:
        def listed() -> Sequence[Candidate]:
            return [Candidate(Path("/bin") / c, "path", "PATH (/bin)") for c in self.candidates]

        return Ports(
            rows=[Row("shared", "shared", self.folder / "shared"), Row("own", "own_llm", Path("/s/own"))],
            own_socket=Path("/s/own"),
            probe=self.probe,
            silence=self.silence,
            candidates=listed,
            version_of=self.version_of,
            launch=self.launch,
            spawn_lock=self.spawn_lock,
            survivor=self.find_survivor,
            pin=self.pin,
            uniform=lambda: 0.5,
        )


@asynccontextmanager
async def supervised(
    world: ScriptedWorld,
    stage: Callable[[Callable[[str], None]], Awaitable[Candidate]] | None = None,
    report: Callable[[str], None] | None = None,
) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(replace(world.ports(), stage=stage), report=report)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        yield supervisor
        nursery.cancel_scope.cancel()


async def staged(report: Callable[[str], None]) -> Candidate:
    report("downloading")
    return Candidate(Path("/staged/myownmesh"), "staged", "downloaded release")


def is_second(state: SupervisorState) -> bool:
    return state.connection is not None and state.connection.generation == 2


async def outcome(supervisor: Supervisor) -> SupervisorState:
    return await supervisor.watch.until(lambda s: s.state in ("up", "failed"))


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in VECTORS["supervisor"]["cases"]])
async def test_detect_and_share(autojump_clock: Any, case: dict[str, Any]) -> None:
    """FE-3.1, FE-3.9, FE-3.10, FE-3.11, FE-3.12, FE-3.13, FE-12.8, FE-12.12, FE-12.13."""
    given, expected = case["input"], case["expect"]
    world = ScriptedWorld(given["shared"], given["own"], given.get("spawn", {}), given["candidates"])
    began = trio.current_time()
    async with supervised(world) as supervisor:
        state = await outcome(supervisor)
        connection = state.connection
        assert (None if connection is None else connection.mode) == expected.get("mode")
        child = world.children[-1].name if world.children and connection and connection.owned_child else None
        assert child == expected["child"]
        killed = list(world.killed)
    if "probes" in expected:
        assert world.probes == expected["probes"]
    if "killed" in expected:
        assert killed == expected["killed"]
    if "spawned" in expected:
        assert [c.name for c in world.children] == expected["spawned"]
    for name in expected.get("error_mentions", ()):
        assert f"/bin/{name}" in state.error
    if expected.get("error") == "no_binary":
        assert "MYOWNLLM_MESH_BIN" in state.error
        assert "mesh-bundler" in state.error
        assert "PATH" in state.error
    if "shared_probe_ms_max" in expected:
        assert world.probe_ms["shared"] <= expected["shared_probe_ms_max"]
    if "a_wait_ms_max" in expected:
        assert trio.current_time() - began <= 1 + expected["a_wait_ms_max"] / 1000


async def test_wrong_version_is_refused_with_the_way_out(autojump_clock: Any) -> None:
    """FE-3.7, FE-3.8."""
    world = ScriptedWorld(candidates=["stale"], versions={"stale": "reports 0.1.1, this app needs v0.3.8"})
    async with supervised(world) as supervisor:
        state = await outcome(supervisor)
    assert state.state == "failed"
    assert "/bin/stale" in state.error
    assert "0.1.1" in state.error
    assert "v0.3.8" in state.error
    assert "MYOWNLLM_MESH_BIN" in state.error
    assert [n for n in state.notes if "/bin/stale" in n], "and it is said at once, not only when all fails"
    assert world.children == []


@pytest.mark.parametrize("script", ["says_ready", "says_cannot_serve", "exits_1_immediately", "exec_error"])
async def test_a_version_of_an_earlier_launch_is_not_believed_when_the_start_says_otherwise(
    autojump_clock: Any, script: str
) -> None:
    """FE-3.7: behind an unchanged script another daemon stands now, one that is too old, or none."""
    world = ScriptedWorld(candidates=["a", "b"], scripts={"a": script})
    world.status = StatusAnswer("0.1.1", "me-0A1B2")
    doubted = []

    async def doubt(candidate: Candidate) -> str | Refused | None:
        doubted.append(candidate.path.name)
        return Refused(candidate, "reports 0.1.1") if candidate.path.name == "a" else None

    supervisor = Supervisor(replace(world.ports(), doubt=doubt))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        state = await outcome(supervisor)
        nursery.cancel_scope.cancel()
    assert state.connection is not None
    assert state.connection.binary == Path("/bin/b")
    assert state.notes == ("not using /bin/a (PATH (/bin)): it reports 0.1.1",)
    assert doubted == ["a", "b"]
    assert all(child.stopped for child in world.children if child.name == "a")


@pytest.mark.parametrize(
    ("binds", "works_for_s", "child", "took_s"),
    [
        (20, 25, "slow", 20),  # a busy machine
        (60, 90, "next", 30),  # it works and works
        (20, 1, "next", 10),  # it has begun to load, and hangs
        (20, 0, "next", 8),
    ],
)
async def test_a_daemon_that_still_loads_is_waited_for(
    autojump_clock: Any, binds: int, works_for_s: float, child: str, took_s: float
) -> None:
    """FE-3.10: whoever ends it after eight seconds ends every further one there, too."""
    world = ScriptedWorld(candidates=["slow", "next"], scripts={"slow": f"binds_after_{binds}s", "next": "says_ready"})
    began = trio.current_time()
    supervisor = Supervisor(
        replace(world.ports(), worked_s=lambda _: min(trio.current_time() - began, works_for_s) / 10)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        await outcome(supervisor)
        assert world.children[-1].name == child
        assert trio.current_time() - began == pytest.approx(took_s, abs=0.5)
        nursery.cancel_scope.cancel()


async def test_that_a_daemon_serves_is_remembered_without_anybody_waiting(autojump_clock: Any) -> None:
    world, told = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"}), []

    async def serves(child: Any, candidate: Candidate) -> None:
        await trio.sleep(1)
        told.append((child.name, candidate.path.name))

    supervisor = Supervisor(replace(world.ports(), serves=serves))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        began = trio.current_time()
        await outcome(supervisor)
        assert trio.current_time() - began < 1
        await trio.sleep(1.1)
        assert told == [("a", "a")]
        nursery.cancel_scope.cancel()


async def test_the_ready_line_ends_the_wait_at_once(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    began = trio.current_time()
    async with supervised(world) as supervisor:
        assert (await outcome(supervisor)).state == "up"
        assert trio.current_time() - began < 0.01


async def test_a_daemon_that_says_it_cannot_is_believed(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_not_ready"})
    began = trio.current_time()
    async with supervised(world) as supervisor:
        state = await outcome(supervisor)
        assert "another daemon owns this home" in state.error
        assert trio.current_time() - began < 0.5


async def test_the_own_daemon_is_ended_with_the_app(autojump_clock: Any) -> None:
    """FE-3.3, FE-3.15, FE-3.16."""
    world = ScriptedWorld(candidates=["a"])
    async with supervised(world) as supervisor:
        await outcome(supervisor)
    assert world.children[0].stopped
    attached = ScriptedWorld(own="ok")
    async with supervised(attached) as supervisor:
        await outcome(supervisor)
    assert attached.killed == []


async def test_an_end_in_the_middle_of_a_start_leaves_no_child_and_no_lock(autojump_clock: Any) -> None:
    """FE-12.55."""
    world = ScriptedWorld(candidates=["a"], scripts={"a": "never_binds"})
    async with supervised(world) as supervisor:
        await supervisor.watch.until(lambda s: s.state == "spawning")
        await trio.sleep(2)
        assert world.locked
    assert [child.stopped for child in world.children] == [True]
    assert not world.locked


async def test_a_crash_is_answered_with_growing_delays_and_then_given_up(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        delays = []
        for crash in range(1, 6):
            await supervisor.watch.until(lambda s: s.state == "up")
            world.children[-1].exit(-9)
            if crash == 5:
                break
            await supervisor.watch.until(lambda s: s.state == "backoff")
            began = trio.current_time()
            await supervisor.watch.until(lambda s: s.state == "up")
            delays.append(round(trio.current_time() - began))
        state = await supervisor.watch.until(lambda s: s.state == "failed")
        assert delays == [1, 2, 4, 8]
        assert "crashed 5 times" in state.error
        assert "last words of a" in state.error
        began = trio.current_time()
        await supervisor.watch.until(lambda s: s.state == "up")
        assert trio.current_time() - began == pytest.approx(60, abs=1)


async def test_a_retry_ends_the_wait(autojump_clock: Any) -> None:
    world = ScriptedWorld()
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        world.own = "ok"
        began = trio.current_time()
        supervisor.retry()
        await supervisor.watch.until(lambda s: s.state == "up")
        assert trio.current_time() - began < 1


async def test_a_retry_during_an_attempt_that_looked_too_early_is_not_forgotten(autojump_clock: Any) -> None:
    asked: list[Supervisor] = []

    class Corrected(ScriptedWorld):
        async def version_of(self, candidate: Candidate) -> str | Refused:
            seen = await super().version_of(candidate)
            self.versions.clear()
            asked[0].retry()
            return seen

    world = Corrected(candidates=["a"], scripts={"a": "says_ready"}, versions={"a": "too old"})
    async with supervised(world) as supervisor:
        asked.append(supervisor)
        began = trio.current_time()
        await supervisor.watch.until(lambda s: s.state == "up")
        assert trio.current_time() - began < 1


async def test_a_retry_while_a_daemon_is_connected_means_nothing_later(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await supervisor.watch.until(lambda s: s.state == "up")
        supervisor.retry()
        world.children[-1].exit(-9)
        await supervisor.watch.until(lambda s: s.state == "backoff")
        began = trio.current_time()
        await supervisor.watch.until(lambda s: s.state == "up")
        assert trio.current_time() - began == pytest.approx(1, abs=0.3)


async def test_a_clean_exit_is_restarted_at_once_and_only_once(autojump_clock: Any) -> None:
    """FE-12.18."""
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await supervisor.watch.until(lambda s: s.state == "up")
        began = trio.current_time()
        world.children[-1].exit(0)
        await supervisor.watch.until(is_second)
        assert trio.current_time() - began < 0.5
        world.children[-1].exit(0)
        await supervisor.watch.until(lambda s: s.state == "backoff")


async def test_a_daemon_that_closes_its_connections_before_it_ends_is_not_waited_for_any_longer(
    autojump_clock: Any,
) -> None:
    """FE-12.18: it says farewell to its peers meanwhile."""
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await supervisor.watch.until(lambda s: s.state == "up")
        began = trio.current_time()
        world.own_binds_at = None
        supervisor.report_lost(1)
        await trio.sleep(1)
        world.children[-1].exit(0)
        await supervisor.watch.until(is_second)
        assert trio.current_time() - began < 2


async def test_lost_events_with_a_living_daemon_are_a_new_generation_of_the_same_one(autojump_clock: Any) -> None:
    """FE-12.27."""
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        supervisor.report_lost(1)
        state = await supervisor.watch.until(lambda s: s.connection is not None and s.connection.generation == 2)
        assert state.connection is not None
        assert state.connection.owned_child
        assert len(world.children) == 1
        supervisor.report_lost(1)
        await trio.sleep(5)
        assert supervisor.connection is state.connection, "a report about an old generation means nothing"


async def test_a_silent_child_gets_eight_seconds_and_is_replaced(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        world.own_binds_at = trio.current_time() + 10_000
        supervisor.report_lost(1)
        began = trio.current_time()
        await supervisor.watch.until(is_second)
        assert world.killed == ["a"]
        assert 8 <= trio.current_time() - began <= 10


async def test_a_shared_daemon_that_goes_is_waited_for_then_replaced(autojump_clock: Any) -> None:
    """FE-12.19."""
    world = ScriptedWorld(shared="ok", candidates=["a"])
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        world.shared = "absent"
        supervisor.report_lost(1)
        began = trio.current_time()
        state = await supervisor.watch.until(is_second)
        assert state.connection is not None
        assert state.connection.mode == "own_llm"
        assert 10 <= trio.current_time() - began <= 12


async def test_a_daemon_that_hangs_is_told_in_three_seconds_and_an_own_one_replaced_in_ten(autojump_clock: Any) -> None:
    """FE-12.14."""
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        await trio.sleep(20)
        began, world.hangs = trio.current_time(), True
        state = await supervisor.watch.until(lambda s: s.silence != "")
        assert state.silence == "the mesh daemon does not answer"
        assert state.connection is not None, "a daemon that is only slow keeps its links"
        assert trio.current_time() - began <= 3
        await supervisor.watch.until(lambda s: s.state == "spawning")
        assert world.killed == ["a"]
        world.hangs = False
        await supervisor.watch.until(is_second)
        assert trio.current_time() - began <= 9, "which leaves a second for a busy machine"


async def test_a_daemon_whose_socket_is_back_in_time_is_kept(autojump_clock: Any) -> None:
    """It makes a file that somebody removed anew within six seconds: it is looked for up to their end."""
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        world.own_binds_at = trio.current_time() + 5.7
        await supervisor.watch.until(lambda s: s.silence != "")
        assert supervisor.watch.value.silence == "the mesh daemon cannot be reached"
        await supervisor.watch.until(lambda s: s.silence == "")
        await trio.sleep(30)
        assert world.killed == []
        assert supervisor.watch.value.connection is not None


async def test_a_short_silence_is_told_and_taken_back(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        world.hangs = True
        await supervisor.watch.until(lambda s: s.silence != "")
        world.hangs = False
        await supervisor.watch.until(lambda s: s.silence == "")
        await trio.sleep(30)
        assert world.killed == []
        assert supervisor.watch.value.connection is not None


async def test_a_foreign_daemon_that_hangs_is_told_and_never_ended(autojump_clock: Any) -> None:
    world = ScriptedWorld(own="ok")
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        began, world.hangs, world.own = trio.current_time(), True, "absent"
        await supervisor.watch.until(lambda s: s.silence != "")
        assert trio.current_time() - began <= 3
        await supervisor.watch.until(lambda s: s.state != "up")
        assert trio.current_time() - began == pytest.approx(policy.SILENT_OTHER_S, abs=4)
        assert world.killed == []


async def test_an_awaited_shared_daemon_has_a_reason_all_the_time(autojump_clock: Any) -> None:
    world = ScriptedWorld(shared="ok", candidates=["a"])
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        world.shared = "absent"
        supervisor.report_lost(1)
        reasons = []
        async with trio.open_nursery() as nursery:

            async def note() -> None:
                while True:
                    state = await supervisor.watch.changed()
                    reasons.append((state.state, state.error))

            nursery.start_soon(note)
            await supervisor.watch.until(is_second)
            nursery.cancel_scope.cancel()
    told = [error for state, error in reasons if state == "lost"]
    assert told[0] == "the shared mesh daemon at /s/shared is gone; an own one is started in 10 s"
    assert told[-1].endswith("in 2 s")


async def test_staging_is_the_last_resort(autojump_clock: Any) -> None:
    reported: list[str] = []
    async with supervised(ScriptedWorld(), staged, reported.append) as supervisor:
        assert (await outcome(supervisor)).state == "up"
    assert reported == ["downloading"]


async def test_a_program_that_cannot_serve_is_no_candidate(autojump_clock: Any) -> None:
    """It answers `--version` and then finds a library broken: the release is staged, as if it were not there."""
    world = ScriptedWorld(candidates=["light"], scripts={"light": "says_cannot_serve"})
    async with supervised(world, staged) as supervisor:
        state = await outcome(supervisor)
        assert state.state == "up"
        assert state.notes == ("not using /bin/light (PATH (/bin)): it cannot serve: No module named 'uvloop'",)
    assert [child.name for child in world.children] == ["light", "myownmesh"]
    assert all(child.stopped for child in world.children)


@pytest.mark.parametrize("script", ["exits_1_immediately", "never_binds", "exec_error"])
async def test_after_a_program_that_does_not_serve_the_release_is_staged(autojump_clock: Any, script: str) -> None:
    """Older light installations answer `--version`, and die of a missing library without a word on the pipe."""
    world = ScriptedWorld(candidates=["light"], scripts={"light": script})
    async with supervised(world, staged) as supervisor:
        state = await outcome(supervisor)
        assert state.state == "up"
        assert state.notes[0].startswith("not using /bin/light (PATH (/bin)): ")


async def test_what_no_program_could_mend_is_no_reason_to_fetch_one(autojump_clock: Any) -> None:
    reported: list[str] = []
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_not_ready"})
    async with supervised(world, staged, reported.append) as supervisor:
        assert (await outcome(supervisor)).state == "failed"
    assert reported == []


async def test_failed_staging_says_why(autojump_clock: Any) -> None:
    async def stage(_: Any) -> Candidate:
        raise AppError("no network; copy the release file to …")

    async with supervised(ScriptedWorld(), stage) as supervisor:
        assert "no network; copy the release file" in (await outcome(supervisor)).error


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in VECTORS["backoff"]["cases"]])
def test_backoff(case: dict[str, Any]) -> None:
    history = policy.CrashHistory()
    if "crashes" in case["input"]:
        delays = []
        for crash in range(case["input"]["crashes"]):
            history = history.after_crash(now=crash, up_since=crash)
            delays.append(policy.backoff_s(history.consecutive))
        assert delays == case["expect"]["delays"]
    else:
        for crash in range(case["input"]["crashes_then_healthy_60s_then_crash"]):
            history = history.after_crash(now=crash, up_since=crash)
        history = history.after_crash(now=100, up_since=40)
        assert policy.backoff_s(history.consecutive) == case["expect"]["delay"]


def test_what_was_waited_for_in_silence_counts_as_pause() -> None:
    pauses = [policy.restart_after_s(crash, was_silent=True) for crash in range(1, 7)]
    assert pauses == [0, 0, 0, 2, 10, 24]
    assert [policy.restart_after_s(crash, was_silent=False) for crash in (1, 4)] == [1, 8]


def test_jitter_stays_within_a_fifth() -> None:
    assert policy.jittered(10, 0.0) == pytest.approx(8)
    assert policy.jittered(10, 0.999999) == pytest.approx(12, abs=0.001)


def test_the_decision_after_a_loss_is_total() -> None:
    for answers, mode, child, status, clean in itertools.product(
        (True, False), ("shared", "own_llm"), ("none", "alive", "exited"), (None, 0, 1, -9), (0, 1)
    ):
        decision = policy.after_loss(
            answers=answers,
            mode=mode,  # type: ignore[arg-type]  # one of the words
            child=child,  # type: ignore[arg-type]  # one of the words
            exit_status=status,
            clean_restarts=clean,
        )
        assert isinstance(decision, policy.Reattach) is answers
        if child == "none" and not answers:
            assert isinstance(decision, policy.SearchShared | policy.SearchAnew), "what we did not start we do not kill"


async def test_a_stuck_own_daemon_is_restarted_and_a_foreign_one_left_alone(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"], scripts={"a": "says_ready"})
    async with supervised(world) as supervisor:
        await outcome(supervisor)
        supervisor.report_stuck(1)
        await supervisor.watch.until(is_second)
        assert world.killed == ["a"]
    foreign = ScriptedWorld(own="ok")
    async with supervised(foreign) as supervisor:
        await outcome(supervisor)
        supervisor.report_stuck(1)
        await trio.sleep(1)
        assert supervisor.watch.value.state == "up"


# ── what an earlier launch left (FE-3.17) ─────────────────────────────────────────────────────────────────────────────


async def test_a_daemon_of_an_earlier_launch_is_ours_again(autojump_clock: Any) -> None:
    world = ScriptedWorld(own="ok")
    world.survivor = FakeSurvivor(world, frozen=False)
    async with supervised(world) as supervisor:
        connection = (await outcome(supervisor)).connection
        assert connection is not None
        assert connection.owned_child
        assert connection.pid == FakeChild.pid
    assert world.survivor.stopped


async def test_a_daemon_that_answers_with_another_number_is_not_the_recorded_one(autojump_clock: Any) -> None:
    world = ScriptedWorld(own="ok")
    world.survivor = FakeSurvivor(world, frozen=False)
    world.status = replace(STATUS, pid=99)
    async with supervised(world) as supervisor:
        connection = (await outcome(supervisor)).connection
        assert connection is not None
        assert not connection.owned_child
    assert not world.survivor.stopped


@pytest.mark.parametrize(("frozen", "seconds"), [(True, 2), (False, 10)])
async def test_one_that_answers_nobody_is_ended_and_another_started(
    autojump_clock: Any, frozen: bool, seconds: float
) -> None:
    world = ScriptedWorld(own="hangs", candidates=["a"], scripts={"a": "says_ready"})
    world.survivor = FakeSurvivor(world, frozen=frozen)
    began = trio.current_time()
    async with supervised(world) as supervisor:
        state = await outcome(supervisor)
        assert state.connection is not None
        assert state.connection.owned_child
        assert [n for n in state.notes if "process 4242" in n]
        assert trio.current_time() - began < seconds + 2.5
        assert world.killed == ["survivor"]


async def test_one_that_was_only_slow_is_not_ended(autojump_clock: Any) -> None:
    world = ScriptedWorld(candidates=["a"])
    world.survivor = FakeSurvivor(world, frozen=False)
    world.own_binds_at = trio.current_time() + 4
    async with supervised(world) as supervisor:
        state = await outcome(supervisor)
        assert state.connection is not None
        assert state.connection.owned_child
        assert world.killed == []
        assert world.children == []


# ── old code never stays ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("version", "offered", "replaced"), [("0.3.7", True, True), ("0.3.8", True, False), ("0.3.7", False, False)]
)
async def test_a_daemon_of_an_earlier_launch_that_is_older_than_the_pin_is_drained_and_replaced(
    autojump_clock: Any, version: str, offered: bool, replaced: bool
) -> None:
    world = ScriptedWorld(own="ok", candidates=["new"] if offered else [], scripts={"new": "says_ready"}, pin="v0.3.8")
    world.status = replace(STATUS, version=version)
    world.survivor = FakeSurvivor(world, frozen=False)
    original = world.survivor.stop

    async def stop(grace_s: float = 5.0) -> None:
        await original(grace_s)
        world.own, world.survivor, world.status = "absent", None, STATUS

    world.survivor.stop = stop  # type: ignore[method-assign]  # the test's own in its place
    async with supervised(world) as supervisor:
        connection = (await outcome(supervisor)).connection
        assert connection is not None
        assert connection.owned_child
        assert [child.name for child in world.children] == (["new"] if replaced else [])
        assert connection.daemon_version == ("0.3.8" if offered else "0.3.7")


async def test_a_foreign_daemon_that_is_older_than_the_pin_is_used_as_it_is(autojump_clock: Any) -> None:
    world = ScriptedWorld(own="ok", candidates=["new"], pin="v0.3.8")
    world.status = replace(STATUS, version="0.3.7")
    async with supervised(world) as supervisor:
        connection = (await outcome(supervisor)).connection
        assert connection is not None
        assert not connection.owned_child
        assert world.children == []


async def test_a_shared_daemon_that_appears_later_is_mentioned_once_and_not_adopted(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-3.2, FE-12.20."""
    world = ScriptedWorld(own="ok", folder=tmp_path)
    async with supervised(world) as supervisor:
        first = (await outcome(supervisor)).connection
        await trio.sleep(30)
        assert supervisor.watch.value.notes == ()
        world.shared = "ok"
        (tmp_path / "shared").touch()
        await trio.sleep(60)
        [note] = supervisor.watch.value.notes
        assert "a shared mesh daemon runs at" in note
        assert supervisor.connection is first
