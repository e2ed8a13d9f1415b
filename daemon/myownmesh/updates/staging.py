"""From a verified archive to a version that may be put in (spec 09 §10.5): unpacked, looked at, tried, written down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from mesh_bundler import header
from mesh_bundler.extract import extract, extract_folder
from mesh_common.files import sync, sync_folder
from mesh_common.probe import isolated_environment, probe
from mesh_common.versions import Reported
from myownmesh.updates import trees
from myownmesh.updates.errors import Unfit, UpdateError
from myownmesh.updates.records import Staged

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.target import Platform
    from myownmesh.updates.installation import Installation
    from myownmesh.updates.obtain import Obtained
    from myownmesh.updates.place import Place

FLAVOUR = "myownmesh-python"
"""What our daemon calls itself in ``--version --json``; another program of that name keeps other files."""
TRIAL_LIMIT_S = 60.0
"""For a first start, which unpacks some sixty megabytes."""


def stage(
    place: Place,
    installation: Installation,
    obtained: Obtained,
    *,
    version: str,
    asset: str,
    platform: Platform,
    auto: bool,
) -> Staged:
    """Unpack and try the version, and note that it waits.

    Raises `Unfit`, another `UpdateError`, `Refused` and OSError; then nothing is staged.
    """
    folder = place.version_folder(version)
    if installation.folder:
        path = _unpack_folder(installation, obtained.path, version, platform)
        digest, size = trees.tree_digest(path), sum(each.stat().st_size for each in trees.files_of(path))
    else:
        path = _unpack_file(obtained.path, folder / "myownmesh", platform)
        digest, size = trees.file_digest(path), path.stat().st_size
    target = installation.program
    staged = Staged(
        version=version,
        kind=installation.kind,
        path=str(path),
        sha256=digest,
        size=size,
        asset=asset,
        verified=obtained.verified,
        key_id=obtained.key_id,
        staged_at=int(time.time()),
        auto=auto,
        target=str(target),
        target_mtime_ns=target.stat().st_mtime_ns,
    )
    obtained.path.unlink()
    place.write(staged)
    return staged


def _unpack_file(archive: Path, target: Path, platform: Platform) -> Path:
    target.unlink(missing_ok=True)
    with target.open("wb") as file:
        extract(archive, "myownmesh", file.write)
        file.flush()
        sync(file.fileno())
    target.chmod(0o755)
    sync_folder(target.parent)
    try_out(target, target.parent.name, platform, target.parent)
    return target


def _unpack_folder(installation: Installation, archive: Path, version: str, platform: Platform) -> Path:
    versions, target = installation.prefix / "versions", installation.version_folder(version)
    fresh = versions / f".{version}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o755)
    try:
        extract_folder(archive, f"myownmesh-{version}", "myownmesh", fresh)
        try_out(fresh / "myownmesh", version, platform, archive.parent)
        trees.sync_tree(fresh)
        shutil.rmtree(target, ignore_errors=True)  # what was left of an earlier try; nothing points to it
        fresh.rename(target)
        sync_folder(versions)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def try_out(program: Path, version: str, platform: Platform, scratch: Path) -> None:
    """It is built for this machine, says that it is this version, and its inner half runs and is ours.

    It gets an empty home below `scratch`, and unpacks where it will when it is in use: other places may not run
    programs. Raises `Unfit`, and `UpdateError` where it cannot be told.
    """
    try:
        found = header.inspect(program)
    except header.BadHeader as bad:
        raise Unfit(f"version {version} is no program for any machine we know ({bad.code})") from None
    if (wanted := header.misfit(found, platform)) is not None:
        raise Unfit(f"version {version} is built for {found}; {wanted} is wanted")
    reading = probe(program)
    said = str(reading.version) if isinstance(reading, Reported) else f"no version ({reading.reason})"
    if said != version:
        raise Unfit(f"the program in release {version} reports {said}")
    with tempfile.TemporaryDirectory(prefix="trial-", dir=scratch, ignore_cleanup_errors=True) as home:
        try:
            done = subprocess.run(
                [program, "--version", "--json"],
                env=isolated_environment(home) | _runtime_places(),
                cwd=home,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=TRIAL_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UpdateError(f"version {version} cannot be tried: {error}") from error
    try:
        facts = json.loads(done.stdout[:65536])
        inner, flavour = facts["version"], facts["flavour"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise Unfit(f"version {version} does not run here (status {done.returncode}). {said}".strip()) from None
    if (inner, flavour) != (version, FLAVOUR):
        raise Unfit(f"release {version} holds another program: {flavour} {inner}")


def _runtime_places() -> dict[str, str]:
    """What tells a single file where to unpack (spec 09 §11.2)."""
    named = {name: os.environ[name] for name in ("MYOWNMESH_RUNTIME_DIR", "XDG_CACHE_HOME") if os.environ.get(name)}
    home = os.environ.get("HOME")
    return named if "XDG_CACHE_HOME" in named or not home else named | {"XDG_CACHE_HOME": f"{home}/.cache"}
