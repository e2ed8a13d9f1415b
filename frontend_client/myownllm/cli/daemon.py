"""`myownllm daemon`: the mesh daemon behind the app: where it is, what it says, and another try."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mesh_common.streams import words
from mesh_common.tables import columns
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.errors import FAILURES

if TYPE_CHECKING:
    from myownllm.home import AppHome

app = typer.Typer(no_args_is_help=True, help="The mesh daemon: paths, log, retry, restart.", rich_markup_mode=None)

RESTART_S: Final = 25.0
"""A farewell of five seconds, a start of eight, and some more on a busy machine."""
LINES_MAX: Final = 100_000


def places(app_home: AppHome) -> dict[str, str]:
    """Where things are, by what they are."""
    return {
        "home": str(app_home.root),
        "config": str(app_home.config_file),
        "app_socket": str(app_home.app_socket),
        "daemon_home": str(app_home.own_daemon),
        "own_socket": str(app_home.own_socket),
        "shared_socket": str(app_home.shared_socket),
        "log": str(app_home.daemon_log),
        "downloads": str(app_home.binaries),
    }


def programs() -> list[dict[str, str]]:
    """Every file that may become the daemon, best first, with what is wrong with it."""
    from myownllm.supervisor import binaries
    from myownllm.supervisor.world import checkout, target_triple

    found = binaries.collect(os.environ, Path(sys.executable).parent, checkout(), target_triple())
    return [
        {"path": str(each.path), "origin": each.origin, "problem": binaries.file_problem(each.path) or ""}
        for each in found
    ]


@app.command()
def paths(as_json: Json = False) -> None:
    """Show where the app and its daemon keep their things, and which programs may become the daemon, best first."""
    try:
        where, candidates = places(context.home()), programs()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({**where, "programs": candidates})
        return
    print(columns([[name.replace("_", " "), path] for name, path in where.items()], ["what", "where"]))
    print()
    if not candidates:
        print("No program that could be the daemon: one is downloaded when it is needed.")
        return
    rows = [[each["path"], each["origin"], each["problem"] or "may be used"] for each in candidates]
    print(columns(rows, ["program", "because of", "state"]))


def _lines(value: int) -> int:
    if not 0 < value <= LINES_MAX:
        raise typer.BadParameter(f"more than 0 and at most {LINES_MAX}")
    return value


@app.command("log")
def show_log(
    lines: Annotated[int, typer.Option("--lines", "-n", help="The last lines, at most.", callback=_lines)] = 100,
    as_json: Json = False,
) -> None:
    """Show what the daemon printed last. Only a daemon that this app started is heard."""
    from myownllm.supervisor.log import last_lines  # with trio, which other commands do not need

    try:
        file = context.home().daemon_log
        said = last_lines(file, lines)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"file": str(file), "lines": said})
        return
    for line in said:
        print(line)
    if not said:
        typer.echo(f"nothing was said yet ({file}); a daemon that somebody else started writes elsewhere", err=True)


@app.command()
def retry(as_json: Json = False) -> None:
    """Try to start the daemon again now, instead of at the end of a pause."""
    _ask(as_json, "daemon_retry", _retried)


def _retried(told: Any) -> str:
    if told["state"] == "up":
        return "A daemon is connected; there is nothing to try again. `myownllm daemon restart` replaces it."
    return f"The app is trying again now (it was: {told['state']})."


@app.command()
def restart(as_json: Json = False) -> None:
    """End the daemon that the app started and start it anew. Links to other devices are made anew, too."""
    _ask(
        as_json,
        "daemon_restart",
        lambda told: f"The daemon was started anew: {told['version']}, process {told['pid']}.",
    )


def _ask(as_json: bool, operation: str, sentence: Any) -> None:
    try:
        told = context.ask_app(context.home(), operation, RESTART_S)
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(told)
    else:
        print(sentence(told))
