"""A secret that a person hands to a command: in an argument, a file, by a pipe, or typed unseen.

An argument stays in the shell's history and can be seen by other users meanwhile, so docs show the other ways.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Final

from mesh_common.files import read_regular

MAX_BYTES: Final = 64 * 1024
"""Of a file or a pipe; more is none of the secrets that commands take."""


class NoSecret(ValueError):
    """Nothing usable was handed over; the message is for a person."""


def passed_secret(argument: str | None, prompt: str) -> str:
    """The secret's text: `argument` itself, of the file that it names, of standard input for ``-``, or asked for.

    Without an argument a terminal is asked by `prompt` without echo, anything else is read. Raises `NoSecret`.
    """
    if argument is None and sys.stdin is not None and sys.stdin.isatty():
        try:
            return getpass.getpass(prompt)
        except EOFError:
            raise NoSecret("nothing was typed") from None
    if argument is None or argument == "-":
        if sys.stdin is None:
            raise NoSecret("there is no standard input to read from")
        return _text(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")
    data = _content(Path(argument))
    return argument if data is None else _text(data, argument)


def _content(path: Path) -> bytes | None:
    """What is in a file; None where there is none of this name, or none can be."""
    try:
        if not path.is_file():
            return None
    except (OSError, ValueError):
        return None
    try:
        return read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        raise NoSecret(f"cannot read {path}: {error.strerror}") from error


def _text(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise NoSecret(f"{name} holds more than {MAX_BYTES // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoSecret(f"{name} is no UTF-8 text") from error
