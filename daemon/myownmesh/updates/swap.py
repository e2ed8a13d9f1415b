"""Putting a version in, and the one before it back (spec 09 §10.6).

Whatever is killed in between, the program that is started is a whole one, old or new: it changes by one rename. The
state is written before that rename, so that the new version is on probation from its first start; `rules.at_start`
finishes or forgets what was begun.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_common.files import keep_copy, open_regular, remove_leftovers, sync_folder, unique, write_atomically
from myownmesh.updates import rules, trees
from myownmesh.updates.decision import newer
from myownmesh.updates.errors import UpdateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownmesh.updates.installation import Installation
    from myownmesh.updates.place import Place
    from myownmesh.updates.records import Staged, State

PROGRAM_MODE = 0o755


class Altered(UpdateError):
    """What is staged is not what was verified."""


def way_back(installation: Installation, state: State | None) -> bool:
    """Whether the version before the present one is still there."""
    if not installation.folder:
        return installation.previous_file.is_file()
    version = None if state is None else state.previous or (state.current if state.rolled_back_from else None)
    return version is not None and (installation.version_folder(version) / "myownmesh").is_file()


def fits(place: Place, installation: Installation, staged: Staged, state: State) -> bool:
    """Whether what is staged may still be put in over `state`; if not it is forgotten. Raises OSError."""
    good = (
        newer(state.current, staged.version)
        and not state.quarantined(staged.version)
        and (staged.kind == "folder") is installation.folder
        and staged.target == str(installation.program)
        and staged.target_mtime_ns == installation.program.stat().st_mtime_ns
    )
    if not good:
        discard(place, installation, staged)
    return good


def refuse(place: Place, installation: Installation, staged: Staged, state: State, reason: str) -> None:
    """Forget what is staged and never take that version again by itself. Raises OSError."""
    place.write(state.with_quarantined(staged.version, reason, time.time()))
    discard(place, installation, staged)


def discard(place: Place, installation: Installation, staged: Staged) -> None:
    """Forget what is staged: its note first, so that no note names what is gone. Raises OSError."""
    place.unstage()
    folder = installation.version_folder(staged.version)
    if staged.kind == "folder" and staged.path == str(folder) and installation.version_on_disk() != staged.version:
        shutil.rmtree(folder, ignore_errors=True)


def put_in(place: Place, installation: Installation, staged: Staged, before: State) -> None:
    """Put the staged version in. The caller holds the lock and has asked whether it may.

    Raises `Altered` for bytes that are not those that were verified, `UpdateError`, and OSError; the program is then
    what it was.
    """
    remove_leftovers(installation.program.parent, time.time())
    source = Path(staged.path)
    after = rules.swapped(before, staged.version, staged.verified, time.time())
    if installation.folder:
        if source != installation.version_folder(staged.version):
            raise UpdateError(f"{source} is not where this installation keeps its versions")
        _check_tree(source, staged.sha256)
        place.write(after)
        _point_to(installation, staged.version)
    else:
        _check_file(source, staged)
        if shutil.disk_usage(installation.prefix).free < 2 * staged.size:
            raise UpdateError(f"{installation.prefix} has too little space for version {staged.version}")
        keep_copy(installation.program, installation.previous_file)
        place.write(after)
        write_atomically(installation.program, _verified(source, staged), mode=PROGRAM_MODE)
    place.unstage()


def put_back(place: Place, installation: Installation, after: State) -> None:
    """Bring the version before the present one back; `after` is the state from then on. Raises OSError."""
    place.write(after)
    if installation.folder:
        _point_to(installation, after.current)
    else:
        installation.previous_file.replace(installation.program)
        sync_folder(installation.prefix)


def drop_previous(place: Place, installation: Installation, state: State) -> None:
    """Delete the version before a confirmed one. Raises OSError."""
    place.write(replace(state, previous=None))
    if not installation.folder:
        installation.previous_file.unlink(missing_ok=True)
        return
    staged = place.staged()
    kept = {state.current, None if staged is None else staged.version}
    for entry in (installation.prefix / "versions").iterdir():
        if entry.name not in kept and entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)


def _point_to(installation: Installation, version: str) -> None:
    link = installation.current
    fresh = link.with_name(f"{link.name}.{unique()}.tmp")
    fresh.symlink_to(f"versions/{version}")
    try:
        fresh.replace(link)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(link.parent)


def _check_file(source: Path, staged: Staged) -> None:
    try:
        found = trees.file_digest(source)
    except FileNotFoundError:
        raise Altered(f"the staged version {staged.version} is gone from {source}") from None
    if found != staged.sha256:
        raise Altered(f"the staged version {staged.version} was changed after it was verified")


def _check_tree(source: Path, digest: str) -> None:
    if not source.is_dir() or trees.tree_digest(source) != digest:
        raise Altered(f"the staged version in {source} was changed after it was verified")


def _verified(source: Path, staged: Staged) -> Iterator[bytes]:
    """The bytes of the staged program, held against their digest once more while they are copied."""
    digest = hashlib.sha256()
    with open_regular(source) as file:
        while data := file.read(trees.CHUNK):
            digest.update(data)
            yield data
    if digest.hexdigest() != staged.sha256:
        raise Altered(f"the staged version {staged.version} changed while it was copied")


def become(installation: Installation, words: list[str]) -> None:
    """Replace this process by the program that is in place now, with the same words. Raises OSError."""
    program = str(installation.program)
    os.execv(program, [program, *words])
