"""Where the control socket is, for clients that need nothing else of the configuration and start fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import StoreError
from .json_file import JsonError, parse_json, read_file

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
        value = None if data is None else parse_json(data)
    except (StoreError, JsonError):
        return None
    if not isinstance(value, dict):
        return None
    version = value.get("version", NEWEST_VERSION)
    daemon = value.get("daemon")
    if not isinstance(version, int) or version > NEWEST_VERSION or not isinstance(daemon, dict):
        return None
    pinned = daemon.get("control_socket")
    return pinned if isinstance(pinned, str) else None
