"""Frames to bytes and back (spec 01 §4, §6).

Decoding is strict: a frame that breaks one rule is refused whole. There are two ways through. What every v0.3.8 node
and every node of ours writes is *canonical*: members once, in order, nothing unknown, no needless white space. For such
a text a fast typed parse is enough, and that it was canonical is proved by writing the frame again and comparing. Any
other text is taken apart member by member, by the catalogue in `myownmesh.protocol.shapes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from myownmesh.protocol import frames
from myownmesh.protocol.compact import compact
from myownmesh.protocol.shapes import read_frame
from myownmesh.protocol.strict_json import JsonError, check_payload_limits, decode_object, is_null
from myownmesh.protocol.traffic import traffic_class
from myownmesh.protocol.transitions import UnknownVariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.frames import Frame

__all__ = ["MAX_FRAME_BYTES", "FrameTooLarge", "MalformedFrame", "decode_frame", "encode_frame", "traffic_class"]

MAX_FRAME_BYTES: Final = 65_535
"""Largest message that a v0.3.8 peer can receive; one byte more closes its channel (spec 01 §4.2)."""

MAX_SPELLED_BYTES: Final = 16 * MAX_FRAME_BYTES
"""Longer texts are not tried: escapes make a character six times as long at most, and indentation little more."""

_U32: Final = 2**32
_U64: Final = 2**64
_I64: Final = 2**63


class MalformedFrame(ValueError):
    """The bytes are no frame; the connection stays and nothing else changes (spec 01 §4.3)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed frame: {reason}")


class FrameTooLarge(ValueError):
    """The encoded frame would not reach a peer."""

    def __init__(self, nbytes: int) -> None:
        super().__init__(f"frame of {nbytes} bytes exceeds the {MAX_FRAME_BYTES}-byte limit")


def encode_frame(frame: Frame) -> bytes:
    """Write a frame as the one JSON object that goes out as one binary message.

    Raises `FrameTooLarge`, and `ValueError` for text with a lone surrogate. Free JSON members are copied as they are:
    build them with `strict_json.dumps`, or take them from a text that `strict_json` has proved. Only what would be too
    long as it stands is spelled anew (spec 05 §12).
    """
    data = _write(frame)
    if MAX_FRAME_BYTES < len(data) <= MAX_SPELLED_BYTES:
        data = compact(data)
    if len(data) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(data))
    return data


def decode_frame(data: bytes) -> Frame:
    """Read one message of a peer. Raises `MalformedFrame` and nothing else, whatever the bytes are."""
    try:
        parsed = _parse(data)
        if _write(parsed) == data and (data.isascii() or data.decode()):
            finish = _FINISH.get(type(parsed))
            frame = parsed if finish is None else finish(parsed, data)
            if frame is not None:
                return frame
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, JsonError):
        pass  # no canonical frame; whether it is one at all, the exact reader says
    try:
        return read_frame(decode_object(data))
    except JsonError as error:
        raise MalformedFrame(str(error)) from None


# ------------------------------------------------------------------------------------------------- the canonical way
# The parser takes integers of any size and looks into no free value. So a kind that has either needs a finish: it
# returns the frame, or None when the exact reader has to decide.


class _Answer(msgspec.Struct, frozen=True, tag_field="kind", tag="rpc_response"):
    """`RpcResponse` with a value that the parser can keep as text: it knows no "text or null"."""

    request_id: str
    ok: Raw
    error: str | None


class _Entries(msgspec.Struct, frozen=True, tag_field="kind", tag="roster_entries"):
    """`RosterEntries` whose logs stay text: an unknown variant has no type to parse into."""

    entries: tuple[frames.RosterEntry, ...]
    transitions: tuple[Raw, ...]
    member_log: tuple[Raw, ...]


_Parsed = (
    frames.Hello
    | frames.AuthResponse
    | frames.Approve
    | frames.Ping
    | frames.Pong
    | frames.Shelve
    | frames.Unshelve
    | frames.RpcRequest
    | _Answer
    | frames.RpcStreamChunk
    | frames.RpcStreamEnd
    | frames.Channel
    | frames.ChannelSeq
    | frames.ChannelAck
    | frames.RosterSummary
    | frames.RosterRequest
    | _Entries
    | frames.NetworkState
)
# Left out are kinds that are rare.


def _text_of(value: object) -> Raw:
    if isinstance(value, UnknownVariant):
        return Raw(value.text)
    raise TypeError(f"{type(value).__name__} is not part of any frame")


_parse: Final = msgspec.json.Decoder(_Parsed).decode
_write: Final = msgspec.json.Encoder(enc_hook=_text_of).encode


def _finish_answer(answer: _Answer, data: bytes) -> Frame:
    check_payload_limits(answer.ok, data)
    return frames.RpcResponse(answer.request_id, None if is_null(answer.ok) else answer.ok, answer.error)


def _finish_payload(frame: frames.RpcRequest | frames.Channel, data: bytes) -> Frame:
    check_payload_limits(frame.payload, data)
    return frame


def _finish_chunk(frame: frames.RpcStreamChunk, data: bytes) -> Frame | None:
    check_payload_limits(frame.payload, data)
    return frame if 0 <= frame.seq < _U64 else None


def _finish_reliable(frame: frames.ChannelSeq, data: bytes) -> Frame | None:
    check_payload_limits(frame.payload, data)
    return frame if 0 <= frame.seq < _U64 and 0 <= frame.stream < _U64 else None


def _finish_acknowledgement(frame: frames.ChannelAck, _: bytes) -> Frame | None:
    return frame if 0 <= frame.stream < _U64 and 0 <= frame.up_to < _U64 else None


def _finish_time(frame: frames.Ping | frames.Pong, _: bytes) -> Frame | None:
    return frame if -_I64 <= frame.t < _I64 else None


def _finish_hello(frame: frames.Hello, _: bytes) -> Frame | None:
    # Counts of a hello are nearly always null; a number is for the exact reader.
    advert = frame.capabilities
    plain = frame.max_connections is None and (advert is None or advert.max_connections is None)
    return frame if plain and 0 <= frame.protocol < _U32 else None


def _finish_entries(frame: _Entries, _: bytes) -> Frame | None:
    # Open networks have no logs; those of closed ones are for the exact reader.
    plain = not frame.transitions and not frame.member_log
    in_range = all(0 <= entry.approved_at < _U64 for entry in frame.entries)
    return frames.RosterEntries(frame.entries) if plain and in_range else None


def _finish_summary(frame: frames.RosterSummary, _: bytes) -> Frame | None:
    return frame if 0 <= frame.count < _U32 and 0 <= frame.last_edit_ts < _U64 else None


def _finish_state(frame: frames.NetworkState, _: bytes) -> Frame | None:
    return frame if 0 <= frame.transitions_count < _U32 and 0 <= frame.member_log_count < _U32 else None


_FINISH: Final[dict[type, Callable[[Any, bytes], Frame | None]]] = {
    _Answer: _finish_answer,
    _Entries: _finish_entries,
    frames.Channel: _finish_payload,
    frames.ChannelAck: _finish_acknowledgement,
    frames.ChannelSeq: _finish_reliable,
    frames.Hello: _finish_hello,
    frames.NetworkState: _finish_state,
    frames.Ping: _finish_time,
    frames.Pong: _finish_time,
    frames.RosterSummary: _finish_summary,
    frames.RpcRequest: _finish_payload,
    frames.RpcStreamChunk: _finish_chunk,
}
