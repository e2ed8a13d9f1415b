"""What ``install caddy`` and ``caddy …`` share: whose settings they change, who may, and how a run is told."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec.structs import replace

from mesh_common.streams import words
from myownmesh.caddy.installer import Installer
from myownmesh.caddy.machine import LINUX_FILE, Machine, default_file
from myownmesh.caddy.swap import Swap
from myownmesh.caddy.tools import CaddyError, Programs
from myownmesh.cli import client
from myownmesh.cli.ctl_base import ANSWER_S
from myownmesh.cli.errors import CliError
from myownmesh.cli.output import write_line
from myownmesh.protocol.json_words import JsonError
from myownmesh.store.config_file import change_config, load_config
from myownmesh.store.errors import StoreError
from myownmesh.store.paths import Home
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import Callable

RESOLVE_S: Final = 10.0
"""For a name server; a person waits."""

File = Annotated[
    Path | None, typer.Option("--caddyfile", metavar="FILE", help="Caddy's file, where it is not at its usual place.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


class OwnServices:
    """What this device hosts: asked of the daemon, or of its file while none runs."""

    def __init__(self) -> None:
        self._home = Home.resolve(os.environ)
        self._live = True

    def read(self) -> ServicesConfig:
        """As it is now. Raises `CliError`."""
        try:
            data = client.request({"op": "services_status"}, ANSWER_S)
        except client.NoDaemon:
            self._live = False
            return load_config(self._home).config.services
        try:
            if isinstance(data, dict):
                return ServicesConfig.from_json(data.get("config"))
        except JsonError as error:
            raise CliError(f"parse services config: {error}") from error
        raise CliError("daemon status missing services config")

    def write(self, services: ServicesConfig) -> str:
        """Make it so, and return in words where it counts. Raises `CliError`, `StoreError`."""
        if self._live:
            client.request({"op": "services_set", "services": services.to_json()}, ANSWER_S)
            return "the running daemon hosts the relay" + (" and TURN" if services.turn.enabled else "")
        change_config(self._home, lambda config: replace(config, services=services))
        self._give_to_owner()
        return f"written to {self._home.config}; they count when the daemon starts"

    def _give_to_owner(self) -> None:
        """Root wrote into somebody's folder: that user's daemon must be able to read it."""
        if os.geteuid() != 0:
            return
        owner = self._home.root.stat()
        for path in (self._home.config, self._home.config_lock):
            with contextlib.suppress(FileNotFoundError):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def first_ipv4(name: str) -> str:
    """Its first IPv4 address. Raises `CliError`, within `RESOLVE_S` seconds."""
    found: list[str] = []

    def ask() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            found.append(str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0]))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(RESOLVE_S)
    if not found:
        raise CliError(
            f"{name} has no IPv4 address in DNS yet, and TURN must know its own: add the record, or say --public-ip"
        )
    return found[0]


def file_of(file: Path | None) -> Path:
    """The Caddyfile that is meant."""
    return file.absolute() if file is not None else default_file(Programs())


def installer(file: Path) -> Installer:
    """One run on a file."""
    run = Programs()
    return Installer(run, Machine(run, file), Swap(file), time.time())


def must_be_allowed(file: Path) -> None:
    """Raises `CliError` for whoever may not change the file, with what to run instead."""
    folder = file.parent
    while not folder.exists():
        folder = folder.parent
    if os.geteuid() == 0 or (os.access(folder, os.W_OK) and file != LINUX_FILE):
        return
    home = Home.resolve(os.environ).root
    command = shlex.join(["sudo", f"MYOWNMESH_HOME={home}", str(_program()), *sys.argv[1:]])
    raise CliError(f"only root may change {file}; run this instead: {command}")


def carry_out(
    file: Path, facts: dict[str, object], work: Callable[[Installer], None], *, dry_run: bool, as_json: bool
) -> None:
    """Do a run and tell of it, also of one that failed. Raises `CliError`."""
    if not dry_run:
        must_be_allowed(file)
    run = installer(file)
    error: str | None = None
    try:
        if dry_run:
            work(run)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            with Swap(file).alone(time.time()):
                work(run)
            words.work_is_done()
    except (CaddyError, CliError, StoreError, ValueError) as failure:
        error = str(failure)
    except OSError as failure:
        error = f"{failure.filename or file}: {failure.strerror or failure}"
    if as_json:
        told = {"caddyfile": str(file), **facts, "error": error, "steps": [step.to_json() for step in run.steps]}
        write_line(json.dumps(told, indent=2, ensure_ascii=False))
        raise typer.Exit(1 if error is not None else 0)
    for step in run.steps:
        write_line(f"  {step.step + ':':<11}{step.outcome + ',':<11}{step.detail}")
    if error is not None:
        raise CliError(error)


def _program() -> str:
    from myownmesh.daemon.anew import command_line

    return command_line()[0]
