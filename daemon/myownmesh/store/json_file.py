"""Read the bytes of a JSON file of ours; what stands in them, `myownmesh.protocol.strict_json` judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.files import read_regular
from mesh_common.handwritten import fault, other_encoding, without_mark
from myownmesh.store.errors import StoreError, os_error_text

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 64 << 20
"""A roster of a hundred thousand devices is a fifth of this; more is not one of our files."""


def read_file(path: Path, what: str) -> bytes | None:
    """The bytes of a text file without a byte-order mark, or None if there is none.

    Raises `StoreError` for a file that cannot be read or is not UTF-8: neither is corruption of ours to set aside.
    `what` begins the message, for example ``config: read``.
    """
    try:
        data = read_regular(path, MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{what} {path}: {os_error_text(error)}") from error
    if len(data) > MAX_FILE_BYTES:
        raise StoreError(f"{what} {path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    data = without_mark(data)
    if (encoding := other_encoding(data)) is not None:
        raise StoreError(f"{what} {path}: stream did not contain valid UTF-8; it is {encoding} text, save it as UTF-8")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(f"{what} {path}: stream did not contain valid UTF-8 ({fault(data)})") from error
    return data
