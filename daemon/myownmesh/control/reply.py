"""The answer to one request that may come later than the request's turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Reply:
    """Holds the place of one answer in its connection's order.

    An op calls `send` once, at once or later. `abandon`, if the op sets it, is called when the client has gone away
    while the answer was still awaited; it ends the wait, never what the op has set in motion (spec 05 W19).
    """

    __slots__ = ("abandon", "deliver", "line")

    def __init__(self) -> None:
        self.line: bytes | None = None
        self.deliver: Callable[[bytes], None] | None = None
        """Set by the connection when it has moved on without the answer."""
        self.abandon: Callable[[], None] | None = None

    def send(self, line: bytes) -> None:
        """Give the answer; a second one is ignored."""
        if self.line is not None:
            return
        self.line = line
        if self.deliver is not None:
            self.deliver(line)
