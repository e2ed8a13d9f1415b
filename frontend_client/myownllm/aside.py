"""Damaged files that were set aside, told until a person has been shown them.

A damaged file is renamed, by the app or by a daemon, to a name with ``.corrupt`` behind it (spec 07 C3), and work goes
on without it. That is one line of a log which nobody reads; `myownllm health` tells it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import msgspec

from myownllm.coerce import as_object
from myownllm.files import ASIDE, read_json, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownllm.home import AppHome

TOLD_MOST: Final = 20
"""Files of one look; each daemon keeps a few copies of each of its own."""
_SEEN: Final = "aside.seen"
_FOLDERS: Final = (".", ".secrets", "mesh/rosters", "mesh/states")
"""Where a daemon's files lie, below its home."""


def unseen(home: AppHome) -> tuple[str, ...]:
    """A sentence about each file that was set aside since `seen`."""
    known = as_object(read_json(home.root / _SEEN))
    return tuple(
        f"{path.parent / path.name.partition(ASIDE)[0]} was damaged: kept as {path.name}, work goes on without it"
        for path, changed in _set_aside(home)
        if known.get(str(path)) != changed
    )


def seen(home: AppHome) -> None:
    """A person has been shown them."""
    found = {str(path): changed for path, changed in _set_aside(home)}
    if found != as_object(read_json(home.root / _SEEN)):
        with contextlib.suppress(OSError):
            write_durably(home.root / _SEEN, msgspec.json.encode(found) + b"\n")


def _set_aside(home: AppHome) -> list[tuple[Path, int]]:
    """Each file with the nanosecond of its last change, in the order of their names."""
    found = [*sorted(_in(home.root, but="config.json")), *sorted(_in(home.transfers))]
    for daemon in (home.own_daemon, home.shared_daemon):
        for folder in _FOLDERS:
            found += sorted(_in(daemon / folder))
    return found[:TOLD_MOST]


def _in(folder: Path, *, but: str = "") -> Iterator[tuple[Path, int]]:
    """`but` names the file whose repairs are told by those who make them."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name, mark, _ = entry.name.partition(ASIDE)
            if mark and name != but and entry.is_file(follow_symlinks=False):
                yield folder / entry.name, entry.stat(follow_symlinks=False).st_ctime_ns
