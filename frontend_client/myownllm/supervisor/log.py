"""What the daemon prints: kept in a ring, written to a rotating file, secrets masked (spec 08 §3.5)."""

from __future__ import annotations

import os
import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myownllm.effects import Level

RING_LINES: Final = 2000
LINE_MAX_BYTES: Final = 8192
ROTATE_BYTES: Final = 5 * 2**20
ROTATIONS: Final = 5
TROUBLE_PER_SECOND: Final = 10
_ESCAPES: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_SECRETS: Final = re.compile(
    r"((?:credential|password|secret|token|secret_key|bearer)\"?\s*[:=]\s*\"?)([^\s\",}]+)", re.IGNORECASE
)

_TROUBLE: Final = re.compile(r"\S+Z\s+(WARN|ERROR)\s+(.*)")
"""`<timestamp>Z  WARN text`, ours and the reference's."""


def clean(line: bytes) -> str:
    """One printable line: no terminal escapes, bounded, no secret."""
    text = _ESCAPES.sub(b"", line[:LINE_MAX_BYTES]).decode(errors="replace").rstrip()
    text = "".join(c if c.isprintable() or c == "\t" else "�" for c in text)
    return _SECRETS.sub(r"\1***", text)


class DaemonLog:
    """The captured output of daemons. Never raises and never waits: a full disk costs lines of the file only.

    `on_trouble` gets (`warn` or `error`, text) of every line of that level.
    """

    def __init__(self, path: Path | None, on_trouble: Callable[[str, str], None] | None = None) -> None:
        self._path = path
        self._on_trouble = on_trouble
        self._ring: deque[str] = deque(maxlen=RING_LINES)
        self._partial = b""

    def tail(self, lines: int) -> list[str]:
        return list(self._ring)[-lines:]

    def feed(self, data: bytes) -> None:
        """Take output as it comes; only whole lines are kept."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > LINE_MAX_BYTES:
            lines.append(self._partial)
            self._partial = b""
        self._keep([clean(line) for line in lines])

    def flush(self) -> None:
        """The output ended: an unfinished line counts."""
        if self._partial:
            self._keep([clean(self._partial)])
            self._partial = b""

    def _keep(self, lines: list[str]) -> None:
        if not lines:
            return
        self._ring.extend(lines)
        if self._on_trouble is not None:
            for line in lines:
                found = _TROUBLE.match(line)
                if found:
                    self._on_trouble(found.group(1).lower(), found.group(2))
        if self._path is None:
            return
        try:
            self._rotate(self._path)
            with open(self._path, "a", encoding="utf-8", opener=_private) as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError:
            return

    def _rotate(self, path: Path) -> None:
        try:
            if path.stat().st_size < ROTATE_BYTES:
                return
        except FileNotFoundError:
            return
        for number in range(ROTATIONS, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK, 0o600)  # a pipe that nobody reads must not hold anybody up


class TroubleLimit:
    """Passes ten lines a second on to the activity log, then says how many it held back (spec 08 §3.5)."""

    def __init__(self, clock: Callable[[], float], tell: Callable[[Level, str], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._window = float("-inf")
        self._told = 0
        self._held = 0

    def __call__(self, level: str, text: str) -> None:
        now = self._clock()
        if now - self._window >= 1:
            self._window, self._told = now, 0
            if self._held:
                self._tell("warn", f"suppressed {self._held} lines")
                self._held = 0
        if self._told >= TROUBLE_PER_SECOND:
            self._held += 1
            return
        self._told += 1
        self._tell("error" if level == "error" else "warn", text)


def last_lines(file: Path, count: int) -> list[str]:
    """The end of the log, over its rotations, oldest line first. Blocking."""
    kept: deque[str] = deque(maxlen=count)
    numbered = (file.with_name(f"{file.name}.{number}") for number in range(ROTATIONS, 0, -1))
    for path in (*numbered, file):
        try:
            with path.open(encoding="utf-8", errors="replace") as text:
                kept.extend(line.rstrip("\n") for line in text)
        except OSError:
            continue
    return list(kept)
