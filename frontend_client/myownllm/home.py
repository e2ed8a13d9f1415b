"""Where the app keeps its things, and where daemons listen (spec 08 §1.2, §3.2).

`MYOWNLLM_HOME` moves the app's directory; `MYOWNMESH_HOME` names the home of a daemon that is shared with another app.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.client.address import pinned_socket, user_home
from mesh_common.values import Value
from myownllm.errors import AppError, HomeError, UnwritableHomeError

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_PATH_MAX_BYTES: Final = 107 if sys.platform.startswith("linux") else 103
"""Bytes of sun_path without its NUL."""
OWN_DAEMON: Final = ".myownmesh"
"""The own daemon's home, in the app's."""
PIN_FILE: Final = ".myownmesh-rev"
PRIVATE_DIR: Final = 0o700
PRIVATE_FILE: Final = 0o600


class AppHome(Value, frozen=True):
    """Every path that the app uses, derived from two roots and the homes of daemons."""

    root: Path
    shared_daemon: Path
    own_daemon: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> AppHome:
        """The home of this login. A user without a home of their own shares no daemon.

        Raises HomeError when there is none, or the daemon's home would be the app's (spec 08 FE-1.1).
        """
        named, shared = (environ.get(name, "").strip() for name in ("MYOWNLLM_HOME", "MYOWNMESH_HOME"))
        home = None if named and shared else user_home(environ)
        if home is None and not named:
            raise HomeError("this user has no home directory; set MYOWNLLM_HOME to a directory for the app")
        root = Path(named) if named or home is None else home / ".myownllm"
        if shared or home is None:
            return cls.at(root, Path(shared) if shared else root / OWN_DAEMON)
        return cls.at(root, home / ".myownmesh")

    @classmethod
    def at(cls, root: Path, shared_daemon: Path, own_daemon: Path | None = None) -> AppHome:
        """A home at explicit places."""
        own = root / OWN_DAEMON if own_daemon is None else own_daemon
        if os.path.realpath(own) == os.path.realpath(root):  # of a loop of links, too
            raise HomeError(
                f"the daemon's home {own} is the directory of the app's own {root / 'config.json'}; "
                "the daemon would overwrite it. Choose another directory for the daemon"
            )
        return cls(root, shared_daemon, own)

    @property
    def config_file(self) -> Path:
        return self.root / "config.json"

    @property
    def app_lock(self) -> Path:
        return self.root / "app.lock"

    @property
    def app_socket(self) -> Path:
        """Where commands reach the running app."""
        return self.root / "app.sock"

    @property
    def owned_networks_file(self) -> Path:
        return self.root / "mesh_owned.json"

    @property
    def pins_file(self) -> Path:
        """Which devices answer what."""
        return self.root / "pins.json"

    @property
    def sightings_file(self) -> Path:
        """When each device was connected last."""
        return self.root / "seen.json"

    @property
    def sessions_file(self) -> Path:
        """Which browsers may use the screen; hashes only."""
        return self.root / "ui_sessions.json"

    @property
    def remote_sessions_file(self) -> Path:
        """Which browsers of the local network were paired; hashes only."""
        return self.root / "remote_sessions.json"

    @property
    def uploads(self) -> Path:
        """Files that were dropped on the screen, until they are sent."""
        return self.root / "uploads"

    @property
    def daemon_log(self) -> Path:
        return self.root / "logs" / "daemon.log"

    @property
    def transfers(self) -> Path:
        """What is remembered of files that are half sent or received."""
        return self.root / "transfers"

    @property
    def binaries(self) -> Path:
        return self.root / "binaries"

    @property
    def spawn_lock(self) -> Path:
        return self.own_daemon / "spawn.lock"

    @property
    def owner_file(self) -> Path:
        return self.own_daemon / "owner.json"

    @property
    def probed_file(self) -> Path:
        """What the daemon that served last said of its version."""
        return self.root / "probed.json"

    @property
    def own_socket(self) -> Path:
        return _socket_of(self.own_daemon)

    @property
    def shared_socket(self) -> Path:
        return _socket_of(self.shared_daemon)

    @property
    def seed_era_socket(self) -> Path:
        """Where the own daemon listened when it shared the app's directory."""
        return self.root / "daemon.sock"

    def prepare(self) -> None:
        """Create the private directories. Raises HomeError that says which one and why, UnwritableHomeError too."""
        check_socket_path(self.own_socket)
        for directory in (self.root, self.own_daemon, self.daemon_log.parent):
            try:
                directory.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
            except OSError as error:
                raise UnwritableHomeError(
                    f"cannot create {directory}: {error.strerror}; free the path or set MYOWNLLM_HOME"
                ) from None


def check_socket_path(socket: Path) -> None:
    """Raises HomeError when the platform cannot bind a socket of that name."""
    size = len(os.fsencode(socket))
    if size > SOCKET_PATH_MAX_BYTES:
        raise HomeError(
            f"the daemon's socket path {socket} has {size} bytes, this system allows {SOCKET_PATH_MAX_BYTES}; "
            "set MYOWNLLM_HOME to a directory with a shorter path"
        )
    if socket.is_dir():
        raise HomeError(f"{socket} is a directory, so no daemon can listen there; move it away")


def _socket_of(daemon_home: Path) -> Path:
    """The control socket of a daemon home: pinned in its configuration, or the default name (05 §1.1)."""
    return Path(pinned_socket(daemon_home / "config.json") or daemon_home / "daemon.sock")


def find_pin(start: Path) -> str | None:
    """The daemon release this build belongs to: `.myownmesh-rev` beside the package or in a folder above it.

    Raises AppError for a file that does not name one: "any daemon will do" is what a pin is there to prevent.
    """
    from mesh_common.pins import Pin, PinError, read_pin  # few commands look at the pin

    for folder in (start, *start.parents):
        path = folder / PIN_FILE
        try:
            pin = read_pin(path)
        except PinError as error:
            raise AppError(f"{path}: {error}") from None
        if isinstance(pin, Pin):
            return pin.raw
        if pin.reason == "empty_file":
            raise AppError(f"{path} is empty, so it is unknown which daemon belongs to this app")
    return None
