"""The pin: which daemon release an app is built against (spec 09 §2).

A pin is a release tag, a bare version or a full commit id; everything else is an error with its own code, because a
pin that floats or that nobody can read is how two devices end up with two daemons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh_common.files import read_regular
from mesh_common.semver import SemVer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

PIN_MAX_BYTES = 4096
"""A pin is one line; anything longer is another file under this name."""

# Patterns as texts: a sound pin needs none of the first four, and compiling costs more than reading the file.
_INCOMPLETE = r"[vV]?[0-9]{1,6}(?:\.[0-9]{1,6})?"
_FULL_COMMIT = r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}"
_SHORT_COMMIT = r"[0-9a-fA-F]{7,39}"
_THREE_FIELDS = r"[vV]?[0-9]+\.[0-9]+\.[0-9]+"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_COMMENT = r"(?:^|(?<=[ \t]))#.*"
_LINE_END = r"\r\n|\r|\n"
_FLOATING = frozenset({"latest", "main", "master", "head", "stable", "beta", "nightly"})

_WHY = {
    "pin_unreadable": "its file cannot be read",
    "pin_too_large": f"it is larger than {PIN_MAX_BYTES} bytes",
    "pin_not_utf8": "it is not UTF-8 text",
    "pin_bad_character": "it holds a control character",
    "pin_multiple_lines": "it holds more than one value",
    "pin_incomplete_version": "the version needs three numbers",
    "pin_abbreviated_commit": "a commit must be written in full",
    "pin_floating": "a branch or channel moves, so two builds would get two daemons",
    "pin_bad_case": "the tag starts with a small v",
    "pin_bad_version": "it is not a valid semantic version",
    "pin_unrecognised": "it is neither a release tag, a version nor a full commit id",
}


@dataclass(frozen=True, slots=True)
class Pin:
    """A wanted daemon. `tag` and `version` are set for releases, `commit` for commits; a commit has no download."""

    kind: Literal["tag", "version", "commit"]
    raw: str
    version: SemVer | None
    commit: str | None

    @property
    def tag(self) -> str | None:
        """The release tag, `v` + version; None for a commit."""
        return None if self.version is None else f"v{self.version}"

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.tag or self.raw

    def to_json(self) -> dict[str, object]:
        return {"raw": self.raw, "kind": self.kind, "tag": self.tag, "commit": self.commit}


@dataclass(frozen=True, slots=True)
class NoPin:
    """No pin was given; that is an error unless an override or `--allow-unpinned` answers for it."""

    reason: Literal["missing_file", "empty_file"]

    label = "no pin"

    def to_json(self) -> dict[str, object]:
        return {"raw": None, "kind": "absent", "tag": None, "commit": None}


class PinError(ValueError):
    """A pin that cannot be used. `code` is one of the `pin_*` codes of spec 09 §2, `why` the reason in words."""

    def __init__(self, code: str, value: str = "", *, why: str = "") -> None:
        self.code, self.value, self.why = code, value, why or _WHY[code]
        shown = f" {value[:80]!r}" if value else ""
        super().__init__(f"The pin{shown} cannot be used: {self.why}.")


def read_pin(path: Path) -> Pin | NoPin:
    """The pin in a file. Raises `PinError`, also for a file that is there and cannot be read."""
    try:
        return parse_pin(read_regular(path, PIN_MAX_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError):
        return NoPin("missing_file")
    except OSError as error:
        raise PinError("pin_unreadable", why=f"{path} cannot be read ({error.strerror})") from error


def parse_pin(data: bytes | None) -> Pin | NoPin:
    """Read the content of a pin file (None = there is no file).

    Raises `PinError`; the order of the checks is that of spec 09 §2.
    """
    if data is None:
        return NoPin("missing_file")
    if len(data) > PIN_MAX_BYTES:
        raise PinError("pin_too_large")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise PinError("pin_not_utf8") from None
    if re.search(_CONTROL, text):
        raise PinError("pin_bad_character", text)
    lines = [re.sub(_COMMENT, "", line).strip(" \t") for line in re.split(_LINE_END, text)]
    values = [line for line in lines if line]
    if not values:
        return NoPin("empty_file")
    if len(values) > 1:
        raise PinError("pin_multiple_lines", " / ".join(values))
    return _classify(values[0])


def _classify(raw: str) -> Pin:
    version = SemVer.parse(raw.removeprefix("v"))
    if version is not None:
        return Pin("tag" if raw.startswith("v") else "version", raw, version, None)
    if re.fullmatch(_FULL_COMMIT, raw):
        return Pin("commit", raw, None, raw.lower())
    if re.fullmatch(_INCOMPLETE, raw):
        code = "pin_incomplete_version"
    elif re.fullmatch(_SHORT_COMMIT, raw):
        code = "pin_abbreviated_commit"
    elif raw.lower() in _FLOATING:
        code = "pin_floating"
    elif raw.startswith("V") and SemVer.parse(raw[1:]) is not None:
        code = "pin_bad_case"
    elif re.match(_THREE_FIELDS, raw):
        code = "pin_bad_version"
    else:
        code = "pin_unrecognised"
    raise PinError(code, raw)
