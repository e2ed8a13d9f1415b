"""The control protocol of one daemon, as its client speaks it: lines, answers, pushed frames, limits (spec 08 §4, 05).

Sans-IO: two shells use it, `bridge` (trio, for the running app) and `oneshot` (blocking, for commands).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from myownllm.errors import MeshError, refusal

if TYPE_CHECKING:
    from myownllm.catalog.coerce import Json, JsonObject

MAX_REQUEST_BYTES: Final = 8 * 2**20
"""What our daemon reads before it closes (05 W5)."""
MAX_LINE_BYTES: Final = 32 * 2**20
"""A longer answer or frame is not from a daemon (FE-4.4)."""
MAX_PAYLOAD_BYTES: Final = 64_000
"""What fits into one mesh frame beside its envelope (FE-4.15)."""
MAX_NAME_BYTES: Final = 256
"""Methods, channels and stream names."""
CONNECT_TIMEOUT_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 0.8
"""FE-3.1."""
FAST_TIMEOUT_S: Final = 10.0
"""Operations that touch memory or one file."""
ENGINE_TIMEOUT_S: Final = 45.0
"""An engine may stall about 10 s during a network change (05 §17 rule 2)."""

_FAST: Final = frozenset(
    {
        "status", "networks_list", "peers_list", "roster_list", "identity_show", "identity_set_label", "config_show",
        "network_id_generate", "network_id_normalize", "rpc_register", "rpc_unregister", "rpc_respond",
        "rpc_stream_end", "channel_subscribe", "channel_unsubscribe", "capabilities_set", "events_subscribe",
    }
)  # fmt: skip


def timeout_of(operation: str) -> float:
    """Seconds to wait for the answer of an operation (FE-4.3)."""
    return FAST_TIMEOUT_S if operation in _FAST else ENGINE_TIMEOUT_S


def compact(value: Json) -> bytes:
    """Compact UTF-8 JSON. Raises MeshError `validation` for what JSON cannot carry."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise MeshError("validation", f"not JSON: {error}") from None


def request_line(operation: str, members: JsonObject) -> bytes:
    """One request line. Raises MeshError `too_large` or `validation` before anything is sent."""
    for name in ("payload", "ok"):
        if name in members:
            size = len(compact(members[name]))
            if size > MAX_PAYLOAD_BYTES:
                raise MeshError("too_large", f"payload too large for one mesh frame ({size} bytes)")
    for name in ("method", "channel"):
        if len(str(members.get(name, "")).encode()) > MAX_NAME_BYTES:
            raise MeshError("validation", f"{name} name is longer than {MAX_NAME_BYTES} bytes")
    line = compact({"op": operation, **members}) + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        text = f"request `{operation}` is {len(line)} bytes; the daemon reads {MAX_REQUEST_BYTES}"
        raise MeshError("too_large", text)
    return line


def parse_object(line: bytes) -> JsonObject:
    """A line that must be one JSON object. Raises MeshError `protocol`."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MeshError("protocol", "the daemon's answer is not JSON; is another program on this socket?") from None
    if not isinstance(value, dict):
        raise MeshError("protocol", "the daemon's answer is not a JSON object")
    return value


def answer_data(line: bytes) -> Json:
    """The `data` of an answer. Raises the `refusal` that it tells, or MeshError `protocol`."""
    answer = parse_object(line)
    match answer.get("ok"):
        case True:
            return answer.get("data")
        case False:
            text = answer.get("error")
            raise refusal(text if isinstance(text, str) else "(no error)")
        case _:
            raise MeshError("protocol", "the daemon's answer has no `ok`")


class LineBuffer:
    """Cuts received bytes into lines; a longer line than the limit is a protocol error, not memory."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines without their end. Raises MeshError `protocol`."""
        self._buffer += data
        lines: list[bytes] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            lines.append(bytes(self._buffer[start:end]).rstrip(b"\r"))
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if len(self._buffer) > self._limit:
            raise MeshError("protocol", f"the daemon sent a line of more than {self._limit} bytes")
        return lines

    def rest(self) -> bytes:
        """An unterminated last line, which counts when the daemon closes behind it."""
        return bytes(self._buffer)


# --- pushed frames (FE-4.6) -----------------------------------------------------------------------------------------


@attrs.frozen
class EventFrame:
    event: dict[str, Any]


@attrs.frozen
class Lagged:
    skipped: int


@attrs.frozen
class RpcInbound:
    network: str
    from_peer: str
    request_id: str
    method: str
    payload: Any = attrs.field(repr=False)
    streaming: bool


@attrs.frozen
class StreamChunk:
    request_id: str
    payload: Any = attrs.field(repr=False)


@attrs.frozen
class StreamEnd:
    request_id: str
    error: str | None


@attrs.frozen
class ChannelInbound:
    network: str
    from_peer: str
    channel: str
    payload: Any = attrs.field(repr=False)


@attrs.frozen
class HandlerDisplaced:
    network: str
    method: str
    by: str


Frame = EventFrame | Lagged | RpcInbound | StreamChunk | StreamEnd | ChannelInbound | HandlerDisplaced


def parse_frame(raw: JsonObject) -> Frame | None:
    """A pushed frame, or None for a kind that this app does not use or a frame that lacks a member."""

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
                return ChannelInbound(text("network"), text("from"), text("channel"), raw.get("payload"))
            case "handler_displaced":
                return HandlerDisplaced(text("network"), text("method"), str(raw.get("by", "")))
            case _:
                return None
    except KeyError:
        return None


def subscription_id(data: Json) -> str:
    """The client id in the answer of `events_subscribe`. Raises MeshError `protocol` without one."""
    client_id = data.get("client_id") if isinstance(data, dict) else None
    if not isinstance(client_id, str) or not client_id:
        raise MeshError("protocol", "the daemon accepted the event subscription without a client id")
    return client_id
