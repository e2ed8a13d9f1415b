"""JSON files that people edit, with whatever editor they have.

A byte-order mark is no fault, and a file keeps its line ends. What cannot be read is told with its place, so that a
person finds it.
"""

from __future__ import annotations

import codecs
import errno
import json

from mesh_common.files import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

ARGUMENT_MAX_BYTES = 16 << 20
"""More than any line of a daemon's socket, or any settings, may hold."""
_OTHERS = ("utf-32", "utf-16", "utf-16-le", "utf-16-be")
"""UTF-32 first: with its mark it begins like UTF-16. The last two are for texts without a mark."""

_LONGEST_LINE = 64 << 10
"""Bytes; a first line beyond that is no line of a person."""


def read_all(file: IO[bytes]) -> bytes:
    """What a person hands in by a name or a pipe. Raises OSError beyond `ARGUMENT_MAX_BYTES`: devices never end."""
    data = file.read(ARGUMENT_MAX_BYTES + 1)
    if len(data) > ARGUMENT_MAX_BYTES:
        raise OSError(errno.EFBIG, f"larger than {ARGUMENT_MAX_BYTES >> 20} MiB")
    return data


def without_mark(data: bytes) -> bytes:
    """The text without a byte-order mark of UTF-8."""
    return data.removeprefix(codecs.BOM_UTF8)


def other_encoding(data: bytes) -> str | None:
    """The name of the encoding when the text is JSON in another one than UTF-8: an editor has saved it so."""
    if b"\0" not in data[:8]:
        return None
    for codec in _OTHERS:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            return codec[:6].upper()
    return None


def fault(data: bytes) -> str:
    """What is wrong with a text that is no JSON object, and where: ``line 3 column 7``."""
    try:
        value = json.loads(without_mark(data).decode())
    except json.JSONDecodeError as error:
        return f"line {error.lineno} column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        before = without_mark(data)[: error.start]
        column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        return f"line {before.count(10) + 1} column {column}: not UTF-8"
    except RecursionError:
        return "nested too deep"
    except ValueError:  # what Python takes for no number
        return "a number has too many digits"
    return "not an object" if not isinstance(value, dict) else "not valid JSON"


def in_style_of(text: str | bytes, path: Path) -> bytes:
    """The text with the line ends that the file at `path` has now: what Windows editors write stays readable there."""
    try:
        with open_regular(path) as file:
            first = file.readline(_LONGEST_LINE)
    except OSError:
        first = b""
    data = text.encode() if isinstance(text, str) else text
    return data.replace(b"\n", b"\r\n") if first.endswith(b"\r\n") else data
