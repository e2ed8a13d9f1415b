"""Which frames may overtake which on their way to a peer.

Calls and pings are independent of everything else that is under way, so they need not wait for it. What has an order
keeps it: the frames of a channel, the chunks of a streamed call and its end, and the handshake with what follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.protocol.frames import Ping, Pong, RpcRequest, RpcResponse
from myownmesh.transport.session import Order

if TYPE_CHECKING:
    from myownmesh.protocol.frames import Frame

MAX_FREE_BYTES = 4096
"""Longer calls and answers are bulk themselves."""


_FREE: Final = frozenset({Ping.KIND, Pong.KIND})


def order_of(frame: Frame, size: int) -> Order:
    """Of an application's frame, encoded in `size` bytes."""
    match frame:
        case RpcRequest(streaming=False) | RpcResponse() if size <= MAX_FREE_BYTES:
            return Order.FREE
    return Order.IN_TURN


def order_of_control(kind: str) -> Order:
    """Of a frame of the engine's own."""
    return Order.FREE if kind in _FREE else Order.AHEAD
