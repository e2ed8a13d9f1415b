"""Asking a program for its version before it may become the daemon: bounded, isolated, cached (spec 09 §3.2).

A run costs a start as much as a tenth of it. So what the daemon of the last launch said is kept on disk beside facts
of its file, and holds until the file is another one, its start fails, or the daemon itself says something else.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from mesh_common.probe import probe
from mesh_common.readable import readable
from mesh_common.semver import SemVer
from mesh_common.values import Value
from mesh_common.versions import Reported, Unreadable
from myownllm.files import read_json, write_durably
from myownllm.supervisor import binaries

if TYPE_CHECKING:
    from pathlib import Path

PROBE_TIMEOUT_S: Final = 5.0
"""A person waits for the app."""


class _Asked(Value, frozen=True):
    """What a file said of itself, and the facts by which it is told from another one of its name."""

    path: str
    size: int
    modified_ns: int
    changed_ns: int
    """not for anybody to set, unlike the other"""
    version: str = ""
    commits: tuple[str, ...] = ()


class Inspector:
    """Reads versions of candidates; the same unchanged file is run once, by all launches that share the `kept` file.

    One that was refused is asked again: what it lacked may have been installed beside it since.
    """

    def __init__(self, pin: str | None, kept: Path | None = None) -> None:
        self._pin = pin
        self._kept = kept
        self._known: dict[_Asked, Reported | None] = {}
        """by the file's facts; None for an override that cannot be read"""
        self._heard: dict[_Asked, Reported] = {}
        """of earlier launches, as it stands on disk"""
        self._is_loaded = False

    async def version_of(self, candidate: binaries.Candidate) -> str | binaries.Refused:
        """The version of a candidate that may be started, or why it may not."""
        problem = binaries.file_problem(candidate.path)
        if problem is not None:
            return binaries.Refused(candidate, problem)
        facts = _facts(candidate.path)
        if facts in self._known:
            reading = self._known[facts]
            return self._judged(candidate, reading) if reading is not None else "unknown"
        self._load()
        if (heard := self._heard.get(facts)) is not None:
            return self._judged(candidate, heard)
        return await self._ask(candidate, facts)

    async def doubt(self, candidate: binaries.Candidate) -> str | binaries.Refused | None:
        """Ask again what an earlier launch was told, for it seems to be wrong; None when this launch has asked."""
        try:
            facts = _facts(candidate.path)
        except OSError:
            return None
        if self._heard.pop(facts, None) is None:
            return None
        return await self._ask(candidate, facts)

    def keep(self, candidate: binaries.Candidate) -> None:
        """Spare the next launch the question about this one, which serves. Blocking, and quiet about a full disk."""
        with contextlib.suppress(OSError):
            facts = _facts(candidate.path)
            reading = self._known.get(facts)
            if self._kept is not None and reading is not None:
                asked = msgspec.structs.replace(facts, version=str(reading.version), commits=reading.commits)
                write_durably(self._kept, msgspec.json.encode(asked))

    def _load(self) -> None:
        if self._is_loaded or self._kept is None:
            return
        self._is_loaded = True
        try:
            asked = msgspec.convert(read_json(self._kept), _Asked)
        except msgspec.ValidationError:
            return
        version = SemVer.parse(asked.version)
        if version is not None:
            facts = msgspec.structs.replace(asked, version="", commits=())
            self._heard[facts] = Reported(version, asked.commits)

    async def _ask(self, candidate: binaries.Candidate, facts: _Asked) -> str | binaries.Refused:
        ask = partial(probe, candidate.path, timeout=PROBE_TIMEOUT_S, checkpoint=trio.from_thread.check_cancelled)
        reading = await trio.to_thread.run_sync(ask)
        if isinstance(reading, Unreadable):
            if candidate.source == "override":
                self._known[facts] = None
                return "unknown"  # an override is somebody's decision; it is not compared, so it need not be readable
            return binaries.Refused(candidate, binaries.unreadable_text(candidate, reading))
        judged = self._judged(candidate, reading)
        if not isinstance(judged, binaries.Refused):
            self._known[facts] = reading
        return judged

    def _judged(self, candidate: binaries.Candidate, reading: Reported) -> str | binaries.Refused:
        problem = binaries.version_problem(candidate, reading, self._pin)
        return str(reading.version) if problem is None else binaries.Refused(candidate, problem)


def _facts(path: Path) -> _Asked:
    """Raises OSError."""
    facts = path.stat()
    return _Asked(readable(str(path)), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
