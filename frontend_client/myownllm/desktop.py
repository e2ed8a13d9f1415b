"""The notifications of this machine's desktop, by the program that the system brings for them.

What is shown may come from strangers: it is an argument of that program, never part of a script or of markup.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from mesh_common.programs import own_group

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE_S: Final = 5.0
"""A desktop that does not take a notification in this time has none."""
_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


def command(title: str, body: str, environment: Mapping[str, str], platform: str = sys.platform) -> list[str] | None:
    """The command line that shows a notification; None where there is no desktop or no program for it."""
    if platform == "darwin":
        program = shutil.which("osascript", path=environment.get("PATH"))
        lines = [word for line in _SCRIPT for word in ("-e", line)]
        return None if program is None else [program, *lines, title, body]
    if not environment.get("DBUS_SESSION_BUS_ADDRESS"):
        return None
    program = shutil.which("notify-send", path=environment.get("PATH"))
    return None if program is None else [program, "--app-name=MyOwnLLM", "--", title, _plain(body)]


def _plain(text: str) -> str:
    """Desktops read a little markup in the second text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def notify(title: str, body: str) -> bool:
    """Show it; False where nothing could. Blocking, for `PATIENCE_S` at most."""
    words = command(title, body, os.environ)
    if words is None:
        return False
    try:
        with own_group(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            return process.wait(PATIENCE_S) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
