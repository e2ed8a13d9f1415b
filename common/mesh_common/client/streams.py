"""Streamed answers: each chunk to its caller, also those that overtake the call's answer (spec 05 §13.2). Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from mesh_common.client.errors import ControlError, ErrorKind, stream_failure
from mesh_common.client.frames import StreamEnd

if TYPE_CHECKING:
    from typing import Any

    from mesh_common.client.frames import StreamChunk

EARLY_SECONDS: Final = 5.0
"""How long frames wait for a call whose answer is still under way."""
EARLY_FRAMES: Final = 256
"""And how many, over all ids that are not known yet."""
STREAM_FRAMES: Final = 256
"""Chunks that may wait for their reader; one that is slower loses its stream, not the reader of the socket its pace
(FE-4.8)."""
FORGOTTEN: Final = 256
"""Streams whose reader has gone and whose end has not come; frames of older ones count as early and expire."""


class ChunkSink(Protocol):
    """Where the chunks of one stream go."""

    @property
    def full(self) -> bool: ...
    def put(self, item: Any, /) -> None: ...
    def end(self, error: ControlError | None = None, /) -> None: ...


class StreamBook:
    """Which request id belongs to which running call, and the early frames of ids that nobody claimed yet.

    `now` is in seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self._open: dict[str, ChunkSink] = {}
        self._forgotten: dict[str, None] = {}
        self._early: deque[tuple[float, StreamChunk | StreamEnd]] = deque()

    def register(self, request_id: str, sink: ChunkSink, now: float) -> None:
        """Claim an id; what came early is in the sink at once, in order."""
        self._expire(now)
        self._open[request_id] = sink
        early = [frame for _, frame in self._early if frame.request_id == request_id]
        self._early = deque((at, frame) for at, frame in self._early if frame.request_id != request_id)
        for frame in early:
            self.receive(frame, now)

    def receive(self, frame: StreamChunk | StreamEnd, now: float) -> None:
        """Put a frame where it belongs."""
        request_id = frame.request_id
        sink = self._open.get(request_id)
        if sink is None:
            self._without_reader(frame, now)
        elif isinstance(frame, StreamEnd):
            del self._open[request_id]
            sink.end(None if frame.error is None else stream_failure(frame.error))
        elif sink.full:
            self.release(request_id)
            sink.end(ControlError(ErrorKind.TOO_SLOW, "the reader of this stream is too slow"))
        else:
            sink.put(frame.payload)

    def release(self, request_id: str) -> None:
        """The reader is gone; further frames of this id are dropped until its end."""
        if self._open.pop(request_id, None) is not None:
            self._forgotten[request_id] = None
            if len(self._forgotten) > FORGOTTEN:
                del self._forgotten[next(iter(self._forgotten))]

    def end_all(self, error: ControlError) -> None:
        """The event connection is gone, and with it every stream."""
        sinks = tuple(self._open.values())
        self._open.clear()
        self._forgotten.clear()
        self._early.clear()
        for sink in sinks:
            sink.end(error)

    def _without_reader(self, frame: StreamChunk | StreamEnd, now: float) -> None:
        if frame.request_id in self._forgotten:
            if isinstance(frame, StreamEnd):
                del self._forgotten[frame.request_id]
            return
        self._expire(now)
        if len(self._early) == EARLY_FRAMES:
            self._early.popleft()
        self._early.append((now, frame))

    def _expire(self, now: float) -> None:
        while self._early and now - self._early[0][0] > EARLY_SECONDS:
            self._early.popleft()
