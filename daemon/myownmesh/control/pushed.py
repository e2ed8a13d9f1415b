"""What is pushed over an event connection to one client: each kind of frame is a class (spec 05 §10.2).

Members stand in their order on the wire. Events and their losses have lines of their own (`answers`), because they go
to every client.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

_lines = msgspec.json.Encoder().encode_lines


class Pushed(Struct, frozen=True, gc=False, tag_field="kind"):
    """A frame."""

    def line(self) -> bytes:
        """As it goes over the socket. Line feeds between the tokens of a payload become spaces, which mean the same."""
        line = _lines((self,))
        return line if line.find(b"\n") == len(line) - 1 else line[:-1].replace(b"\n", b" ") + b"\n"


class RpcInbound(Pushed, frozen=True, gc=False, tag="rpc_inbound", rename={"peer": "from"}):
    """A peer calls a method that this client serves."""

    network: str
    """As this client named it."""
    peer: str
    request_id: str
    method: str
    payload: Raw
    streaming: bool
    """Chunks are wanted."""


class RpcCallStreamChunk(Pushed, frozen=True, gc=False, tag="rpc_call_stream_chunk"):
    """A part of an answer."""

    request_id: str
    payload: Raw


class RpcCallStreamEnd(Pushed, frozen=True, gc=False, tag="rpc_call_stream_end"):
    """No more parts come."""

    request_id: str
    error: str | None


class ChannelInbound(Pushed, frozen=True, gc=False, tag="channel_inbound", rename={"peer": "from"}):
    """A peer has sent on a channel that this client listens to."""

    network: str
    """As this client named it."""
    peer: str
    channel: str
    payload: Raw


class HandlerDisplaced(Pushed, frozen=True, gc=False, tag="handler_displaced"):
    """Another client has claimed a method of this one."""

    network: str
    method: str
    by: str
