"""The root of the command line: which groups there are, and how a failure becomes an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
import typer.main

from mesh_common.client.errors import ControlError
from mesh_common.groups import unwrapped
from mesh_common.streams import words
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import HELP_OPTIONS, AsJson, Group
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.updates.errors import UpdateError


class Root(Group):
    """Groups of the program, each a module of its own."""

    lazy = {  # noqa: RUF012 - declared in the base class
        "identity": "myownmesh.cli.identity",
        "config": "myownmesh.cli.config",
        "ctl": "myownmesh.cli.ctl",
        "custody": "myownmesh.cli.custody",
        "service": "myownmesh.cli.service",
        "install": "myownmesh.cli.install",
        "caddy": "myownmesh.cli.caddy",
        "update": "myownmesh.cli.update",
    }


app = typer.Typer(
    cls=Root,
    add_completion=True,
    context_settings=HELP_OPTIONS,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="A private mesh of your devices: the daemon, and commands that talk to it.",
    epilog="'help COMMAND' explains one command.",
)


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the release number.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print build facts as JSON.")] = False,
) -> None:
    """Decide what a call without a subcommand means."""
    if version:
        from myownmesh.cli.version import print_version

        print_version(as_json=as_json)
        raise typer.Exit(0)
    if as_json:
        raise typer.BadParameter("--json belongs behind the command", param_hint="--json")
    if context.invoked_subcommand is None:
        from myownmesh.cli.bare import hand_over

        raise typer.Exit(hand_over(os.environ))


@app.command()
def serve() -> None:
    """Run the daemon in the foreground until SIGINT or SIGTERM."""
    from myownmesh.daemon.serve import serve as run_daemon

    raise typer.Exit(run_daemon())


@app.command(name="version")
def version_details(
    as_json: AsJson = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Also open, restart and close a WebRTC link to this program itself.")
    ] = False,
) -> None:
    """Say which implementation this is, what it runs on, and where its files are."""
    from myownmesh.cli.version import print_details

    print_details(as_json=as_json, self_test=self_test)


@app.command(
    epilog="Exit status: 0 everything works, 4 a part of it, 5 nothing, 1 it could not look; three seconds at most."
)
def netcheck(as_json: AsJson = False) -> None:
    """Look what lets other devices be met and reached from here: UDP, NAT, servers, clock, multicast (docs/lan.md)."""
    from myownmesh.cli.netcheck import netcheck as look

    raise typer.Exit(look(as_json=as_json))


_EXPECTED = (CliError, StoreError, ControlError, UpdateError, OSError)


def run(argv: list[str]) -> int:
    """Run a command line and return its exit code (spec 07 §6.1)."""
    if not all(map(_is_text, argv)):
        print("error: an argument is not valid UTF-8", file=sys.stderr)
        return 2
    words.catch()
    try:
        code = _run(argv)
        if code == 0 and (lost := words.unsaid()) is not None:
            raise CliError(f"write output: {os_error_text(lost)}")
    except Exception as error:
        cause = unwrapped(error, _EXPECTED)
        if not isinstance(cause, _EXPECTED):
            raise
        print(f"error: {_sentence(cause)}", file=sys.stderr)
        return 1
    return code


def _run(argv: list[str]) -> int:
    try:
        typer.main.get_command(app).main(args=hoist_ctl_options(argv), prog_name="myownmesh")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _sentence(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.filename}: {os_error_text(error)}" if error.filename is not None else os_error_text(error)


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 reach us as lone surrogates
        return False
    return True


def hoist_ctl_options(argv: list[str]) -> list[str]:
    """Move ``--json`` and ``--timeout N`` of a ``ctl`` command to where that group reads them.

    People write them at the end (``ctl status --json``); everything behind a lone ``--`` is left alone.
    """
    if argv[:1] != ["ctl"]:
        return argv
    options: list[str] = []
    rest: list[str] = []
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--json" or word.startswith("--timeout="):
            options.append(word)
        elif word == "--timeout":
            options += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            rest.append(word)
    return ["ctl", *options, *rest]
