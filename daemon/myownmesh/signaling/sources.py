"""From which addresses of this machine the relay links go: the best guess at where peers can reach it."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class RelaySources:
    """The addresses of all relay links that stand at the moment, of whatever network."""

    def __init__(self) -> None:
        self._links: Counter[str] = Counter()

    def addresses(self) -> tuple[str, ...]:
        """Any thread."""
        return tuple(self._links)

    @contextmanager
    def standing(self, address: str) -> Iterator[None]:
        """For the length of the block a link goes from this address."""
        self._links[address] += 1
        try:
            yield
        finally:
            self._links[address] -= 1
            if not self._links[address]:
                del self._links[address]
