"""What a daemon pushes on an event connection (spec 05 §10.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import parse_object
from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


class EventFrame(Value, frozen=True):
    """A mesh event, as it stands in the frame; `mesh_common.reading.read_event` gives it a class."""

    event: Mapping[str, Any]


class Lagged(Value, frozen=True):
    """So many events were dropped because this program read too slowly: ask anew for what matters."""

    skipped: int


@frozen
class RpcInbound:
    """A peer called a method that this client claimed."""

    network: str
    """As the client named it when it claimed the method."""
    peer: str
    request_id: str
    method: str
    payload: Any = field(repr=False)
    streaming: bool
    """The caller expects chunks; the answer follows the claim all the same (spec 05 §13.1)."""


@frozen
class StreamChunk:
    request_id: str
    payload: Any = field(repr=False)


class StreamEnd(Value, frozen=True):
    request_id: str
    error: str | None


@frozen
class ChannelInbound:
    """A message on a subscribed channel; `network` as the client named it."""

    network: str
    peer: str
    channel: str
    payload: Any = field(repr=False)
    size: int = field(default=0, eq=False)
    """bytes of the line that it came in"""


class HandlerDisplaced(Value, frozen=True):
    """Another client, `by`, claimed the method; it answers from now on."""

    network: str
    method: str
    by: str


Frame = EventFrame | Lagged | RpcInbound | StreamChunk | StreamEnd | ChannelInbound | HandlerDisplaced


def read_frame(line: bytes) -> Frame | None:
    """A pushed frame; None for a kind that is not known here and for a line that is no frame (FE-4.6)."""
    try:
        return parse_frame(parse_object(line), len(line))
    except ControlError:
        return None


def parse_frame(raw: Mapping[str, Any], size: int = 0) -> Frame | None:
    """The frame of a decoded line of `size` bytes, or None as `read_frame`."""

    def text(name: str) -> str:
        value = raw[name]
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    try:
        match raw.get("kind"):
            case "event":
                event = raw["event"]
                return EventFrame(event) if isinstance(event, dict) else None
            case "lagged":
                skipped = raw.get("skipped")
                return Lagged(skipped if isinstance(skipped, int) else 0)
            case "rpc_inbound":
                return RpcInbound(
                    text("network"),
                    text("from"),
                    text("request_id"),
                    text("method"),
                    raw.get("payload"),
                    raw.get("streaming") is True,
                )
            case "rpc_call_stream_chunk":
                return StreamChunk(text("request_id"), raw.get("payload"))
            case "rpc_call_stream_end":
                error = raw.get("error")
                return StreamEnd(text("request_id"), error if isinstance(error, str) else None)
            case "channel_inbound":
                return ChannelInbound(text("network"), text("from"), text("channel"), raw.get("payload"), size)
            case "handler_displaced":
                return HandlerDisplaced(text("network"), text("method"), str(raw.get("by", "")))
            case _:
                return None
    except KeyError:
        return None
