"""Where a daemon comes from when this machine has none: the release at the pin, staged by the bundler (spec 09 §5)."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import trio

import mesh_bundler
from mesh_bundler import Cancelled, EnsureRequest, Refused
from myownllm.errors import AppError
from myownllm.supervisor.binaries import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mesh_bundler import EnsureResult, Notice, Progress


class StagingUnavailableError(AppError):
    """No daemon could be fetched; the text says why and what helps."""


async def stage(
    target: Path,
    pin: str | None,
    report: Callable[[str], None],
    *,
    ensure: Callable[[EnsureRequest], EnsureResult] = mesh_bundler.ensure,
) -> Path:
    """Fetch, verify and stage the pinned daemon into `target`; returns its path. Raises StagingUnavailableError.

    `report` gets one line per step and per tenth of a download, for a person who waits. Cancellation ends the
    download between two chunks; what is in the slot stays.
    """
    if pin is None:
        raise StagingUnavailableError("this build has no `.myownmesh-rev`, so it does not know which release to fetch")
    stopped = threading.Event()
    tell = _Teller(report, f"no mesh daemon on this machine: fetching release {pin}")
    request = EnsureRequest(
        dest=target,
        pin=pin,
        env={k: v for k, v in os.environ.items() if k not in OVERRIDES},  # the supervisor has judged those already
        on_notice=tell.notice,
        on_progress=tell.progress,
        cancelled=stopped.is_set,
    )
    try:
        if not await trio.to_thread.run_sync(_holds_a_daemon, target):
            tell.begin()
        try:
            result = await trio.to_thread.run_sync(ensure, request, abandon_on_cancel=True)
        finally:
            stopped.set()
    except Refused as refusal:
        raise StagingUnavailableError(str(refusal)) from None
    except Cancelled:
        raise StagingUnavailableError("the download was stopped") from None
    if result.outcome not in ("staged", "current"):
        raise StagingUnavailableError(f"the bundler staged nothing ({result.outcome})")
    if result.outcome == "staged":
        report(f"staged daemon {result.version or pin} at {result.slot}")
    return result.slot


def _holds_a_daemon(target: Path) -> bool:
    """Whether something was staged there before; what it is worth, the bundler says."""
    return any(target.glob("myownmesh-*"))


class _Teller:
    """The bundler's callbacks as lines; they come from its thread, the lines are said in ours."""

    def __init__(self, report: Callable[[str], None], opening: str) -> None:
        self._report = report
        self._opening: str | None = opening
        self._tenth = -1

    def begin(self) -> None:
        """Say that a download is coming, once; in trio's thread."""
        opening, self._opening = self._opening, None
        if opening is not None:
            self._report(opening)

    def notice(self, notice: Notice) -> None:
        if notice.level != "note":
            self._say(notice.text)

    def progress(self, progress: Progress) -> None:
        tenth = int((progress.fraction or 0) * 10)
        if progress.finished or tenth > self._tenth:
            self._tenth = tenth
            trio.from_thread.run_sync(self.begin)
            self._say(f"{progress.asset}: {progress.text()}")

    def _say(self, text: str) -> None:
        trio.from_thread.run_sync(self._report, text)
