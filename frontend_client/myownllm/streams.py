"""Outgoing streaming calls: chunks to the right caller, also those that overtake the call's answer (FE-5.27). Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from myownllm.wire import StreamChunk, StreamEnd

EARLY_SECONDS: Final = 5.0
"""How long frames wait for a call whose answer is still under way."""
EARLY_FRAMES: Final = 256
"""And how many, over all unknown ids."""
STREAM_FRAMES: Final = 256
"""A caller that reads slower than that loses its stream, not the reader its pace (FE-4.8)."""


@attrs.define
class CallStream:
    """Frames of one call in order, until its end. `overflowed` ends it with an error."""

    request_id: str
    frames: deque[StreamChunk | StreamEnd] = attrs.field(factory=deque)
    ended: bool = False
    overflowed: bool = False


class StreamBook:
    """Which request id belongs to which running call, and the early frames of ids that nobody claimed yet."""

    def __init__(self) -> None:
        self._open: dict[str, CallStream] = {}
        self._early: deque[tuple[float, StreamChunk | StreamEnd]] = deque()

    def register(self, request_id: str, now: float) -> CallStream:
        """Claim an id; what came early is in the stream at once, in order."""
        self.expire(now)
        stream = CallStream(request_id)
        self._open[request_id] = stream
        early = [f for _, f in self._early if f.request_id == request_id]
        self._early = deque((t, f) for t, f in self._early if f.request_id != request_id)
        for frame in early:
            self._append(stream, frame)
        return stream

    def receive(self, frame: StreamChunk | StreamEnd, now: float) -> CallStream | None:
        """Put a frame where it belongs; None when it was kept for a call that is about to register."""
        stream = self._open.get(frame.request_id)
        if stream is None:
            self.expire(now)
            if len(self._early) == EARLY_FRAMES:
                self._early.popleft()
            self._early.append((now, frame))
            return None
        self._append(stream, frame)
        return stream

    def release(self, request_id: str) -> None:
        """The caller is gone; later frames of this id are dropped after a while."""
        self._open.pop(request_id, None)

    def expire(self, now: float) -> None:
        while self._early and now - self._early[0][0] > EARLY_SECONDS:
            self._early.popleft()

    def _append(self, stream: CallStream, frame: StreamChunk | StreamEnd) -> None:
        if stream.ended or stream.overflowed:
            return
        if len(stream.frames) >= STREAM_FRAMES:
            stream.overflowed = True
            self._open.pop(stream.request_id, None)
            return
        stream.frames.append(frame)
        if not hasattr(frame, "payload"):
            stream.ended = True
            self._open.pop(stream.request_id, None)
