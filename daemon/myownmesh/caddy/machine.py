"""How this machine installs Caddy, runs it, and tells it of a new Caddyfile (spec 06 §10)."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from myownmesh.caddy.tools import CaddyError, TimedOut, must

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.caddy.tools import Run

MODULE: Final = "github.com/mholt/caddy-l4@v0.1.2"
LINUX_FILE: Final = Path("/etc/caddy/Caddyfile")
_BREW_FILES: Final = (Path("/opt/homebrew/etc/Caddyfile"), Path("/usr/local/etc/Caddyfile"))
SYSTEMD: Final = Path("/run/systemd/system")
"""There while systemd runs the machine."""

INSTALL_S: Final = 900.0
"""A package manager fetches its lists and Caddy over a slow line, or waits for another one."""
RELOAD_S: Final = 15.0
"""A connection through layer 4 can keep a reload for ever (06 §12 rule 12)."""
RESTART_S: Final = 30.0
_ADMIN_S: Final = 2.0
_DEFAULT_ADMIN: Final = "localhost:2019"

_APT_KEY: Final = "https://dl.cloudsmith.io/public/caddy/stable/gpg.key"
_APT_LIST: Final = "https://dl.cloudsmith.io/public/caddy/stable/debian.deb.txt"
_KEYRING: Final = "/usr/share/keyrings/caddy-stable-archive-keyring.gpg"
_APT: Final = ("apt-get", "-y", "-o", "DPkg::Lock::Timeout=120")
MANAGERS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "brew": (("brew", "install", "caddy"),),
    "pacman": (("pacman", "-S", "--noconfirm", "--needed", "caddy"),),
    "dnf": (("dnf", "install", "-y", "caddy"),),
    "zypper": (("zypper", "--non-interactive", "install", "caddy"),),
    "apt-get": (
        (*_APT, "update"),
        (*_APT, "install", "ca-certificates", "curl", "gpg"),
        ("curl", "-1sSLf", "-o", "/etc/apt/caddy-stable.asc", _APT_KEY),
        ("gpg", "--batch", "--yes", "--dearmor", "-o", _KEYRING, "/etc/apt/caddy-stable.asc"),
        ("rm", "-f", "/etc/apt/caddy-stable.asc"),
        ("curl", "-1sSLf", "-o", "/etc/apt/sources.list.d/caddy-stable.list", _APT_LIST),
        (*_APT, "update"),
        (*_APT, "install", "caddy"),
    ),
}
"""What each package manager is told, in the order in which they are looked for. Debian's own Caddy is years behind and
can take no module, so apt gets Caddy's repository."""

Kind = Literal["systemd", "brew", "plain"]


def default_file(run: Run) -> Path:
    """Where Caddy's file is on this machine: the first that exists, else where it would be."""
    if sys.platform != "darwin":
        return LINUX_FILE
    places = list(_BREW_FILES)
    if run.finds("brew") is not None:
        prefix = run("brew", "--prefix")
        if prefix.status == 0 and prefix.out.startswith("/"):
            places.insert(0, Path(prefix.out) / "etc" / "Caddyfile")
    return next((place for place in places if place.exists()), places[0])


def manager(run: Run) -> str | None:
    """The package manager of this machine."""
    return next((name for name in MANAGERS if run.finds(name) is not None), None)


