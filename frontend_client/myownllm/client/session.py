"""What users and features of the app hold of a life: the way to the daemon, the network, and its end (spec 08 §5.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from myownllm.errors import MeshError, connection_lost
from myownllm.streams import StreamBook

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from myownllm import wire
    from myownllm.bridge import Bridge
    from myownllm.catalog.coerce import Json


@attrs.define(eq=False)
class Session:
    """One life, seen from outside the machine. It ends when the life does."""

    life: int
    bridge: Bridge
    wire_id: str
    """network of the life; empty while none is active"""
    ended: trio.Event = attrs.field(factory=trio.Event)
    streams: StreamBook = attrs.field(factory=StreamBook)
    _wakes: dict[str, trio.Event] = attrs.field(factory=dict)

    async def command(self, operation: str, /, *, timeout_s: float | None = None, **members: Any) -> Json:
        """A command for a caller outside the life.

        Raises MeshError; when the life ends meanwhile, `connection_lost` or `stopped` says how.
        """
        if self.ended.is_set():
            raise self._over()
        result: list[Json] = []
        failure: list[MeshError] = []

        async def run(work: Awaitable[Json]) -> None:
            try:
                result.append(await work)
            except MeshError as error:
                failure.append(error)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, self.bridge.command(operation, timeout_s=timeout_s, **members))
            await self.ended.wait()
            nursery.cancel_scope.cancel()
        if result:
            return result[0]
        raise failure[0] if failure else self._over()

    def _over(self) -> MeshError:
        return connection_lost() if self.bridge.lost.is_set() else MeshError("stopped", "stopped")

    def take(self, piece: wire.StreamChunk | wire.StreamEnd) -> None:
        """A piece of somebody's streamed answer."""
        self.streams.receive(piece, trio.current_time())
        event = self._wakes.get(piece.request_id)
        if event is not None:
            event.set()

    async def stream_wake(self, request_id: str) -> None:
        """Return when something happened to that stream, or the life ended."""
        event = self._wakes[request_id] = trio.Event()
        if not self.ended.is_set():
            await event.wait()

    def forget_stream(self, request_id: str) -> None:
        self.streams.release(request_id)
        self._wakes.pop(request_id, None)

    def end(self) -> None:
        """The life is over: whoever waits here learns it."""
        self.ended.set()
        for event in self._wakes.values():
            event.set()
