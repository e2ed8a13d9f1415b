"""One bound life of the client: from connecting to a network until it is stopped, switched or cut off (spec 08 §5.9).

A life has one cancel scope and one bridge. Everything it awaits goes through `command`, which re-checks the scope
before its result is used, so nothing of an old life can write into the state of a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from myownllm.client.features import CallLoad
from myownllm.errors import not_connected
from myownllm.streams import StreamBook

if TYPE_CHECKING:
    from myownllm import wire
    from myownllm.bridge import Bridge
    from myownllm.catalog.coerce import Json
    from myownllm.catalog.network import SavedNetwork
    from myownllm.supervisor import Connection


@attrs.define(eq=False)
class Life:
    """State that ends with the life. `finished`: its start has succeeded or failed; `ended`: it left nothing behind."""

    number: int
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    finished: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)
    error: Exception | None = None
    bridge: Bridge | None = None
    connection: Connection | None = None
    network: SavedNetwork | None = None
    """the active record as it was when this life bound to it"""
    catalog_read: bool = False
    wire_id: str = ""
    online: bool = False
    """events, handlers and capabilities are installed; the state may say so"""
    again: bool = False
    """start a new life when this one has ended"""
    early: list[wire.Frame] = attrs.field(factory=list)
    peers_dirty: trio.Event = attrs.field(factory=trio.Event)
    resync: bool = False
    recheck: trio.Event = attrs.field(factory=trio.Event)
    streams: StreamBook = attrs.field(factory=StreamBook)
    stream_events: dict[str, trio.Event] = attrs.field(factory=dict)
    load: CallLoad = attrs.field(factory=CallLoad)
    nursery: trio.Nursery | None = None
    registered: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    """undo commands, in order of installation"""
    displaced_at: dict[str, float] = attrs.field(factory=dict)

    async def command(self, operation: str, /, *, timeout_s: float | None = None, **members: Any) -> Json:
        """A command of this life. Raises MeshError; Cancelled when the life ended meanwhile."""
        if self.bridge is None:
            raise not_connected()
        data = await self.bridge.command(operation, timeout_s=timeout_s, **members)
        await trio.lowlevel.checkpoint_if_cancelled()
        return data

    async def stream_wake(self, request_id: str) -> None:
        """Return when something happened to that outgoing stream, or the life ended."""
        event = self.stream_events[request_id] = trio.Event()
        if not self.ended.is_set():
            await event.wait()

    def wake_streams(self, request_id: str | None = None) -> None:
        """Something happened to one outgoing stream, or to all of them."""
        events = self.stream_events.values() if request_id is None else [self.stream_events.get(request_id)]
        for event in events:
            if event is not None:
                event.set()

    def end(self, *, again: bool = False) -> None:
        """Cancel everything that hangs on this life."""
        self.again = again
        self.scope.cancel()
