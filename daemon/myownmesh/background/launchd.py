"""The service under launchd: installed, asked after and taken away by ``launchctl`` (spec 07 §7)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.files import write_atomically
from myownmesh.background import program
from myownmesh.background.launchd_plist import EXIT_S, plist
from myownmesh.background.service import LABEL, UNIT
from myownmesh.background.tools import ServiceError, must

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.background.service import Service
    from myownmesh.background.tools import Run

END_S: Final = EXIT_S + 5.0
"""launchd kills what has not ended by itself in `EXIT_S`."""
LOOK_S: Final = 0.2


class Launchd:
    """The job of this machine, or of one person."""

    def __init__(self, run: Run, *, system: bool, home: Path, root: Path = Path("/")) -> None:
        """`home`: the person's; `root`: of the machine."""
        self._run = run
        self._system = system
        library = root / "Library" if system else home / "Library"
        self.file = library / ("LaunchDaemons" if system else "LaunchAgents") / f"{LABEL}.plist"
        self.state = library / "Application Support" / "MyOwnMesh" if system else None
        self._log = library / "Logs" / f"{UNIT}.log"
        self.logs = ("tail", "-n", "100", str(self._log))

    @property
    def is_installed(self) -> bool:
        return self.file.is_file()

    def install(self, service: Service, *, replaced: bool = False) -> bool:
        """Write the job and load it; False when all of that was so already. Raises `ServiceError`, `OSError`.

        `replaced`: its program is another one than it was, under the same name.
        """
        before = self.file.read_bytes() if self.is_installed else b""
        text = plist(service, self._log)
        if not replaced and text == before and self.words()[0] == "loaded":
            return False
        if before:
            self._run("launchctl", "unload", "-w", str(self.file))  # fails when it is not loaded
            self._until(lambda: self.words()[0] == "not loaded")
        for folder in (self.file.parent, self._log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if self.state is not None:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.file, text, mode=0o644)
        ran = self._run("launchctl", "load", "-w", str(self.file))
        if ran.status or self.words()[0] == "not loaded":  # it ends well, too, when it could not load a job
            raise ServiceError(f"`launchctl load -w {self.file}`: {ran.errors or ran.out or 'it was not loaded'}")
        return True

    def uninstall(self) -> None:
        """Stop it and leave nothing behind but what the daemon itself keeps. Raises `ServiceError`, `OSError`."""
        must(self._run, "launchctl", "unload", "-w", str(self.file))
        self.file.unlink()
        self._log.unlink(missing_ok=True)
        if self._system:
            program.remove_copy()

    def act(self, verb: str) -> None:
        """``start``, ``stop`` or ``restart``. Raises `ServiceError`."""
        if verb == "restart":
            must(self._run, "launchctl", "stop", LABEL)
            # Started while it says its farewell it would be no news to launchd, and then it would stay down.
            self._until(lambda: self.words()[1] == "stopped")
            verb = "start"
        must(self._run, "launchctl", verb, LABEL)

    def words(self) -> tuple[str, str]:
        """Whether it starts by itself, and whether it runs. Raises `ServiceError`."""
        listed = self._run("launchctl", "list", LABEL)
        if listed.status:
            return "not loaded", "stopped"
        return "loaded", "running" if '"PID" =' in listed.out else "stopped"

    @staticmethod
    def _until(is_so: Callable[[], bool]) -> None:
        """Wait for what `launchctl` has only asked for. What does not come to pass the next command tells."""
        until = time.monotonic() + END_S
        while not is_so() and time.monotonic() < until:
            time.sleep(LOOK_S)
