"""The daemon's data of an older layout, moved into the own daemon's home before anything looks for it (spec 08 §3.8).

Earlier builds gave the daemon the app's own directory as its home. Its key and its approvals move, so that peers know
this device again. The key moves last: an interrupted move is taken up by the next launch.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from myownllm.home import PRIVATE_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownllm.home import AppHome

_IDENTITY = ".secrets/identity.json"
_FOLDERS = ("mesh/rosters", "mesh/states")


def is_due(home: AppHome) -> bool:
    """Is there a key of an older layout, and none in the own home yet?"""
    return (home.root / _IDENTITY).is_file() and not (home.own_daemon / _IDENTITY).exists()


def migrate(home: AppHome) -> list[str]:
    """Move what is due; returns a sentence for each thing that could not be moved. Only while no daemon uses it."""
    problems = []
    for source in (*_files(home.root), home.root / _IDENTITY):
        target = home.own_daemon / source.relative_to(home.root)
        if target.exists():  # which of the two is right cannot be known here
            problems.append(f"{source} was not moved: {target} is there already")
            continue
        try:
            target.parent.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
            shutil.move(source, target)
        except OSError as error:
            problems.append(f"{source} could not be moved to {target}: {error.strerror}")
    for name in (*_FOLDERS, "mesh", ".secrets"):
        with contextlib.suppress(OSError):  # what else is in there stays
            (home.root / name).rmdir()
    return problems


def _files(root: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        with contextlib.suppress(OSError):
            yield from sorted(path for path in (root / name).iterdir() if path.is_file())
