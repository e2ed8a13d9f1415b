"""The life of the connection to a daemon: attach to one, or start one; notice its loss; come back (spec 08 §3).

States: `down → probing → up`, or `probing → spawning → up`; `up → lost → backoff → probing`; `failed` when nothing can
be started, retried on request and once a minute. Decisions are in `policy`; this file waits and carries them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, assert_never

import trio
from msgspec.structs import replace

from mesh_common.values import Value
from mesh_common.versions import version_meets
from myownllm.beat import beat
from myownllm.errors import AppError
from myownllm.supervisor import policy
from myownllm.supervisor.binaries import Refused
from myownllm.supervisor.spawning import SPAWN_POLL_S, TAIL_LINES, Spawning, SupervisorError, ending, quoted
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mesh_common.answers import StatusAnswer
    from myownllm.membership import DaemonMode
    from myownllm.supervisor.binaries import Candidate
    from myownllm.supervisor.ports import ChildProcess, Ports

BRIEF_S: Final = 2.0
"""A connection that ends sooner is followed by a pause, not by a busy loop."""
BRIEF_PAUSE_S: Final = 0.5

State = Literal["down", "probing", "spawning", "up", "lost", "backoff", "failed"]


class Connection(Value, frozen=True):
    """A daemon that answered. `generation` grows with every new connection and fences all work that hangs on it."""

    generation: int
    mode: DaemonMode
    socket: Path
    owned_child: bool
    daemon_version: str
    device_id: str
    pid: int | None
    binary: Path | None = None
    """the program that this app started, None for a daemon that was there"""
    origin: str = ""
    """why it was that program"""


class SupervisorState(Value, frozen=True):
    state: State
    connection: Connection | None = None
    error: str = ""
    silence: str = ""
    """what is wrong with the connected daemon, which does not answer now"""
    notes: tuple[str, ...] = ()
    """warnings of the present attempt: refused binaries, a daemon of an older layout"""


class Supervisor:
    """Owns at most one daemon process and publishes the present connection."""

    def __init__(self, ports: Ports, *, report: Callable[[str], None] | None = None) -> None:
        self.watch: Watch[SupervisorState] = Watch(SupervisorState("down"))
        self._ports = ports
        self._report = report or (lambda _: None)
        self._generation = 0
        self._child: ChildProcess | None = None
        self._child_program: Candidate | None = None
        self._lost = trio.Event()
        self._stuck = False
        self._was_silent = False
        self._retry = trio.Event()
        self._history = policy.CrashHistory()
        self._up_since = 0.0

    # ── what others call ──────────────────────────────────────────────────────────────────────────────────────────────

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
        """A person asked to try again now; asked while an attempt is under way, that one is followed by another."""
        if self.connection is None:
            self._retry.set()

    async def restart(self) -> Connection:
        """A person asked for a new daemon; returns the connection to it. Raises SupervisorError when it is not ours."""
        connection = self.connection
        if connection is None:
            raise SupervisorError("no mesh daemon is connected; `myownllm daemon retry` tries to start one")
        if not connection.owned_child:
            whose = "belongs to another app" if connection.mode == "shared" else "was started by somebody else"
            raise SupervisorError(f"the mesh daemon at {connection.socket} {whose}; restart it there")
        self.report_stuck(connection.generation)
        state = await self.watch.until(
            lambda s: s.state == "failed" or (s.connection is not None and s.connection is not connection)
        )
        if state.connection is None:
            raise SupervisorError(state.error)
        return state.connection

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

    # ── finding and starting ──────────────────────────────────────────────────────────────────────────────────────────

    async def _establish(self, *, may_spawn: bool = True) -> Connection:
        """Attach to the first daemon that answers, else start one. Raises SupervisorError, HomeError."""
        self._retry = trio.Event()  # what is asked from here on wants more than this attempt
        self._set("probing")
        attached = await self._attach()
        if attached is not None:
            return attached
        if not may_spawn:
            raise SupervisorError("the shared mesh daemon is gone")
        if self._ports.no_start:
            raise SupervisorError(self._ports.no_start)
        self._set("spawning")
        async with self._ports.spawn_lock():
            attached = await self._attach()  # somebody else may have been faster
            if attached is None and await self._end_survivor():
                attached = await self._attach()
            if attached is not None:
                return attached
            spawned = await Spawning(self._ports, self._note, self._report).run()
            self._child, self._child_program = spawned.child, spawned.candidate
            return self._connection("own_llm", self._ports.own_socket, spawned.status)

    async def _attach(self) -> Connection | None:
        for row in self._ports.rows:
            if row.only_if_exists and not row.socket.exists():
                continue
            status = await self._ports.probe(row.socket)
            if status is not None:
                if row.name == "seed-era":
                    self._note(f"using a daemon of an older layout at {row.socket}")
                elif row.name == "own" and self._child is None:
                    await self._take_back(status)
                    if await self._replaces_older(status):
                        return None
                return self._connection(row.mode, row.socket, status)
        return None

    async def _replaces_older(self, status: StatusAnswer) -> bool:
        """Old code never stays: a daemon of an earlier launch that is older than the pin makes way for a newer one.

        It ends as with the app, with a farewell to its peers, and only when there is a program that may take over.
        """
        pin = self._ports.pin
        if self._child is None or pin is None or version_meets(status.version, pin):
            return False
        for candidate in self._ports.candidates():
            version = await self._ports.version_of(candidate)
            if not isinstance(version, Refused) and (candidate.source == "override" or version_meets(version, pin)):
                self._note(f"the mesh daemon of an earlier launch is {status.version}; {candidate.path} replaces it")
                await self._drop_child()
                return True
        return False

    async def _take_back(self, status: StatusAnswer) -> None:
        """A daemon that an earlier launch of this app started is ours again: it ends with this app (FE-3.17)."""
        survivor = await self._ports.survivor() if self._ports.survivor is not None else None
        if survivor is not None and status.pid in (None, survivor.pid):
            self._child, self._child_program = survivor, None

    async def _end_survivor(self) -> bool:
        """A child of an earlier launch that holds the home but answers nobody is ended; True if it answers after all.

        One that was stopped will not answer however long we wait; any other gets as long as a silent child of ours.
        """
        survivor = await self._ports.survivor() if self._ports.survivor is not None else None
        if survivor is None:
            return False
        if not survivor.is_frozen and await self._answers_within(
            self._ports.own_socket, policy.SILENT_CHILD_S, survivor
        ):
            return True
        await survivor.stop()
        self._note(f"ended a mesh daemon of an earlier launch that no longer answered (process {survivor.pid})")
        return False

    def _connection(self, mode: DaemonMode, socket: Path, status: StatusAnswer) -> Connection:
        self._generation += 1
        child_pid = None if self._child is None else self._child.pid
        owned = self._child is not None and socket == self._ports.own_socket
        program = self._child_program if owned else None
        return Connection(
            generation=self._generation,
            mode=mode,
            socket=socket,
            owned_child=owned,
            daemon_version=status.version,
            device_id=status.device_id,
            pid=status.pid if status.pid is not None or not owned else child_pid,
            binary=program.path if program is not None else None,
            origin=program.origin if program is not None else "",
        )

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _publish(self, connection: Connection) -> None:
        self._lost = trio.Event()
        self._up_since = trio.current_time()
        self.watch.set(SupervisorState("up", connection, notes=self.watch.value.notes))

    async def _until_lost(self, connection: Connection) -> None:
        """Return when the connection is lost: reported, the child ended, or it has been silent for too long."""
        child = self._child if connection.owned_child else None
        lost = self._lost
        self._was_silent = False

        async def watch_child(process: ChildProcess) -> None:
            await process.wait()
            lost.set()

        async def watch_silence() -> None:
            await self._silent(connection.socket, is_ours=child is not None)
            self._was_silent = True
            lost.set()

        async with trio.open_nursery() as nursery:
            if child is not None:
                nursery.start_soon(watch_child, child)
                if self._ports.serves is not None and self._child_program is not None:
                    nursery.start_soon(self._ports.serves, child, self._child_program)
            if connection.mode != "shared":
                nursery.start_soon(self._mention_shared)
            nursery.start_soon(watch_silence)
            await lost.wait()
            nursery.cancel_scope.cancel()

    async def _silent(self, socket: Path, *, is_ours: bool) -> None:
        """Return when the daemon has not answered for too long. What is waited for counts, not what a clock says:

        time in which this app itself was stopped or asleep is no silence of the daemon's.
        """
        unanswered, silent_s = 0, 0.0
        while not policy.too_silent(silent_s, is_ours=is_ours):
            if not unanswered:
                await beat(policy.PULSE_S)
            limit_s = policy.patience_s(unanswered)
            trouble = await self._trouble(socket, limit_s)
            if not trouble:
                unanswered, silent_s = 0, 0.0
                self._tell_silence("")
                continue
            unanswered, silent_s = unanswered + 1, silent_s + limit_s
            self._tell_silence(f"the mesh daemon {trouble}")

    async def _trouble(self, socket: Path, limit_s: float) -> str:
        """Why the daemon does not answer for that long; empty as soon as it does.

        What fails at once is tried again, up to the end: a daemon that has lost its socket file makes it anew.
        """
        until = trio.current_time() + limit_s
        while True:
            trouble = await self._ports.silence(socket, max(until - trio.current_time(), policy.RENEWED_S))
            if not trouble or trio.current_time() >= until:
                return trouble
            await trio.sleep(min(policy.RENEWED_S, until - trio.current_time()))

    async def _mention_shared(self) -> None:
        """Say once that a shared daemon has appeared; the choice is for the app's lifetime (FE-3.2, FE-12.20)."""
        shared = [row.socket for row in self._ports.rows if row.mode == "shared"]
        while shared:
            await trio.sleep(policy.SHARED_GLANCE_S)
            if shared[0].exists() and await self._ports.probe(shared[0]) is not None:
                self._note(f"a shared mesh daemon runs at {shared[0]} now; this app keeps its own until it restarts")
                return

    def _tell_silence(self, text: str) -> None:
        if self.watch.value.silence != text:
            self.watch.set(replace(self.watch.value, silence=text))

    async def _recover(self, connection: Connection) -> None:
        """Do what the policy says after a loss; returns when it is time to look for a daemon again."""
        silence = self.watch.value.silence
        self._set("lost", silence or "the connection to the mesh daemon was lost")
        child = self._child if connection.owned_child else None
        if self._stuck:
            self._stuck = False
            await self._drop_child()
            return
        answers = not self._was_silent and await self._ports.probe(connection.socket) is not None
        if child is not None and not answers:
            with trio.move_on_after(0.2):  # a daemon that just died may not be reaped yet
                await child.wait()
        decision = self._decision(connection, child, answers=answers)
        if isinstance(decision, policy.AwaitChild) and child is not None:
            if await self._answers_within(connection.socket, policy.SILENT_CHILD_S, child):
                return
            decision = self._decision(connection, child, answers=False)  # it may have ended meanwhile
        match decision:
            case policy.Reattach() | policy.SearchAnew():
                if trio.current_time() - self._up_since < BRIEF_S:
                    await self._sleep_or_retry(BRIEF_PAUSE_S)
            case policy.RestartNow():
                self._history = replace(self._history, clean_restarts=1)
                await self._drop_child()
            case policy.RestartAfterBackoff() | policy.AwaitChild():
                await self._crashed(child)
            case policy.SearchShared():
                await self._search_shared(connection.socket)
            case _:
                assert_never(decision)

    def _decision(self, connection: Connection, child: ChildProcess | None, *, answers: bool) -> policy.Decision:
        exit_status = None if child is None else child.exit_status
        return policy.after_loss(
            answers=answers,
            mode=connection.mode,
            child="none" if child is None else "alive" if exit_status is None else "exited",
            exit_status=exit_status,
            clean_restarts=self._history.clean_restarts,
            was_silent=self._was_silent,
        )

    async def _answers_within(self, socket: Path, seconds: float, child: ChildProcess) -> bool:
        """False also as soon as the child has ended: one that says farewell closes its connections first."""
        answered = False
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await child.wait()
                nursery.cancel_scope.cancel()

            nursery.cancel_scope.deadline = trio.current_time() + seconds
            nursery.start_soon(watch)
            while await self._ports.probe(socket) is None:  # noqa: ASYNC110 - a probe is the only way to know
                await trio.sleep(SPAWN_POLL_S)
            answered = True
            nursery.cancel_scope.cancel()
        return answered

    async def _search_shared(self, socket: Path) -> None:
        """Give a shared daemon ten seconds to come back before an own one may be started."""
        for search in range(policy.SHARED_SEARCHES):
            left_s = (policy.SHARED_SEARCHES - search) * policy.SHARED_SEARCH_S
            self._set("lost", f"the shared mesh daemon at {socket} is gone; an own one is started in {left_s:.0f} s")
            await trio.sleep(policy.SHARED_SEARCH_S)
            for row in self._ports.rows:
                if await self._ports.probe(row.socket) is not None:
                    return

    async def _crashed(self, child: ChildProcess | None) -> None:
        now = trio.current_time()
        tail = quoted(child.tail(TAIL_LINES)) if child is not None else ""
        how = "ended" if child is None else ending(child.exit_status)
        await self._drop_child(policy.SILENT_GRACE_S if self._was_silent else policy.TERMINATE_GRACE_S)
        self._history = self._history.after_crash(now, self._up_since)
        if self._history.too_many:
            self._history = replace(self._history, recent=())
            text = f"the mesh daemon crashed {policy.CRASH_LIMIT} times within a minute; the last time it {how}{tail}"
            await self._failed(text)
            return
        pause = policy.restart_after_s(self._history.consecutive, was_silent=self._was_silent)
        delay = policy.jittered(pause, self._ports.uniform())
        if delay:
            self._set("backoff", f"the mesh daemon {how}; starting it again in {delay:.1f} s{tail}")
            await self._sleep_or_retry(delay)
        else:
            self._set("lost", f"the mesh daemon {how}; starting it again{tail}")

    async def _drop_child(self, grace_s: float = policy.TERMINATE_GRACE_S) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.stop(grace_s)

    async def _failed(self, text: str) -> None:
        self._set("failed", text)
        await self._sleep_or_retry(policy.RETRY_FAILED_S)

    async def _sleep_or_retry(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._retry.wait()

    def _set(self, state: State, error: str = "") -> None:
        self.watch.set(SupervisorState(state, None, error, notes=() if state == "probing" else self.watch.value.notes))

    def _note(self, text: str) -> None:
        value = self.watch.value
        if text not in value.notes:
            self.watch.set(replace(value, notes=(*value.notes, text)))
