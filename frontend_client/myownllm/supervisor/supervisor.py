"""The life of the connection to a daemon: attach to one, or start one; notice its loss; come back (spec 08 §3).

States: `down → probing → up`, or `probing → spawning → up`; `up → lost → backoff → probing`; `failed` when nothing can
be started, retried on request and once a minute. Decisions are in `policy`; this file waits and carries them out.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, assert_never

import attrs
import trio

from myownllm.errors import AppError
from myownllm.supervisor import policy
from myownllm.supervisor.binaries import Refused, no_binary_text
from myownllm.supervisor.process import LaunchError
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from myownllm.catalog.coerce import JsonObject
    from myownllm.membership import DaemonMode
    from myownllm.supervisor.binaries import Candidate

SPAWN_WAIT_S: Final = 8.0  # FE-3.10
SPAWN_POLL_S: Final = 0.15
HEALTH_PERIOD_S: Final = 30.0
HEALTH_FAILURES: Final = 3
TAIL_LINES: Final = 20
BRIEF_S: Final = 2.0  # a connection that ends sooner is followed by a pause, not by a busy loop
BRIEF_PAUSE_S: Final = 0.5

State = Literal["down", "probing", "spawning", "up", "lost", "backoff", "failed"]


class ChildProcess(Protocol):
    """The part of `process.Child` that the supervisor uses."""

    @property
    def pid(self) -> int: ...
    @property
    def exit_status(self) -> int | None: ...
    def tail(self, lines: int = ..., /) -> list[str]: ...
    async def wait(self) -> int: ...
    async def ready_line(self) -> dict[str, Any]: ...
    async def stop(self) -> None: ...


@attrs.frozen
class Row:
    """One place where a daemon may already listen."""

    name: Literal["shared", "own", "seed-era"]
    mode: DaemonMode
    socket: Path
    only_if_exists: bool = False


@attrs.frozen
class Ports:
    """Everything that the supervisor needs from the world; tests put a scripted world here."""

    rows: Sequence[Row]
    own_socket: Path
    probe: Callable[[Path], Awaitable[JsonObject | None]]
    healthy: Callable[[Path], Awaitable[bool]]
    """the patient probe of a connection that is in use (5 s)"""
    candidates: Callable[[], Sequence[Candidate]]
    version_of: Callable[[Candidate], Awaitable[str | Refused]]
    launch: Callable[[Candidate], Awaitable[ChildProcess]]
    spawn_lock: Callable[[], AbstractAsyncContextManager[None]]
    stage: Callable[[Callable[[str], None]], Awaitable[Candidate]] | None = None
    """get a daemon from the release feed (the bundler); raises AppError that says why not"""
    started: Callable[[ChildProcess], Awaitable[None]] | None = None
    """remember the child on disk (owner.json)"""
    uniform: Callable[[], float] = random.random


@attrs.frozen
class Connection:
    """A daemon that answered. `generation` grows with every new connection and fences all work that hangs on it."""

    generation: int
    mode: DaemonMode
    socket: Path
    owned_child: bool
    daemon_version: str
    device_id: str
    pid: int | None
    binary: Path | None = None


@attrs.frozen
class SupervisorState:
    state: State
    connection: Connection | None = None
    error: str = ""
    notes: tuple[str, ...] = ()
    """warnings of the present attempt: refused binaries, a daemon of an older layout"""


class SupervisorError(AppError):
    """No daemon could be attached to or started."""


class Supervisor:
    """Owns at most one daemon process and publishes the present connection."""

    def __init__(self, ports: Ports, *, report: Callable[[str], None] | None = None) -> None:
        self.watch: Watch[SupervisorState] = Watch(SupervisorState("down"))
        self._ports = ports
        self._report = report or (lambda _: None)
        self._generation = 0
        self._child: ChildProcess | None = None
        self._child_binary: Path | None = None
        self._lost = trio.Event()
        self._stuck = False
        self._retry = trio.Event()
        self._history = policy.CrashHistory()
        self._up_since = 0.0

    # --- what others call -------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection | None:
        return self.watch.value.connection

    def report_lost(self, generation: int) -> None:
        """The event connection of that generation ended; reports about older ones mean nothing."""
        connection = self.connection
        if connection is not None and connection.generation == generation:
            self._lost.set()

    def report_stuck(self, generation: int) -> None:
        """The daemon answers but will never finish an operation; an own one is restarted, another one is left alone."""
        connection = self.connection
        if connection is not None and connection.generation == generation and connection.owned_child:
            self._stuck = True
            self._lost.set()

    def retry(self) -> None:
        """A person asked to try again now."""
        self._retry.set()

    async def run(self) -> None:
        """Keep a daemon connected until cancelled. The own child is ended on the way out."""
        try:
            spawn_after_search = True
            while True:
                try:
                    connection = await self._establish(may_spawn=spawn_after_search)
                except AppError as error:
                    await self._failed(str(error))
                    continue
                self._publish(connection)
                await self._until_lost(connection)
                await self._recover(connection)
        finally:
            child, self._child = self._child, None
            if child is not None:
                await child.stop()
            self.watch.set(SupervisorState("down"))

    # --- finding and starting ---------------------------------------------------------------------------------------

    async def _establish(self, *, may_spawn: bool = True) -> Connection:
        """Attach to the first daemon that answers, else start one. Raises SupervisorError, HomeError."""
        self._set("probing")
        attached = await self._attach()
        if attached is not None:
            return attached
        if not may_spawn:
            raise SupervisorError("the shared mesh daemon is gone")
        self._set("spawning")
        async with self._ports.spawn_lock():
            attached = await self._attach()  # somebody else may have been faster
            return attached if attached is not None else await self._spawn()

    async def _attach(self) -> Connection | None:
        for row in self._ports.rows:
            if row.only_if_exists and not row.socket.exists():
                continue
            status = await self._ports.probe(row.socket)
            if status is not None:
                if row.name == "seed-era":
                    self._note(f"using a daemon of an older layout at {row.socket}")
                return self._connection(row.mode, row.socket, status)
        return None

    async def _spawn(self) -> Connection:
        refused: list[Refused] = []
        attempts: list[str] = []
        for candidate in self._ports.candidates():
            connection = await self._try_candidate(candidate, refused, attempts)
            if connection is not None:
                return connection
        staging: str | None = None
        if self._ports.stage is not None and not attempts:
            try:
                staged = await self._ports.stage(self._report)
            except AppError as error:
                staging = str(error)
            else:
                connection = await self._try_candidate(staged, refused, attempts)
                if connection is not None:
                    return connection
        if attempts:
            raise SupervisorError("no mesh daemon could be started:\n  " + "\n  ".join(attempts))
        raise SupervisorError(no_binary_text(refused, staging))

    async def _try_candidate(
        self, candidate: Candidate, refused: list[Refused], attempts: list[str]
    ) -> Connection | None:
        version = await self._ports.version_of(candidate)
        if isinstance(version, Refused):
            refused.append(version)
            self._note(f"not using {candidate.path} ({candidate.origin}): it {version.reason}")
            return None
        try:
            child = await self._ports.launch(candidate)
        except LaunchError as error:
            attempts.append(str(error))
            return None
        self._child, self._child_binary = child, candidate.path
        try:
            status = await self._await_ready(child, candidate)
        except SupervisorError as error:
            attempts.append(str(error))
            status = None
        if status is None:
            self._child = None
            await child.stop()
            return None
        if self._ports.started is not None:
            await self._ports.started(child)
        return self._connection("own_llm", self._ports.own_socket, status)

    async def _await_ready(self, child: ChildProcess, candidate: Candidate) -> JsonObject:
        """Wait for the socket: a ready line, a good poll, an early end, or eight seconds (FE-3.10, FE-3.11)."""
        told: dict[str, Any] = {}
        wake = trio.Event()

        async def hear() -> None:
            told.update(await child.ready_line())
            wake.set()

        async def watch_exit() -> None:
            await child.wait()
            wake.set()

        deadline = trio.current_time() + SPAWN_WAIT_S
        problem = f"{candidate.path} spawned but the control socket never opened ({self._ports.own_socket})"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            nursery.start_soon(watch_exit)
            try:
                while trio.current_time() < deadline:
                    with trio.move_on_after(SPAWN_POLL_S):
                        await wake.wait()
                    if child.exit_status is not None or told.get("ready") is False:
                        problem = self._early_exit_text(child, candidate, told)
                        break
                    status = await self._ports.probe(self._ports.own_socket)
                    if status is not None:
                        return status
                    if wake.is_set():  # it says ready, but does not answer yet: poll on
                        wake = trio.Event()
            finally:
                nursery.cancel_scope.cancel()
        raise SupervisorError(problem + ("" if told.get("ready") is False else _quoted(child.tail(TAIL_LINES))))

    @staticmethod
    def _early_exit_text(child: ChildProcess, candidate: Candidate, told: dict[str, Any]) -> str:
        if told.get("ready") is False:
            return f"{candidate.path} could not start: {told.get('error', 'no reason given')}"
        return f"{candidate.path} {_ending(child.exit_status)} before its control socket opened"

    def _connection(self, mode: DaemonMode, socket: Path, status: JsonObject) -> Connection:
        self._generation += 1
        pid = status.get("pid")
        owned = self._child is not None and socket == self._ports.own_socket
        return Connection(
            generation=self._generation,
            mode=mode,
            socket=socket,
            owned_child=owned,
            daemon_version=str(status.get("version", "")),
            device_id=str(status.get("device_id", "")),
            pid=pid if isinstance(pid, int) else self._child.pid if owned and self._child is not None else None,
            binary=self._child_binary if owned else None,
        )

    # --- watching ---------------------------------------------------------------------------------------------------

    def _publish(self, connection: Connection) -> None:
        self._lost = trio.Event()
        self._up_since = trio.current_time()
        self.watch.set(SupervisorState("up", connection, notes=self.watch.value.notes))

    async def _until_lost(self, connection: Connection) -> None:
        """Return when the connection is lost: reported, the child ended, or three health checks failed."""
        child = self._child if connection.owned_child else None
        lost = self._lost

        async def watch_child(process: ChildProcess) -> None:
            await process.wait()
            lost.set()

        async def watch_health() -> None:
            failures = 0
            while True:
                await trio.sleep(HEALTH_PERIOD_S)
                failures = 0 if await self._ports.healthy(connection.socket) else failures + 1
                if failures >= HEALTH_FAILURES:
                    lost.set()
                    return

        async with trio.open_nursery() as nursery:
            if child is not None:
                nursery.start_soon(watch_child, child)
            nursery.start_soon(watch_health)
            await lost.wait()
            nursery.cancel_scope.cancel()

    async def _recover(self, connection: Connection) -> None:
        """Do what the policy says after a loss; returns when it is time to look for a daemon again."""
        self._set("lost")
        child = self._child if connection.owned_child else None
        if self._stuck:
            self._stuck = False
            await self._drop_child()
            return
        answers = await self._ports.probe(connection.socket) is not None
        if child is not None and not answers:
            with trio.move_on_after(0.2):  # a daemon that just died may not be reaped yet
                await child.wait()
        exit_status = None if child is None else child.exit_status
        decision = policy.after_loss(
            answers=answers,
            mode=connection.mode,
            child="none" if child is None else "alive" if exit_status is None else "exited",
            exit_status=exit_status,
            clean_restarts=self._history.clean_restarts,
        )
        match decision:
            case policy.Reattach() | policy.SearchAnew():
                if trio.current_time() - self._up_since < BRIEF_S:
                    await self._sleep_or_retry(BRIEF_PAUSE_S)
            case policy.RestartNow():
                self._history = attrs.evolve(self._history, clean_restarts=1)
                await self._drop_child()
            case policy.RestartAfterBackoff():
                await self._crashed(child)
            case policy.AwaitChild():
                if not await self._answers_within(connection.socket, policy.SILENT_CHILD_S):
                    await self._crashed(child)
            case policy.SearchShared():
                await self._search_shared()
            case _:
                assert_never(decision)

    async def _answers_within(self, socket: Path, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            while await self._ports.probe(socket) is None:  # noqa: ASYNC110 - a probe is the only way to know
                await trio.sleep(SPAWN_POLL_S)
            return True
        return False

    async def _search_shared(self) -> None:
        """Give a shared daemon ten seconds to come back before an own one may be started."""
        for _ in range(policy.SHARED_SEARCHES):
            await trio.sleep(policy.SHARED_SEARCH_S)
            for row in self._ports.rows:
                if await self._ports.probe(row.socket) is not None:
                    return

    async def _crashed(self, child: ChildProcess | None) -> None:
        now = trio.current_time()
        tail = _quoted(child.tail(TAIL_LINES)) if child is not None else ""
        how = "ended" if child is None else _ending(child.exit_status)
        await self._drop_child()
        self._history = self._history.after_crash(now, self._up_since)
        if self._history.too_many:
            self._history = attrs.evolve(self._history, recent=())
            text = f"the mesh daemon crashed {policy.CRASH_LIMIT} times within a minute; the last time it {how}{tail}"
            await self._failed(text)
            return
        delay = policy.jittered(policy.backoff_s(self._history.consecutive), self._ports.uniform())
        self._set("backoff", f"the mesh daemon {how}; starting it again in {delay:.1f} s{tail}")
        await self._sleep_or_retry(delay)

    async def _drop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    async def _failed(self, text: str) -> None:
        self._set("failed", text)
        await self._sleep_or_retry(policy.RETRY_FAILED_S)

    async def _sleep_or_retry(self, seconds: float) -> None:
        self._retry = trio.Event()
        with trio.move_on_after(seconds):
            await self._retry.wait()

    def _set(self, state: State, error: str = "") -> None:
        self.watch.set(SupervisorState(state, None, error, () if state == "probing" else self.watch.value.notes))

    def _note(self, text: str) -> None:
        value = self.watch.value
        if text not in value.notes:
            self.watch.set(attrs.evolve(value, notes=(*value.notes, text)))


def _ending(status: int | None) -> str:
    """How a process ended, for a sentence; None is one that lives and does not answer."""
    if status is None:
        return "no longer answers"
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"


def _quoted(lines: Sequence[str]) -> str:
    return "; it said last:\n    " + "\n    ".join(lines) if lines else ""