class Machine:
    """One Caddy: its program, and whoever runs it. Methods raise `CaddyError`."""

    def __init__(self, run: Run, file: Path) -> None:
        self._run = run
        self.file = file

    @property
    def program(self) -> str | None:
        """Where Caddy is; None before it is installed."""
        return self._run.finds("caddy")

    @property
    def kind(self) -> Kind:
        """Who runs it: the system's service has the file of the system, another file has a Caddy of its own."""
        if self.file == LINUX_FILE and SYSTEMD.is_dir() and self._run("systemctl", "cat", "caddy").status == 0:
            return "systemd"
        if sys.platform == "darwin" and self._run.finds("brew") is not None and self.file == default_file(self._run):
            return "brew"
        return "plain"

    def version(self) -> str:
        """As it calls itself."""
        return must(self._run, "caddy", "version")

    def install(self, manager_name: str) -> None:
        """By the system's package manager."""
        for command in MANAGERS[manager_name]:
            must(self._run, *command, limit_s=INSTALL_S)
        if self.program is None:
            raise CaddyError(f"{manager_name} ended well, and there is still no caddy on the PATH")

    def has_module(self) -> bool:
        """Whether it can take TURN's connections apart by name."""
        return "layer4" in must(self._run, "caddy", "list-modules").split()

    def add_module(self) -> None:
        """Replace the program by one with the module. systemd's Caddy is stopped meanwhile, and started anyway."""
        stopped = self.kind == "systemd" and self.runs()
        if stopped:
            must(self._run, "systemctl", "stop", "caddy", limit_s=RESTART_S)
        try:
            must(self._run, "caddy", "add-package", MODULE, "--keep-backup", limit_s=INSTALL_S)
            if not self.has_module():
                raise CaddyError("`caddy add-package` ended well, and the module layer4 is not there")
        finally:
            if stopped:
                must(self._run, "systemctl", "start", "caddy", limit_s=RESTART_S)

    def validate(self, candidate: Path) -> None:
        """Have Caddy try a file without serving it."""
        must(self._run, "caddy", "validate", *_as_config(candidate))

    def runs(self) -> bool:
        """Whether Caddy serves this file, or an earlier one at its place."""
        match self.kind:
            case "systemd":
                return self._run("systemctl", "is-active", "--quiet", "caddy").status == 0
            case "brew":
                return "started" in must(self._run, "brew", "services", "info", "caddy", "--json")
            case "plain":
                return self.program is not None and self.file.exists() and self._answers()

    def apply(self, *, running: bool, anew: bool) -> str:
        """Have Caddy serve the file, and return how. Bounded whatever Caddy does.

        `running`: it did before the file was replaced. `anew`: only a new process will do.
        """
        kind = self.kind
        if kind == "systemd":
            must(self._run, "systemctl", "enable", "caddy", limit_s=RESTART_S)
        if kind == "brew":
            must(self._run, "brew", "services", "restart", "caddy", limit_s=RESTART_S)
            return "restarted"
        if not running:
            self.start()
            return "started"
        if not anew:
            try:
                self._reload()
            except TimedOut:
                if kind == "systemd":
                    self._run("systemctl", "kill", "--kill-who=control", "--signal=KILL", "caddy")
            else:
                return "reloaded"
        self._restart()
        return "restarted"

    def start(self) -> None:
        """Have it serve the file, where it runs no more."""
        match self.kind:
            case "systemd":
                must(self._run, "systemctl", "start", "caddy", limit_s=RESTART_S)
            case "brew":
                must(self._run, "brew", "services", "start", "caddy", limit_s=RESTART_S)
            case "plain":
                must(self._run, "caddy", "start", *_as_config(self.file), limit_s=RESTART_S)

    def _restart(self) -> None:
        if self.kind == "systemd":
            must(self._run, "systemctl", "restart", "caddy", limit_s=RESTART_S)
            return
        must(self._run, "caddy", "stop", *_as_config(self.file), limit_s=RESTART_S)
        self.start()

    def _reload(self) -> None:
        if self.kind == "systemd":
            must(self._run, "systemctl", "reload", "caddy", limit_s=RELOAD_S)
        else:
            must(self._run, "caddy", "reload", *_as_config(self.file), limit_s=RELOAD_S)

    def _answers(self) -> bool:
        adapted = self._run("caddy", "adapt", *_as_config(self.file))
        return adapted.status == 0 and _listens(admin_address(adapted.out))


def admin_address(adapted: str) -> str | tuple[str, int]:
    """Where a Caddy with this configuration takes orders: a socket file, or host and port.

    `adapted` is what `caddy adapt` said, warnings and all. Raises `CaddyError` for an address that is none.
    """
    listen = _DEFAULT_ADMIN
    for line in adapted.splitlines():
        if line.startswith("{") and not line.startswith('{"level"'):
            admin = json.loads(line).get("admin", {})
            listen = admin.get("listen") or listen
    if listen.startswith("unix/"):
        return str(listen.removeprefix("unix/").partition("|")[0])
    host, _, port = listen.removeprefix("tcp/").rpartition(":")
    if not port.isdecimal():
        raise CaddyError(f"Caddy's admin address '{listen}' is none that this knows")
    return host.strip("[]") or "localhost", int(port)


def _listens(address: str | tuple[str, int]) -> bool:
    try:
        if isinstance(address, tuple):
            socket.create_connection(address, _ADMIN_S).close()
        else:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_ADMIN_S)
                probe.connect(address)
    except OSError:
        return False
    return True


def _as_config(file: Path) -> tuple[str, ...]:
    return ("--config", str(file), "--adapter", "caddyfile")
