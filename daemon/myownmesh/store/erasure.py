"""The danger zone on the disk: networks are forgotten, or all of a home is (spec 05 §15, W25, W27).

What is to go is written down first, in ``erasure.json``, and that file goes last. So whatever kills a daemon in
between, the next start finds it and finishes (`finish`), before it reads anything else. It is for this device's key
only: a home that has another one by then is somebody's new beginning.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mesh_common.client.address import user_home
from mesh_common.files import sync_folder
from myownmesh.protocol.ids import BadNetworkId, normalize_network_id
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, read
from myownmesh.protocol.strict_json import proven
from myownmesh.store import identity_file
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, quarantine
from myownmesh.store.json_file import read_file
from myownmesh.store.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from myownmesh.store.config import MeshConfig
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.store.paths import Home

    ChangeConfig = Callable[[Callable[[MeshConfig], MeshConfig]], MeshConfig]

VERSION: Final = 1

log = logging.getLogger(__name__)


class Doomed(Record, frozen=True, kw_only=True):
    """One network that is to be forgotten, as its record names it."""

    id: str
    network_id: str

    def is_meant(self, record: NetworkConfig) -> bool:
        """Whether a record is about this network."""
        return record.id == self.id or _wire_id(record.network_id) == _wire_id(self.network_id)


class Erasure(Record, frozen=True, kw_only=True):
    """The file."""

    version: U32 = VERSION
    device_id: str
    """Whose home it was."""
    everything: bool = False
    networks: tuple[Doomed, ...] = ()
    """What goes where not everything does."""


def refusal(home: Home) -> str | None:
    """Why not everything in this home may be deleted; None when it may (spec 05 W27)."""
    root = Path(os.path.realpath(home.root))
    person = Path(os.path.realpath(user_home() or "/"))
    if root == Path("/") or root == person or root in person.parents:
        return f"{home.root} holds more than this device's files; move them to a directory of their own first"
    if not (home.identity.is_file() or home.config.is_file()):
        return f"{home.root} has neither .secrets/identity.json nor config.json, so it may be anything"
    return None


def begin(home: Home, erasure: Erasure) -> None:
    """Write down what is to go; from here on a start finishes it. Raises `StoreError`."""
    try:
        atomic_write(home.erasure, pretty(erasure.to_json()).encode())
    except OSError as error:
        raise StoreError(f"write {home.erasure}: {os_error_text(error)}") from error


def forget(networks: Iterable[Doomed], change_config: ChangeConfig, purge: Callable[[str], None]) -> None:
    """Take networks out of the configuration, then delete their files. Raises `StoreError`; then all are still there.

    In this order a start in between, of whatever release, joins none of them with half of its files.
    """
    doomed = tuple(networks)
    change_config(
        lambda config: replace(
            config, networks=tuple(each for each in config.networks if not any(gone.is_meant(each) for gone in doomed))
        )
    )
    for network_id in filter(None, (_wire_id(each.network_id) for each in doomed)):
        purge(network_id)


def wipe(home: Home) -> list[str]:
    """Delete what is in a home; returns what could not be, as sentences. Blocks for as long as that takes.

    The networks go first and the key last: in between this is the same device without some of its networks, never
    another one in them. What stays is the lock, the note of the erasure, the socket, which ends with its daemon, and
    the running program, where it was unpacked into its home.
    """
    staying = {home.daemon_lock.name, home.erasure.name, home.socket().name, *_programs(home.root)}
    order = {home.config.name: 0, "mesh": 1, home.secrets.name: 3}
    problems: list[str] = []
    try:
        found = sorted((each for each in home.root.iterdir()), key=lambda path: (order.get(path.name, 2), path.name))
    except OSError as error:
        return [f"read {home.root}: {os_error_text(error)}"]

    def failed(_: object, path: str, error: BaseException) -> None:
        problems.append(f"delete {path}: {os_error_text(error) if isinstance(error, OSError) else error}")

    for path in found:
        if path.name in staying:
            continue
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path, failed)
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failed(None, str(path), error)
    return problems


def finish(home: Home, change_config: ChangeConfig, purge: Callable[[str], None]) -> None:
    """Finish what an earlier daemon began, if it did. What cannot be done is logged; it is not tried for ever.

    The caller holds the home's lock and has read nothing yet.
    """
    erasure = _begun(home)
    if erasure is None:
        return
    if (owner := _device_id(home)) not in (None, erasure.device_id):
        log.warning("%s is about another device than this home's; nothing is deleted", home.erasure)
    elif erasure.everything:
        log.info("going on with the deletion of everything in %s", home.root)
        for problem in wipe(home):
            log.error("factory reset: %s", problem)
    elif owner is not None:
        log.info("going on with forgetting networks")
        try:
            forget(erasure.networks, change_config, purge)
        except StoreError as error:
            log.error("networks that were to be forgotten are still here: %s", error)
    try:
        sync_folder(home.root)
        home.erasure.unlink(missing_ok=True)
    except OSError as error:
        log.error("could not delete %s: %s", home.erasure, os_error_text(error))


def _begun(home: Home) -> Erasure | None:
    try:
        data = read_file(home.erasure, "read")
    except StoreError as error:
        log.error("%s", error)
        return None
    if data is None:
        return None
    try:
        erasure = read(Erasure, proven(data))
    except JsonError as error:
        quarantine(home.erasure, str(error))
        return None
    if erasure.version > VERSION:
        log.error("%s was written by a newer version of the program; it is left alone", home.erasure)
        return None
    return erasure


def _device_id(home: Home) -> str | None:
    """Whose home it is now; None when nobody can say."""
    try:
        return identity_file.read_anchor(home).public_key.lower()
    except StoreError:
        return None


def _programs(root: Path) -> set[str]:
    """What in a home holds the running program."""
    real = Path(os.path.realpath(root))
    places = {sys.prefix, sys.base_prefix, sys.executable, sys.argv[0], __file__}
    if sys.platform == "linux":
        places.add("/proc/self/exe")
    found: set[str] = set()
    for place in filter(None, places):
        for path in (Path(place).absolute(), Path(os.path.realpath(place))):
            for base in (root.absolute(), real):
                if path.is_relative_to(base) and path != base:
                    found.add(path.relative_to(base).parts[0])
    return found


def _remove_tree(path: Path, failed: Callable[[object, str, BaseException], None]) -> None:
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=failed)
    else:
        shutil.rmtree(path, onerror=lambda call, name, info: failed(call, name, info[1]))


def _wire_id(network_id: str) -> str | None:
    try:
        return normalize_network_id(network_id)
    except BadNetworkId:
        return None
