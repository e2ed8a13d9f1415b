"""Starting an own daemon: one candidate after the other, until one of them answers (spec 08 §3.3, §3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from mesh_common.values import Value
from myownllm.errors import AppError
from myownllm.supervisor.binaries import Refused, no_binary_text
from myownllm.supervisor.ports import ReadyLine
from myownllm.supervisor.process import LaunchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh_common.answers import StatusAnswer
    from myownllm.supervisor.binaries import Candidate
    from myownllm.supervisor.ports import Ports, Started

SPAWN_WAIT_S: Final = 8.0
"""Seconds for a new daemon to open its socket (FE-3.10)."""
SPAWN_WAIT_MAX_S: Final = 30.0
"""For one that is still at work then: on a machine that is busy or slow each further attempt would end there, too."""
WORK_GLANCE_S: Final = 2.0
AT_WORK_S: Final = 0.05
"""Of processor time, had or stood in line for, between two glances; a loop that waits for something uses less."""
SPAWN_POLL_S: Final = 0.15
TAIL_LINES: Final = 20
SHOWN_CHARS: Final = 300
"""Of each line: twenty of them are a screen, and never more than a few kilobytes."""


class SupervisorError(AppError):
    """No daemon could be attached to or started."""


class _CannotServeError(SupervisorError):
    """The program says that it could not serve in any home: it is no candidate, and the next one is tried."""


class _CannotStartHereError(SupervisorError):
    """The program says what keeps it from serving in this home: another program would not help."""


class Spawned(Value, frozen=True):
    """A daemon that was started and answers."""

    child: Started
    candidate: Candidate
    status: StatusAnswer


@attrs.define
class Spawning:
    """One attempt to start a daemon. `note` is told of each refused candidate, `report` of a download's progress."""

    _ports: Ports
    _note: Callable[[str], None]
    _report: Callable[[str], None]
    _refused: list[Refused] = attrs.field(init=False, factory=list)
    _attempts: list[str] = attrs.field(init=False, factory=list)
    _is_home_at_fault: bool = attrs.field(init=False, default=False)

    async def run(self) -> Spawned:
        """Raises SupervisorError that names everything that was tried; no child of a failed try is left behind."""
        for candidate in self._ports.candidates():
            spawned = await self._try(candidate)
            if spawned is not None:
                return spawned
        staging: str | None = None
        if self._ports.stage is not None and not self._is_home_at_fault:
            try:
                staged = await self._ports.stage(self._report)
            except AppError as error:
                staging = str(error)
            else:
                spawned = await self._try(staged)
                if spawned is not None:
                    return spawned
        if self._attempts:
            tried = [*self._attempts, f"download: {staging}"] if staging else self._attempts
            raise SupervisorError("no mesh daemon could be started:\n  " + "\n  ".join(tried))
        raise SupervisorError(no_binary_text(self._refused, staging))

    async def _try(self, candidate: Candidate) -> Spawned | None:
        version = await self._ports.version_of(candidate)
        if isinstance(version, Refused):
            self._refuse(version)
            return None
        try:
            child = await self._ports.launch(candidate)
        except LaunchError as error:
            refused = await self._doubted(candidate)
            if refused is None:
                self._fail(candidate, str(error))
            else:
                self._refuse(refused)
            return None
        try:
            if self._ports.started is not None:  # it may have to be ended by the next launch before it ever answers
                await self._ports.started(child)
            status = await self._await_ready(child, candidate)
            refused = await self._doubted(candidate) if status.version != version else None
        except SupervisorError as error:
            self._is_home_at_fault |= isinstance(error, _CannotStartHereError)
            refused = await self._doubted(candidate)
            if refused is None and isinstance(error, _CannotServeError):
                refused = Refused(candidate, f"cannot serve: {error}")
            if refused is None:
                self._fail(candidate, str(error))
            else:
                self._refuse(refused)
            await child.stop()
            return None
        except BaseException:
            await child.stop()
            raise
        if refused is not None:
            self._refuse(refused)
            await child.stop()
            return None
        return Spawned(child, candidate, status)

    async def _doubted(self, candidate: Candidate) -> Refused | None:
        """Why it should not have been started: an earlier launch was told another version than it would tell now."""
        said = await self._ports.doubt(candidate) if self._ports.doubt is not None else None
        return said if isinstance(said, Refused) else None

    def _fail(self, candidate: Candidate, why: str) -> None:
        """Another program is used only after it was said that this one was not: somebody may have chosen it."""
        self._attempts.append(why)
        self._note(f"not using {candidate.path} ({candidate.origin}): {why.partition('; it said last:')[0]}")

    def _refuse(self, refused: Refused) -> None:
        self._refused.append(refused)
        self._note(f"not using {refused.candidate.path} ({refused.candidate.origin}): it {refused.reason}")

    async def _await_ready(self, child: Started, candidate: Candidate) -> StatusAnswer:
        """Wait for the socket: a ready line, a good poll, an early end, or eight seconds (FE-3.10, FE-3.11).

        While it still loads, which its processor time shows, it has more.
        """
        told = ReadyLine()
        wake = trio.Event()

        async def hear() -> None:
            nonlocal told
            told = await child.ready_line()
            wake.set()

        async def watch_exit() -> None:
            await child.wait()
            wake.set()

        began, worked_s = trio.current_time(), 0.0
        deadline = began + SPAWN_WAIT_S
        problem = f"{candidate.path} spawned but the control socket never opened ({self._ports.own_socket})"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            nursery.start_soon(watch_exit)
            try:
                while trio.current_time() < deadline:
                    with trio.move_on_after(SPAWN_POLL_S):
                        await wake.wait()
                    if child.exit_status is not None or told.has_failed:
                        problem = _early_exit_text(child, candidate, told)
                        break
                    status = await self._ports.probe(self._ports.own_socket)
                    if status is not None:
                        return status
                    if wake.is_set():  # it says ready, but does not answer yet: poll on
                        wake = trio.Event()
                    if trio.current_time() >= deadline and self._ports.worked_s is not None:
                        before, worked_s = worked_s, self._ports.worked_s(child.pid)
                        if worked_s - before >= AT_WORK_S:
                            deadline = min(deadline + WORK_GLANCE_S, began + SPAWN_WAIT_MAX_S)
            finally:
                nursery.cancel_scope.cancel()
        if told.cannot_serve:
            raise _CannotServeError(told.error)
        if told.has_failed:
            raise _CannotStartHereError(problem)
        raise SupervisorError(problem + quoted(child.tail(TAIL_LINES)))


def _early_exit_text(child: Started, candidate: Candidate, told: ReadyLine) -> str:
    if told.has_failed:
        return f"{candidate.path} could not start: {shortened(told.error)}"
    return f"{candidate.path} {ending(child.exit_status)} before its control socket opened"


def ending(status: int | None) -> str:
    """How a process ended, for a sentence; None is one that lives and does not answer."""
    if status is None:
        return "no longer answers"
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"


def quoted(lines: Sequence[str]) -> str:
    """What it printed last, for the end of a sentence."""
    return "; it said last:\n    " + "\n    ".join(map(shortened, lines)) if lines else ""


def shortened(text: str) -> str:
    """A line for a screen: what is longer stands in the daemon's log."""
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
