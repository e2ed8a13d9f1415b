"""Where the control socket is, for clients that need nothing else of the configuration and start fast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from myownmesh.store.errors import StoreError
from myownmesh.store.json_file import read_file

if TYPE_CHECKING:
    from pathlib import Path

NEWEST_VERSION = 3


def pinned_socket(config: Path) -> str | None:
    """The path in ``daemon.control_socket`` of the file `config`.

    None when the file is absent, does not load, is too new or pins nothing: a client then tries the default place
    (spec 05 §1.1).
    """
    try:
        data = read_file(config, "config: read")
        value = None if data is None else json.loads(data.decode())
    except (StoreError, ValueError, RecursionError):
        return None
    if data is None or not isinstance(value, dict):
        return None
    version = value.get("version", NEWEST_VERSION)
    daemon = value.get("daemon")
    if not isinstance(version, int) or version > NEWEST_VERSION or not isinstance(daemon, dict):
        return None
    pinned = daemon.get("control_socket")
    return pinned if isinstance(pinned, str) and _loads(data) else None


def _loads(data: bytes) -> bool:
    """Whether the daemon takes the text for JSON. Asked last: nearly no file pins a socket, and the answer costs the
    import of msgspec, twice the start of a client."""
    from myownmesh.protocol.json_words import JsonError
    from myownmesh.protocol.strict_json import proven

    try:
        proven(data)
    except JsonError:
        return False
    return True
