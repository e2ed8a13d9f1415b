"""Pieces of streamed text on their way out: sent together where they come faster than the mesh likes (FE-9.9). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from myownllm.coerce import Json

GATHER_S: Final = 0.03
GATHER_BYTES: Final = 4096
TEXTS: Final = ("delta", "thinking_delta")


class Gatherer:
    """Joins texts of one kind for up to 30 ms or 4 KiB. The first piece after a pause goes out at once.

    `add` and `due` return what is to be sent now, in order; `deadline` says when to ask `due` again.
    """

    def __init__(self) -> None:
        self._kind = ""
        self._texts: list[str] = []
        self._size = 0
        self._sent_at = -GATHER_S

    @property
    def deadline(self) -> float:
        """Infinite while nothing waits."""
        return self._sent_at + GATHER_S if self._texts else float("inf")

    def add(self, piece: Json, now: float) -> list[Json]:
        kind = _kind(piece)
        out = self.flush(now) if kind != self._kind else []
        if not kind:
            self._sent_at = now
            return [*out, piece]
        self._kind = kind
        self._texts.append(piece[kind])
        self._size += len(piece[kind].encode(errors="replace"))
        return [*out, *self.due(now)]

    def due(self, now: float) -> list[Json]:
        if self._size >= GATHER_BYTES or now >= self.deadline:
            return self.flush(now)
        return []

    def flush(self, now: float) -> list[Json]:
        """Everything that waits."""
        if not self._texts:
            return []
        piece = {self._kind: "".join(self._texts)}
        self._texts.clear()
        self._size = 0
        self._sent_at = now
        return [piece]


def _kind(piece: Json) -> str:
    """The one member of a piece of text; empty for any other piece."""
    if isinstance(piece, dict) and len(piece) == 1:
        kind = next(iter(piece))
        if kind in TEXTS and isinstance(piece[kind], str):
            return str(kind)
    return ""
