"""The running daemon's side of its updater: answers at once, and looks and swaps in a process of their own.

What fetches and verifies releases (TLS, HTTP, archives: some ten megabytes and a tenth of a second to load) is in use a
minute a week at most, so the daemon starts its own program for it and never loads it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, TypeVar

import msgspec
import trio

from mesh_common.answers import UpdateApplied, UpdateChecked
from myownmesh.updates.errors import UpdateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mesh_common.answers import UpdateStatus
    from myownmesh.store.config import AutoUpdate
    from myownmesh.updates.installation import Installation
    from myownmesh.updates.place import Place

_T = TypeVar("_T")

COMMAND_LIMIT_S = 900.0
"""For one command of the updater, downloads included; each step in it has a limit of its own."""
_MAX_OUTPUT = 64 * 1024
_OURS_ALONE = ("MYOWNMESH_READY_FD", "MYOWNMESH_LIFELINE_FD", "NOTIFY_SOCKET")
"""Ways to whoever started the daemon."""


class Updates:
    """One daemon's updater. `home` is the data directory; `version` what runs."""

    def __init__(self, home: Path, version: str, environ: Mapping[str, str] = os.environ) -> None:
        self._home, self._version, self._environ = home, version, environ
        self.on_progress: Callable[[Mapping[str, object]], None] = lambda _: None
        """Told how far a download is."""
        self.restart_waits_for: str | None = None
        """What keeps a restart that a new version wants from happening now, in words."""

    # A start of the daemon asks for none of this, so what it needs is loaded when somebody does.

    @property
    def installation(self) -> Installation:
        """How this program is installed; it may have become another one's by now."""
        from myownmesh.updates.installation import find

        return find(self._environ)

    @property
    def place(self) -> Place:
        """The updater's files."""
        from myownmesh.updates.place import Place

        return Place(self._home)

    def status(self, preferences: AutoUpdate) -> UpdateStatus:
        """Where the updater stands; reads files."""
        from myownmesh.updates.report import status

        shown = status(self.place, self.installation, preferences, self._environ, self._version)
        return msgspec.structs.replace(shown, restart_waits_for=self.restart_waits_for)

    def next_version(self, preferences: AutoUpdate) -> str | None:
        """What the next start runs by itself, where that is another version than this one; reads files."""
        from myownmesh.updates.decision import newer
        from myownmesh.updates.preferences import is_on

        installation, state, staged = self.installation, self.place.state(), self.place.staged()
        if state is not None and self._version != state.current == installation.version_on_disk():
            return state.current  # a command has put it in, or gone back to it
        if staged is None or not staged.auto or not is_on(preferences, self._environ):
            return None
        refused = installation.managed is not None or (state is not None and state.quarantined(staged.version))
        return staged.version if newer(self._version, staged.version) and not refused else None

    def may_look(self, preferences: AutoUpdate) -> bool:
        """Whether looking for releases by itself has any sense here."""
        from myownmesh.updates.preferences import feed_of, is_on, why_not

        return is_on(preferences, self._environ) and why_not(self.installation, feed_of(preferences)) is None

    async def check(self, preferences: AutoUpdate) -> UpdateChecked:
        """Look for a release, and stage it if that is permitted. Raises `UpdateError`."""
        from myownmesh.updates.preferences import feed_of, is_on, why_not

        if not is_on(preferences, self._environ):
            return UpdateChecked("disabled")
        if (kept := why_not(self.installation, feed_of(preferences))) is not None:
            return UpdateChecked("package_manager", detail=kept)
        return await self._run(UpdateChecked, "check", "--json", "--progress")

    async def apply(self, preferences: AutoUpdate) -> UpdateApplied:
        """Put in what is staged. Raises `UpdateError`."""
        from myownmesh.updates.preferences import feed_of, why_not

        if why_not(self.installation, feed_of(preferences)) is not None or self.place.staged() is None:
            return UpdateApplied(None)
        return await self._run(UpdateApplied, "apply", "--json")

    async def _run(self, answer: type[_T], *words: str) -> _T:
        environ = {name: value for name, value in self._environ.items() if name not in _OURS_ALONE}
        environ["MYOWNMESH_HOME"] = str(self._home)
        process = None
        try:
            with trio.fail_after(COMMAND_LIMIT_S):
                process = await trio.lowlevel.open_process(
                    [sys.executable, "update", *words],
                    executable="/proc/self/exe",  # what runs, also when the file has been replaced meanwhile
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    start_new_session=True,
                )
                heard = _Heard(self.on_progress)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(heard.answer, process)
                    nursery.start_soon(heard.words, process)
                status = await process.wait()
        except OSError as error:
            raise UpdateError(f"cannot start the updater: {error.strerror or error}") from error
        except trio.TooSlowError:
            raise UpdateError(f"the updater was not done after {COMMAND_LIMIT_S:.0f} s") from None
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()  # at once: it was killed
        if status != 0:
            raise UpdateError(heard.last.removeprefix("error: ") or f"the updater ended with {status} and said nothing")
        try:
            return msgspec.json.decode(bytes(heard.data), type=answer)
        except msgspec.DecodeError as error:
            raise UpdateError(f"the updater's answer cannot be read: {error}") from error


class _Heard:
    """What a command of the updater says: its answer, how far it is, and its last words."""

    def __init__(self, on_progress: Callable[[Mapping[str, object]], None]) -> None:
        self.data = bytearray()
        self.last = ""
        self._on_progress = on_progress

    async def answer(self, process: trio.Process) -> None:
        assert process.stdout is not None
        async for chunk in process.stdout:
            self.data += chunk[: _MAX_OUTPUT - len(self.data)]

    async def words(self, process: trio.Process) -> None:
        assert process.stderr is not None
        held = b""
        async for chunk in process.stderr:
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            held = held[-_MAX_OUTPUT:]
        self._line(held)

    def _line(self, line: bytes) -> None:
        if not (text := line.decode("utf-8", "replace").strip()):
            return
        try:
            document = msgspec.json.decode(line)
        except msgspec.DecodeError:
            self.last = text
        else:
            if isinstance(document, dict):
                self._on_progress(document)
