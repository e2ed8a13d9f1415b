"""``myownmesh`` without a command: hand over to the graphical program if there is one (spec 07 §6.4)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "myownmesh-gui"


def hand_over(environ: Mapping[str, str]) -> int:
    """Run the graphical program and wait for it; without one, say what to do instead. Returns the exit code."""
    if sys.platform.startswith("linux") and not environ.get("DISPLAY") and not environ.get("WAYLAND_DISPLAY"):
        return _hint("there is no display here")
    program = find_gui(environ)
    if program is None:
        return _hint(f"{_NAME} was not found (looked at MYOWNMESH_GUI_BIN, beside this program, and on PATH)")
    try:
        code = subprocess.run([program], check=False).returncode
    except OSError as error:
        return _hint(f"{program} could not be started: {error.strerror}")
    # A program ended by a signal was closed by somebody on purpose.
    return 0 if code <= 0 else 1


def find_gui(environ: Mapping[str, str]) -> str | None:
    """The first graphical program that exists: named by the environment, beside us, then on the PATH."""
    named = environ.get("MYOWNMESH_GUI_BIN")
    candidates = [named] if named else []
    candidates.append(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), _NAME))  # noqa: PTH118, PTH120, PTH100
    candidates += [os.path.join(entry, _NAME) for entry in environ.get("PATH", "").split(os.pathsep) if entry]  # noqa: PTH118
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113


def _hint(reason: str) -> int:
    print(
        f"{reason}.\nStart the daemon with `myownmesh serve`, see what runs with `myownmesh ctl status`, "
        "or list all commands with `myownmesh --help`.",
        file=sys.stderr,
    )
    return 1
