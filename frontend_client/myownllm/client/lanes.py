"""Channel messages on their way to those who listen: per peer and listener in order, one at a time, bounded.

The reader of the daemon's events puts a message in and goes on; a handler that is slow costs its own lane and no other.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from myownllm.errors import FAILURES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from myownllm.client.large import Arrivals
    from myownllm.client.messages import Deliver
    from myownllm.client.registry import Listener
    from myownllm.effects import Level
    from myownllm.peers import PeerEntry

    Spawn = Callable[[int, Callable[[], Awaitable[None]]], object]
    """run a task that ends with the life of that number"""

ALL_BYTES: Final = 64 * 2**20
"""Of all lanes together, whoever listens."""
TURN: Final = 64
"""Messages that a handler without waits may take before the others get a turn: as many as one read of the socket
brings, or a burst of small ones would fill the lane while its handler sleeps."""
TELL_S: Final = 60.0
"""What is dropped on one channel is told once in that time."""


@attrs.define(eq=False)
class _Lane:
    waiting: deque[tuple[PeerEntry, Any, int]] = attrs.field(factory=deque)
    size: int = 0
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class Lanes:
    """All messages that wait for their handlers."""

    def __init__(self, spawn: Spawn, arrivals: Arrivals, note: Callable[[Level, str], None]) -> None:
        self._spawn = spawn
        self._arrivals = arrivals
        self._note = note
        self._lanes: dict[tuple[int, Listener, str], _Lane] = {}
        self._size = 0
        self._silent_until: dict[tuple[str, str], float] = {}

    def put(self, message: Deliver, listener: Listener) -> None:
        """Hand a message on, or drop it when its lane is full."""
        key = (message.life, listener, message.peer.device_pubkey)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            self._spawn(message.life, lambda: self._empty(key, lane))
        if (
            len(lane.waiting) >= listener.messages
            or lane.size + message.size > listener.size_bytes
            or self._size + message.size > ALL_BYTES
        ):
            name = message.peer.device_pubkey[:8]
            self._tell(listener.channel, f"messages of {name} on {listener.channel} come too fast: some are dropped")
            return
        lane.waiting.append((message.peer, message.payload, message.size))
        lane.size += message.size
        self._size += message.size

    def close(self, listener: Listener) -> None:
        """Nobody listens there any more: what waits is dropped, a handler under way cancelled."""
        for (_, owner, _), lane in tuple(self._lanes.items()):
            if owner is listener:
                lane.scope.cancel()

    async def _empty(self, key: tuple[int, Listener, str], lane: _Lane) -> None:
        _, listener, pubkey = key
        try:
            with lane.scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                for number in itertools.count(1):
                    if not lane.waiting:
                        break
                    peer, payload, size = lane.waiting.popleft()
                    lane.size -= size
                    self._size -= size
                    try:
                        await listener.handler(peer, await self._arrivals.whole(pubkey, payload))
                    except FAILURES as error:
                        self._tell(listener.channel, f"a message of {pubkey[:8]} on {listener.channel}: {error}")
                    if number % TURN == 0:
                        await trio.lowlevel.checkpoint()
        finally:
            self._size -= lane.size
            del self._lanes[key]

    def _tell(self, channel: str, text: str) -> None:
        now = trio.current_time()
        self._silent_until = {k: until for k, until in self._silent_until.items() if until > now}
        if (channel, text[:40]) not in self._silent_until:
            self._silent_until[channel, text[:40]] = now + TELL_S
            self._note("warn", text)
