"""Read and change ``config.json`` on disk (spec 07 §3).

Whoever changes it goes through `change_config`: load, change and save happen under one kernel lock, so concurrent
writers (two ops, a command line, an updater) never lose each other's members.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mesh_common.handwritten import in_style_of
from myownmesh.protocol.json_words import JsonError
from myownmesh.store.config import MeshConfig, Problem
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory, quarantine, set_copy_aside
from myownmesh.store.json_file import read_file
from myownmesh.store.locks import CONFIG_LOCK_WAIT, Held, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.store.paths import Home

log = logging.getLogger(__name__)


class LoadedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a load found: the configuration, what was wrong, and where the bad file or its copy lies now.

    `corrupt` says that nothing of the file could be used, so that `config` is the default one.
    """

    config: MeshConfig
    problems: tuple[Problem, ...] = ()
    set_aside: Path | None = None
    corrupt: bool = False


def load_config(home: Home, *, quarantine_corrupt: bool = False) -> LoadedConfig:
    """Read the configuration; a missing file is the default one.

    With `quarantine_corrupt` (only the daemon, spec 07 C4) a file that cannot be used is renamed to
    ``config.json.corrupt``, and one with a bad part is copied there, before anything of it can be lost by a save.
    Without it the file is left alone, whatever is wrong. Raises `ConfigTooNew`, and `StoreError` for a file that
    cannot be read.
    """
    data = read_file(home.config, "config: read")
    if data is None:
        return LoadedConfig(config=MeshConfig())
    try:
        config, problems = MeshConfig.read(data)
    except JsonError as error:
        moved = quarantine(home.config, str(error)) if quarantine_corrupt else None
        return LoadedConfig(
            config=MeshConfig(),
            problems=(Problem(where=str(home.config), reason=str(error)),),
            set_aside=moved,
            corrupt=True,
        )
    copy: Path | None = None
    if problems and quarantine_corrupt:
        copy = set_copy_aside(home.config, data, "; ".join(map(str, problems)))
    return LoadedConfig(config=config, problems=problems, set_aside=copy)


def change_config(
    home: Home, change: Callable[[MeshConfig], MeshConfig], *, fallback: MeshConfig | None = None
) -> MeshConfig:
    """Load, `change` and save the file under its lock; returns what is on disk now.

    A file that has become corrupt is set aside and `fallback` changed instead: what the caller last knew to be there.

    The file is re-read, so members that others changed meanwhile survive. Nothing is written when `change` changes
    nothing and the file exists. Blocks for a disk write, and at most `CONFIG_LOCK_WAIT` seconds more while another
    process holds the lock. Raises `StoreError` whose text begins ``config: ``; the file is then unchanged.
    """
    private_directory(home.root)
    try:
        lock = take(home.config_lock, wait=CONFIG_LOCK_WAIT)
    except Held as error:
        raise StoreError(f"config: write {home.config}: {error}; try again when it has finished") from error
    except StoreError as error:
        raise StoreError(f"config: write {home.config}: {error}") from error
    with lock:
        before = load_config(home, quarantine_corrupt=True)
        after = change(fallback if before.corrupt and fallback is not None else before.config)
        if after != before.config or before.problems or not home.config.exists():
            write_config(home, after)
        return after


def write_config(home: Home, config: MeshConfig) -> None:
    """Replace the file. The caller holds the lock. Raises `StoreError`."""
    try:
        atomic_write(home.config, in_style_of(config.text(), home.config))
    except OSError as error:
        raise StoreError(f"config: write {home.config}: {os_error_text(error)}") from error
