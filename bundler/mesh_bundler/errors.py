"""What the bundler says when it will not go on, and what it remarks on the way.

`Refused` ends a run, a `Notice` does not. Both carry a stable id for machines and a sentence for people: what is
wrong with which thing, and the way out. Exit codes are those of spec 09 §9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Exit(IntEnum):
    """Exit status of `mesh-bundler` (spec 09 §9)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    PIN = 3
    OVERRIDE = 4
    TARGET = 5
    NETWORK = 6
    INTEGRITY = 7
    VERSION = 8
    LOCK = 9
    FILES = 10
    NOT_CURRENT = 11
    INTERRUPTED = 130


class Refused(Exception):
    """The bundler will not do what was asked, and says why.

    `code` is stable and for machines, `exit_code` the status of the command, `hint` the way out in one sentence,
    `detail` facts for a log (never secrets).
    """

    def __init__(self, code: str, exit_code: Exit, message: str, *, hint: str = "", **detail: object) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
        self.message = message
        self.hint = hint
        self.detail = detail
        self.context: dict[str, object] = {}  # what the run knew: slot, target, pin, warnings

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def to_json(self) -> dict[str, object]:
        """The `error` member of the JSON result."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "detail": dict(self.detail)}


@dataclass(frozen=True, slots=True)
class Notice:
    """A remark that does not end the run: one line on stderr, one row of `warnings` when `level` is `warning`."""

    id: str
    text: str
    level: str = "warning"  # "warning" | "info" | "note" (note: shown with -v only)
    fields: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Fields first, so that `id` and `text` cannot be overwritten by one of them."""
        return {**self.fields, "id": self.id, "text": self.text}
