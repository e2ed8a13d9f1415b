"""Bytes in, request lines out (spec 05 §2).

A line ends with LF; a CR before it is dropped. Cost is linear in what arrives, however it is cut into pieces.
"""

from __future__ import annotations

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest request line (spec 05 W5): the longest honest one is a video key frame in base64."""

MAX_LONG_LINES_BYTES = 64 * 1024 * 1024
"""For all connections together."""

FREE_BYTES = 512 * 1024
"""A buffer up to this size does not count: requests without media stay below it."""


class LineTooLong(ValueError):
    """More than the limit arrived without a line end; nothing of this stream can be trusted any more."""


class Budget:
    """Memory that long lines of all connections may take together: each may be honest, five hundred are not."""

    __slots__ = ("_limit", "_used")

    def __init__(self, limit: int = MAX_LONG_LINES_BYTES) -> None:
        self._limit = limit
        self._used = 0

    def change(self, before: int, now: int) -> bool:
        """A buffer went from `before` to `now` bytes; False when that is more than there is to share."""
        self._used += max(now, FREE_BYTES) - max(before, FREE_BYTES)
        return now <= FREE_BYTES or self._used <= self._limit


class LineBuffer:
    """Collects received bytes and cuts them into lines without their ends."""

    __slots__ = ("_buffer", "_limit", "_scanned", "_start")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._scanned = 0
        self._limit = limit

    def __len__(self) -> int:
        """Bytes that wait, complete lines included."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        if self._start:
            # Only here, once per read: cutting the front off for every line would be quadratic.
            del self._buffer[: self._start]
            self._scanned -= self._start
            self._start = 0
        self._buffer += data

    def next_line(self) -> bytes | None:
        """The next complete line, or None. Raises `LineTooLong`."""
        if self._start == len(self._buffer):
            return None
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned - self._start > self._limit:
                raise LineTooLong
            return None
        if end - self._start > self._limit:
            raise LineTooLong
        line = self._cut(end)
        self._start = self._scanned = end + 1
        return line

    def last_line(self) -> bytes | None:
        """At the end of the stream: what stands behind the last LF, or None when nothing does."""
        end = len(self._buffer)
        if self._start == end:
            return None
        line = self._cut(end)
        self.clear()
        return line

    def clear(self) -> None:
        """Forget everything."""
        self._buffer = bytearray()
        self._start = self._scanned = 0

    def _cut(self, end: int) -> bytes:
        if end > self._start and self._buffer[end - 1] == 0x0D:
            end -= 1
        return bytes(memoryview(self._buffer)[self._start : end])
