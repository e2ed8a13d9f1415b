"""``config``: the configuration file, without the daemon."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys

import typer

from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.paths import Home

app = group("The configuration file.")


@app.command()
def path() -> None:
    """Print where the file is."""
    write_line(str(Home.resolve(os.environ).config))


@app.command()
def show() -> None:
    """Print the effective configuration, defaults and secrets included."""
    from myownmesh.store.config_file import load_config

    try:
        loaded = load_config(Home.resolve(os.environ))
    except StoreError as error:
        raise CliError(f"load config: {error}") from error
    for problem in loaded.problems:
        print(f"warning: {problem}; its default is shown", file=sys.stderr)
    write_line(loaded.config.text())


@app.command()
def edit() -> None:
    """Open the file in $EDITOR or $VISUAL, then check it."""
    from myownmesh.store.config_file import change_config

    home = Home.resolve(os.environ)
    if not home.config.exists():
        try:
            change_config(home, lambda config: config)
        except StoreError as error:
            raise CliError(f"create config: {error}") from error
    while True:
        _run_editor(str(home.config))
        problem = _problem(home)
        if problem is None:
            return
        if not sys.stdin.isatty() or not typer.confirm(f"{problem}\nEdit again?", default=True, err=True):
            raise CliError(f"{problem}; correct {home.config} before the daemon starts, or it will be set aside")


def _run_editor(file: str) -> None:
    text = os.environ.get("EDITOR") or os.environ.get("VISUAL")
    if not text:
        if not sys.stdin.isatty():  # vi would wait for keys for ever
            raise CliError(f"there is no terminal for an editor; set EDITOR, or edit {file} with another program")
        text = "vi"
    try:
        # A path with blanks in it is one word if it exists as written.
        words = [text] if os.path.exists(text) else shlex.split(text)  # noqa: PTH110
        # Ctrl-C in the editor is the editor's; a handler, unlike SIG_IGN, is not inherited by it.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            code = subprocess.run([*words, file], check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
    except (OSError, ValueError) as error:
        reason = os_error_text(error) if isinstance(error, OSError) else str(error)
        raise CliError(f"run editor {text}: {reason}") from error
    if code != 0:
        raise CliError("editor exited with non-zero status")


def _problem(home: Home) -> str | None:
    """What is wrong with the file as it is now."""
    from myownmesh.store.config_file import load_config

    try:
        problems = load_config(home).problems
    except StoreError as error:
        return str(error)
    return "; ".join(map(str, problems)) or None
