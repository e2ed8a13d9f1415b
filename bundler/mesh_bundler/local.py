"""A folder as a release feed: `file://` addresses (spec 09 §8.3)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mesh_bundler import trouble
from mesh_bundler.files import file_refusal
from mesh_common.files import open_regular, read_regular


def path_of(url: str) -> Path:
    """The file that an address names. Raises `Refused` for what no file can be called."""
    path = unquote(urlsplit(url).path)
    if "\0" in path:
        raise trouble.network(url, "it holds a NUL byte")
    return Path(path)


def read(url: str, limit: int) -> bytes | None:
    path = path_of(url)
    try:
        data = read_regular(path, limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_refusal(error, path) from error
    if len(data) > limit:
        raise trouble.too_large(url, limit)
    return data


def copy(url: str, to: Path, limit: int) -> int:
    """Copy a file of the feed; its size. Raises FileNotFoundError, and `Refused` for everything else."""
    source = path_of(url)
    try:
        with open_regular(source) as file, to.open("wb") as copied:
            length = os.fstat(file.fileno()).st_size
            if length > limit:
                raise trouble.too_large(url, limit)
            shutil.copyfileobj(file, copied)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise file_refusal(error, source) from error
    return length
