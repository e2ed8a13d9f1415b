"""The pushing half of an event connection."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from myownmesh.control.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.control.writer import Writer

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024
"""Handed to the socket at a time when a client catches up."""


class EventStream:
    """A `Sink`: straight to the socket while the client keeps up, through a bounded outbox while it does not."""

    def __init__(self, writer: Writer, on_overflow: Callable[[], None], outbox: Outbox | None = None) -> None:
        self._writer = writer
        self._on_overflow = on_overflow
        self._outbox = Outbox() if outbox is None else outbox
        self._open = True

    def direct(self, line: bytes) -> None:
        if not self._open:
            return
        if not self._writer.blocked:
            self._writer.write(line)
        elif not self._outbox.add_direct(line):
            log.warning("an event client does not read its frames; closing its connection")
            self._on_overflow()

    def event(self, line: bytes) -> None:
        if not self._open:
            return
        if self._writer.blocked:
            self._outbox.add_event(line)
        else:
            self._writer.write(line)

    def drained(self) -> None:
        """The socket has taken everything so far: send what waits."""
        while self._outbox and not self._writer.blocked:
            self._writer.write(self._outbox.take(PIECE_BYTES))

    def close(self) -> None:
        """Nothing leaves any more."""
        self._open = False
        self._outbox = Outbox()
