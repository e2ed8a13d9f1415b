"""What happened lately: a list that forgets its older half when it grows too long."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

KEPT = 100_000
"""Items that are certainly there: more than any test looks back, and some megabytes."""


class Recent(list[T], Generic[T]):
    """A list to append to."""

    def append(self, item: T, /) -> None:
        super().append(item)
        if len(self) > 2 * KEPT:
            del self[:KEPT]
