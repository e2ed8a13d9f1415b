"""``service``: the daemon as a service of the system, of one person or of the machine (spec 07 §7)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh_common.client.address import user_home
from mesh_common.streams import words as streams
from myownmesh.background import program
from myownmesh.background.launchd import Launchd
from myownmesh.background.service import SYSTEM_COPY, Service, environment
from myownmesh.background.systemd import Systemd
from myownmesh.background.tools import ServiceError, run
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Manager = Systemd | Launchd

app = group(
    "The daemon as a service that starts by itself: of this person, or with --system of the machine. "
    "What it hosts for others is `ctl services`."
)

System = Annotated[bool, typer.Option("--system", help="The machine's service: starts at boot, needs root.")]


class Scope:
    """``--system`` may stand before or behind the action."""

    system = False


@app.callback()
def scope(system: System = False) -> None:
    """Keep the option for the command."""
    Scope.system = system


@app.command()
def install(
    system: System = False,
    log: Annotated[str | None, typer.Option(metavar="FILTER", help="What it logs, as in MYOWNMESH_LOG.")] = None,
) -> None:
    """Have the daemon run from now on, and come back by itself whatever ends it. Nothing happens the second time."""
    manager = _manager(system, changes=True)
    with _told():
        command, replaced = _command(system=system or Scope.system)
        environ = environment(os.environ, state=manager.state, log_filter=log)
        news = manager.install(Service(command, environ, system or Scope.system), replaced=replaced)
    streams.work_is_done()
    if not news:
        write_line("It is installed and runs; nothing was changed.")
    _show(manager, system)


@app.command()
def uninstall(system: System = False) -> None:
    """Stop and remove it. The device's key and networks stay where they are."""
    manager = _manager(system, changes=True)
    if not manager.is_installed:
        write_line(f"{_title(system)} is not installed; nothing was changed.")
        return
    with _told():
        manager.uninstall()
    streams.work_is_done()
    kept = manager.state or os.environ.get("MYOWNMESH_HOME") or "~/.myownmesh"
    write_line(f"{_title(system)} is removed. The device's key and networks are kept in {kept}.")


@app.command()
def start(system: System = False) -> None:
    """Start it now."""
    _act("start", system)


@app.command()
def stop(system: System = False) -> None:
    """Stop it until the next login or boot."""
    _act("stop", system)


@app.command()
def restart(system: System = False) -> None:
    """Stop it and start it."""
    _act("restart", system)


@app.command()
def status(system: System = False) -> None:
    """Whether it is installed, starts by itself, and runs."""
    manager = _manager(system, changes=False)
    if not manager.is_installed:
        verb = "service --system" if system or Scope.system else "service"
        write_line(f"{_title(system)}\n  status:  not installed\n  install: myownmesh {verb} install")
        return
    with _told():
        _show(manager, system)


@app.command()
def logs(
    system: System = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what it says from now on.")] = False,
) -> None:
    """Show what it has logged."""
    manager = _manager(system, changes=False)
    if not manager.is_installed:
        raise CliError(f"{_title(system)} is not installed")
    command = [*manager.logs, *(["-f"] if follow else [])]
    try:
        ended = subprocess.run(command, check=False)  # a person reads it for as long as they like
    except OSError as error:
        raise CliError(f"{command[0]}: {error.strerror or error}") from error
    raise typer.Exit(min(abs(ended.returncode), 1))


def _act(verb: str, system: bool) -> None:
    manager = _manager(system, changes=True)
    if not manager.is_installed:
        raise CliError(f"{_title(system)} is not installed; see `myownmesh service install --help`")
    with _told():
        manager.act(verb)
    streams.work_is_done()
    with _told():
        _show(manager, system)


def _manager(system: bool, *, changes: bool) -> Manager:
    """Raises `CliError` where no service can be had, or only by root."""
    system = system or Scope.system
    if changes and system and os.geteuid() != 0:
        raise CliError("the machine's service is root's to change: put `sudo` in front, or leave --system out")
    if not system:  # `su` and `sudo -u` say nothing of it
        os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    home = user_home()
    if home is None and not system:
        raise CliError("this user has no home directory, so it can have no service; --system needs none")
    kinds: dict[str, type[Manager]] = {"linux": Systemd, "darwin": Launchd}
    kind = kinds.get(sys.platform)
    if kind is None:
        raise CliError(
            "services are known on Linux (systemd) and macOS (launchd); have this run at login instead: myownmesh serve"
        )
    return kind(run, system=system, home=home or Path("/"))


def _command(*, system: bool) -> tuple[tuple[str, ...], bool]:
    """What the service runs, and whether its copy of that is a new one.

    Raises `CliError` where its user cannot run it, `OSError` where it cannot be copied.
    """
    from myownmesh.daemon.anew import command_line

    found, words = command_line()
    words = [found, *words[1:]]
    replaced = False
    if not system:
        return tuple(words), replaced
    if getattr(sys, "frozen", False):
        if program.wants_copy(Path(found)):
            replaced = program.place_copy(Path(found))
            words[0] = str(SYSTEM_COPY)
        return tuple(words), replaced
    if (hidden := program.out_of_reach(program.runs_from(words))) is not None:
        raise CliError(
            f"the machine's service runs as a user of its own, which cannot run what lies at {hidden}; "
            "install the program for everybody (`pipx install --global`, or below /opt), or leave --system out"
        )
    return tuple(words), replaced


def _show(manager: Manager, system: bool) -> None:
    enabled, active = manager.words()
    facts: Mapping[str, object] = {
        "unit": manager.file,
        **({"state": manager.state} if manager.state is not None else {}),
        "enabled": enabled,
        "active": active,
        "logs": shlex.join(manager.logs),
    }
    write_line("\n".join([_title(system), *(f"  {name + ':':<9}{value}" for name, value in facts.items())]))


def _title(system: bool) -> str:
    return Service((), {}, system or Scope.system).title


@contextmanager
def _told() -> Iterator[None]:
    """The failures of this room in the words of the command line."""
    try:
        yield
    except (ServiceError, ValueError) as error:
        raise CliError(str(error)) from error
