"""The service under systemd: installed, asked after and taken away by ``systemctl`` (spec 07 §7)."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.files import write_atomically
from myownmesh.background import program
from myownmesh.background.service import UNIT
from myownmesh.background.systemd_unit import LINGER_MARK, unit_text
from myownmesh.background.tools import must

if TYPE_CHECKING:
    from myownmesh.background.service import Service
    from myownmesh.background.tools import Run

SYSTEM_FILE: Final = Path("/etc/systemd/system") / f"{UNIT}.service"
LINGERING: Final = Path("/var/lib/systemd/linger")
"""A file for each user whose services run without a login."""

MANAGER_S: Final = 10.0
"""For a person's service manager, which answers in a second."""
MANAGER_LOOK_S: Final = 0.2


class Systemd:
    """The unit of this machine, or of one person."""

    def __init__(self, run: Run, *, system: bool, home: Path) -> None:
        """`home`: the person's."""
        self._run = run
        self._system = system
        self._scope = () if system else ("--user",)
        self.file = SYSTEM_FILE if system else home / ".config" / "systemd" / "user" / f"{UNIT}.service"
        self.state = Path("/var/lib") / UNIT if system else None
        """Where the system's service keeps its files."""
        self.logs = ("journalctl", *self._scope, "-u", UNIT)
        """What shows its log."""

    @property
    def is_installed(self) -> bool:
        return self.file.is_file()

    def install(self, service: Service, *, replaced: bool = False) -> bool:
        """Write the unit, and have it run now and at every start; False when all of that was so already.

        `replaced`: its program is another one than it was, under the same name.

        Raises `ServiceError`, `OSError`, and `ValueError` for what no unit can hold.
        """
        before = self.file.read_text("utf-8", "replace") if self.is_installed else ""
        lingers = before.startswith(LINGER_MARK) or (not self._system and self._must_linger())
        text = unit_text(service, lingers=lingers)
        if text != before:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.file, text.encode(), mode=0o644)
            must(self._run, "systemctl", *self._scope, "daemon-reload")
        elif not replaced and self.words() == ("enabled", "active"):
            return False
        must(self._run, "systemctl", *self._scope, "enable", "--now", UNIT)
        if before and (replaced or text != before):
            must(self._run, "systemctl", *self._scope, "restart", UNIT)
        return True

    def uninstall(self) -> None:
        """Stop it and leave nothing behind but what the daemon itself keeps. Raises `ServiceError`, `OSError`."""
        lingers = self.file.read_text("utf-8", "replace").startswith(LINGER_MARK)
        must(self._run, "systemctl", *self._scope, "disable", "--now", UNIT)
        self.file.unlink()
        must(self._run, "systemctl", *self._scope, "daemon-reload")
        self._run("systemctl", *self._scope, "reset-failed", UNIT)  # fails when it had never failed
        if lingers:
            self._run("loginctl", "disable-linger", getpass.getuser())
        if self._system:
            program.remove_copy()

    def act(self, verb: str) -> None:
        """``start``, ``stop`` or ``restart``. Raises `ServiceError`."""
        must(self._run, "systemctl", *self._scope, verb, UNIT)

    def words(self) -> tuple[str, str]:
        """Whether it starts by itself, and whether it runs, in systemd's words. Raises `ServiceError`."""
        asked = (self._run("systemctl", *self._scope, question, UNIT) for question in ("is-enabled", "is-active"))
        enabled, active = (ran.out or ran.errors or "unknown" for ran in asked)
        return enabled, active

    def _must_linger(self) -> bool:
        """Have a person's services run without a login, as well as that can be had; True when that is new."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user id that the system has no name for; OSError since Python 3.13
            return False
        if (LINGERING / user).exists() or self._run("loginctl", "enable-linger", user).status:
            return False
        until = time.monotonic() + MANAGER_S
        # Of somebody who is not logged in, this has just started the manager.
        while self._run("systemctl", *self._scope, "show-environment").status and time.monotonic() < until:
            time.sleep(MANAGER_LOOK_S)
        return True
