"""Lines on their way to stdout, whose reader may be slow, stopped or gone: the app never waits for one of them.

A terminal that was stopped with Ctrl-S, a pager and a full pipe take nothing for minutes. A thread of its own waits for
them; meanwhile a bounded number of lines is kept, the newest ones, and how many were lost is said in their place.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.streams import words

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_LINES: Final = 2000
"""A few screens of what happened last; who wants everything reads."""
KEPT_BYTES: Final = 2**20
FAREWELL_S: Final = 0.5
"""At the end a reader that takes nothing for that long gets nothing more."""


class LineQueue:
    """Lines in order; what does not fit pushes the oldest out. `lost_line` makes the line that tells how many."""

    def __init__(self, lost_line: Callable[[int], str], write: Callable[[str], None] = words.say) -> None:
        """`write` may block for as long as the reader likes; it is called in a thread, one call at a time."""
        self.gone = trio.Event()
        """Nobody takes the lines any more."""
        self._lost_line = lost_line
        self._write = write
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._lost = 0
        self._more = trio.Event()
        self._taken = trio.Event()
        self._is_writing = False

    def put(self, line: str) -> None:
        """Say one line, now or soon."""
        if self.gone.is_set():
            return
        self._lines.append(line)
        self._bytes += len(line)
        while len(self._lines) > KEPT_LINES or (self._bytes > KEPT_BYTES and len(self._lines) > 1):
            self._bytes -= len(self._lines.popleft())
            self._lost += 1
        self._more.set()

    async def pass_on(self) -> None:
        """Write what comes, until cancelled or until the reader is gone."""
        while not self.gone.is_set():
            await self._more.wait()
            self._is_writing = True
            await trio.to_thread.run_sync(self._write, self._next(), abandon_on_cancel=True)
            self._is_writing = False
            self._taken.set()
            self._taken = trio.Event()
            if words.gone():
                self.gone.set()

    async def finish(self) -> None:
        """Return when everything is written, the reader is gone, or it has taken nothing for a while."""
        while not self.gone.is_set() and (self._lines or self._is_writing):
            with trio.move_on_after(FAREWELL_S) as patience:
                await self._taken.wait()
            if patience.cancelled_caught:
                return

    def _next(self) -> str:
        """Everything that waits, as one text."""
        lost, self._lost = self._lost, 0
        lines = [self._lost_line(lost), *self._lines] if lost else [*self._lines]
        self._lines.clear()
        self._bytes = 0
        self._more = trio.Event()
        return "".join(f"{line}\n" for line in lines)
