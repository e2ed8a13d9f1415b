"""From which addresses of this machine the relay links go: the best guess at where peers can reach it."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_ours(address: str) -> bool:
    """Is this still an address of this machine? A connection from one that is gone carries nothing any more."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL  # where no socket is to be had nothing is known
    return True


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
