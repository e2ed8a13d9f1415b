"""Which daemon is that, and is it the one this app was built for? Pure readings of version texts (spec 08 §3.9, 09 §3).

The pin is a release tag such as `v0.3.8` or a commit hash. At run time a running daemon is only *compared* (advisory);
a binary that the app would start itself from a build folder must match, or the seed's bug comes back.
"""

from __future__ import annotations

import re
from typing import Final

_SEMVER: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z")
PROGRAM: Final = "myownmesh"
VERSION_OUTPUT_MAX_BYTES: Final = 4096


def version_meets(have: str, want: str) -> bool:
    """Is `have` at least `want`? True as soon as either side cannot be read (spec 08 FE-3.19)."""
    mine, pinned = _triple(have), _triple(want)
    return True if mine is None or pinned is None else mine >= pinned


def _triple(text: str) -> tuple[int, int, int] | None:
    core = re.split(r"[-+]", text.strip().removeprefix("v"), maxsplit=1)[0]
    parts = core.split(".")[:3]
    if len(parts) < 3 or not all(p.isascii() and p.isdigit() for p in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


class VersionUnreadableError(ValueError):
    """`--version` did not print what a daemon prints; the text is the reason's name in spec 09 §3.3."""


def read_version_output(output: bytes) -> str:
    """The version in what `<binary> --version` printed: `myownmesh 0.3.8`.

    Raises VersionUnreadableError.
    """
    if len(output) > VERSION_OUTPUT_MAX_BYTES:
        raise VersionUnreadableError("output_too_large")
    try:
        text = output.decode()
    except UnicodeDecodeError:
        raise VersionUnreadableError("not_utf8") from None
    if not text.strip():
        raise VersionUnreadableError("empty_output")
    first = text.split("\n", 1)[0].strip()
    if not first:
        raise VersionUnreadableError("blank_first_line")
    program, _, rest = first.partition(" ")
    if program != PROGRAM:
        raise VersionUnreadableError("wrong_program")
    version, _, info = rest.strip().partition(" ")
    version = version.removeprefix("v")
    info = info.strip()
    if _SEMVER.match(version) is None or (info and not (info.startswith("(") and info.endswith(")"))):
        raise VersionUnreadableError("unparsable")
    return version


def is_exactly(version: str, pin: str) -> bool:
    """Same release, pre-release part included; build metadata counts only if the pin has some (spec 09 §3.4)."""
    mine, pinned = _SEMVER.match(version.strip()), _SEMVER.match(pin.strip())
    if mine is None or pinned is None:
        return False
    if mine.group(1, 2, 3, 4) != pinned.group(1, 2, 3, 4):
        return False
    if "dirty" in (mine.group(5) or "").lstrip("+").split("."):
        return False
    return pinned.group(5) is None or mine.group(5) == pinned.group(5)
