"""Asking a program for its version before it may become the daemon: bounded, isolated, cached (spec 09 §3.2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.probe import probe
from mesh_common.versions import Unreadable
from myownllm.supervisor import binaries

if TYPE_CHECKING:
    from pathlib import Path

PROBE_TIMEOUT_S: Final = 5.0
"""A person waits for the app."""


class Inspector:
    """Reads versions of candidates; the same unchanged file is run once.

    One that was refused is asked again: what it lacked may have been installed beside it since.
    """

    def __init__(self, pin: str | None) -> None:
        self._pin = pin
        self._known: dict[tuple[Path, int, int], str] = {}

    async def version_of(self, candidate: binaries.Candidate) -> str | binaries.Refused:
        """The version of a candidate that may be started, or why it may not."""
        problem = binaries.file_problem(candidate.path)
        if problem is not None:
            return binaries.Refused(candidate, problem)
        facts = candidate.path.stat()
        key = (candidate.path, facts.st_size, facts.st_mtime_ns)
        known = self._known.get(key)
        if known is not None:
            return known
        read = await self._read(candidate)
        if not isinstance(read, binaries.Refused):
            self._known[key] = read
        return read

    async def _read(self, candidate: binaries.Candidate) -> str | binaries.Refused:
        ask = partial(probe, candidate.path, timeout=PROBE_TIMEOUT_S, checkpoint=trio.from_thread.check_cancelled)
        reading = await trio.to_thread.run_sync(ask)
        if isinstance(reading, Unreadable):
            if candidate.source == "override":
                return "unknown"  # an override is somebody's decision; it is not compared, so it need not be readable
            return binaries.Refused(candidate, binaries.unreadable_text(candidate, reading))
        problem = binaries.version_problem(candidate, reading, self._pin)
        return str(reading.version) if problem is None else binaries.Refused(candidate, problem)
