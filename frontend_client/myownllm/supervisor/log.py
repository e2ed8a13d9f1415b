"""What the daemon prints: kept in a ring, written to a rotating file, secrets masked (spec 08 §3.5)."""

from __future__ import annotations

import os
import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RING_LINES: Final = 2000
LINE_MAX_BYTES: Final = 8192
ROTATE_BYTES: Final = 5 * 2**20
ROTATIONS: Final = 5
_ESCAPES: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_SECRETS: Final = re.compile(
    r"((?:credential|password|secret|token|secret_key|bearer)\"?\s*[:=]\s*\"?)([^\s\",}]+)", re.IGNORECASE
)


def clean(line: bytes) -> str:
    """One printable line: no terminal escapes, bounded, no secret."""
    text = _ESCAPES.sub(b"", line[:LINE_MAX_BYTES]).decode(errors="replace").rstrip()
    text = "".join(c if c.isprintable() or c == "\t" else "�" for c in text)
    return _SECRETS.sub(r"\1***", text)


class DaemonLog:
    """The captured output of daemons. Never raises and never waits: a full disk costs lines of the file only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
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
    return os.open(path, flags, 0o600)
