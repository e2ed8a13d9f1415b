"""`myownllm open`: the screen of the running app, in a browser of this machine."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, AppError, DoorError

if TYPE_CHECKING:
    from pathlib import Path

LINK_S: Final = 20.0
"""An app that has just begun opens its screen in a moment."""
READ_S: Final = 5.0
"""A browser has read a file by then; the file goes away, and the link in it works once anyway."""


def open_screen(
    show: Annotated[bool, typer.Option("--print", help="Only say the link.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="End every session: browsers need a new link.")] = False,
    as_json: Json = False,
) -> None:
    """Open the running app's screen in the browser. The link works once, on this machine."""
    try:
        if revoke:
            ended = context.ask_app(context.home(), "ui_revoke", LINK_S)["ended"]
            if as_json:
                context.print_answer({"ended": ended})
            else:
                print(f"{ended} {'browser needs' if ended == 1 else 'browsers need'} a new link now.")
            return
        url = link()
        if as_json:
            context.print_answer({"url": url})
            return
        if show or not _browse(url):
            print(url)
    except FAILURES as error:
        context.fail(error, as_json=as_json)


def link(timeout_s: float = LINK_S) -> str:
    """A new link to the screen of the running app. Raises DoorError."""
    try:
        return str(context.ask_app(context.home(), "ui_link", timeout_s)["url"])
    except DoorError as error:
        if error.kind == "not_running":
            raise AppError("the app is not running: `myownllm up` starts it and says the link") from None
        raise


def _browse(url: str) -> bool:
    """Hand the link to a browser, which reads it from a private file: arguments of programs can be seen by others."""
    import webbrowser  # looks for browsers when it is loaded

    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    if _is_confined():
        return webbrowser.open(url)  # it reads none of our files; the link works once, and here alone
    file = context.home().root / "open.html"
    _write_private(file, url)
    try:
        opened = webbrowser.open(file.as_uri())
        if opened:
            time.sleep(READ_S)
        return opened
    finally:
        file.unlink(missing_ok=True)


def _write_private(file: Path, url: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as text:
        text.write(
            f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(url)}"><title>MyOwnLLM</title>'
        )


def _is_confined() -> bool:
    """Is the usual browser one that sees no hidden files of this home (snap, flatpak)?"""
    settings = shutil.which("xdg-settings")
    if settings is None:
        return False
    try:
        asked = subprocess.run(
            [settings, "get", "default-web-browser"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    name = asked.stdout.strip()
    return "snap" in name or name.startswith("org.mozilla.") or "flatpak" in name
