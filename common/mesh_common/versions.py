"""What a daemon prints for `--version`, and whether that is the pinned one (spec 08 §3.9, 09 §3). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh_common.pins import NoPin
from mesh_common.semver import SemVer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from mesh_common.pins import Pin

    SiblingPolicy: TypeAlias = Literal["exact", "at_least"]

    Reading: TypeAlias = "Reported | Unreadable"

PROGRAM = "myownmesh"
"""What a daemon calls itself, and its file's name."""
STDOUT_MAX_BYTES = 4096
"""A version is one short line; more is another program."""


_BUILD_INFO = r"\([^()]*\)"
_HEX_WORD = r"(?<![0-9A-Za-z])[0-9a-f]{7,64}(?![0-9A-Za-z])"


@dataclass(frozen=True, slots=True)
class Reported:
    """The binary named itself and its version; `commits` are the hex words of its bracketed build info."""

    version: SemVer
    commits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The binary did not say which version it is. `detail` is a tail of stderr or the system's message."""

    reason: str
    detail: str = ""


def read_version(stdout: bytes, exit_code: int | None, *, program: str, detail: str = "") -> Reading:
    """Interpret one run of `<binary> --version`. `exit_code` is None after a timeout, negative after a signal."""
    if exit_code is None:
        return Unreadable("timeout", detail)
    if exit_code != 0:
        return Unreadable("killed" if exit_code < 0 else "exit_status", detail)
    if len(stdout) > STDOUT_MAX_BYTES:
        return Unreadable("output_too_large", detail)
    try:
        text = stdout.decode("utf-8")
    except UnicodeDecodeError:
        return Unreadable("not_utf8", detail)
    if not text.strip():
        return Unreadable("empty_output", detail)
    line = text.split("\n", 1)[0].removesuffix("\r")
    words = line.split(maxsplit=2)
    if not words:
        return Unreadable("blank_first_line", detail)
    if words[0] != program:
        return Unreadable("wrong_program", detail or line[:80])
    version = SemVer.parse(words[1].removeprefix("v")) if len(words) > 1 else None
    info = words[2].strip() if len(words) > 2 else ""
    if version is None or (info and not re.fullmatch(_BUILD_INFO, info)):
        return Unreadable("unparsable", detail or line[:80])
    return Reported(version, tuple(re.findall(_HEX_WORD, info.lower())))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`match`, `mismatch`, `unreadable` or `no_pin`, why, and the version that was read."""

    verdict: Literal["match", "mismatch", "unreadable", "no_pin"]
    reason: str | None
    version: str | None

    @property
    def matches(self) -> bool:
        return self.verdict == "match"


def compare(pin: Pin | NoPin, reading: Reading, policy: SiblingPolicy = "exact") -> Verdict:
    """Is this the pinned daemon?

    `exact` is the rule for downloads and the default for siblings; `at_least` is opt-in for siblings.
    """
    if isinstance(reading, Unreadable):
        return Verdict("unreadable", reading.reason, None)
    have, text = reading.version, str(reading.version)
    if isinstance(pin, NoPin):
        return Verdict("no_pin", None, text)
    if pin.version is None:
        proven = any(pin.commit is not None and pin.commit.startswith(word) for word in reading.commits)
        return Verdict("match", "build_commit", text) if proven else Verdict("mismatch", "commit_unverifiable", text)
    want = pin.version
    if have.precedence < want.precedence:
        return Verdict("mismatch", "older", text)
    if policy == "at_least":
        return Verdict("match", None, text)
    if have.precedence > want.precedence:
        return Verdict("mismatch", "newer", text)
    if want.build and have.build != want.build:
        return Verdict("mismatch", "build_metadata", text)
    if "dirty" in have.build:
        return Verdict("mismatch", "dirty_build", text)
    return Verdict("match", None, text)


def spawn_failure(platform: str, *, errno: int | None = None, winerror: int | None = None) -> tuple[str, int]:
    """Why the system would not start a binary that exists: (reason, how often to try again)."""
    if winerror is not None:
        reason = {193: "wrong_arch", 216: "wrong_arch", 225: "blocked_by_antivirus", 32: "file_busy", 33: "file_busy"}
        found = reason.get(winerror, "not_executable")
        return found, 10 if found == "file_busy" else 0
    if errno == 26:  # ETXTBSY: another process still holds the file open for writing
        return "text_busy", 3
    if platform == "darwin" and errno == 86:  # EBADARCH
        return "wrong_arch", 0
    # ENOENT for a file that exists: its loader is missing, so it was built for another libc
    reasons = {8: "wrong_arch", 13: "not_executable", 2: "missing_interpreter"}
    return reasons.get(errno or 0, "not_executable"), 0


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
