"""The name of a received file: whatever a peer calls it, one plain name inside one folder (spec 08 §9.5). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_MAX_CHARS: Final = 200
NAME_MAX_BYTES: Final = 230
"""In UTF-8: file systems take 255, and a number and `.part` may be added."""
FALLBACK: Final = "file"
PART_SUFFIX: Final = ".part"
NUMBERED: Final = 1000
"""How many files of one name a folder takes."""

_REPLACED: Final = re.compile(
    "[/\\\\\x00-\x1f\x7f-\x9f"  # separators and control characters
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"  # they hide text, or turn `gpj.exe` round
    "\ud800-\udfff]"  # no file system can write half a character
)
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(?:\.|\Z))", re.IGNORECASE)
"""Devices of Windows, with any extension."""


def sanitize_filename(name: str) -> str:
    """A visible name without directories that every system can store. Applying it twice changes nothing."""
    text = _REPLACED.sub("_", name)
    text = re.sub(r"\A[\s.]+", "", text)
    text = _fitting(text[:NAME_MAX_CHARS])
    if _RESERVED.match(text):
        text = _fitting(f"_{text}"[:NAME_MAX_CHARS])
    return text or FALLBACK


def _fitting(text: str) -> str:
    return re.sub(r"[\s.]+\Z", "", text.encode()[:NAME_MAX_BYTES].decode(errors="ignore"))


def candidates(name: str) -> Iterator[str]:
    """The name, then ` (1)`, ` (2)` … before its extension, for a folder where it is taken."""
    yield name
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    for number in range(1, NUMBERED):
        yield f"{stem} ({number}){dot}{extension}"
