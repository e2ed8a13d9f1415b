"""Frames to bytes and back (spec 01 §4, §6).

Decoding is strict: a frame that breaks one rule is refused whole. There are two ways through. What every v0.3.8 node
and every node of ours writes is *canonical*: members once, in order, nothing unknown, no needless white space. For such
a text a fast typed parse is enough, and that it was canonical is proved by writing the frame again and comparing. Any
other text is taken apart member by member, by the catalogue in `myownmesh.protocol.shapes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

from myownmesh.protocol import frames
from myownmesh.protocol.shapes import read_frame
from myownmesh.protocol.strict_json import JsonError, check_limits, check_payload_limits, check_unicode, decode_object
from myownmesh.protocol.traffic import traffic_class
from myownmesh.protocol.transitions import UnknownVariant

if TYPE_CHECKING:
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.frames import Frame

__all__ = ["MAX_FRAME_BYTES", "FrameTooLarge", "MalformedFrame", "decode_frame", "encode_frame", "traffic_class"]

MAX_FRAME_BYTES: Final = 65_535
"""Largest message that a v0.3.8 peer can receive; one byte more closes its channel (spec 01 §4.2)."""

_U32: Final = 2**32
_U64: Final = 2**64


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
    build them with `strict_json.dumps`, or take them from a text that `strict_json` has proved.
    """
    data = _ENCODER.encode(frame)
    if len(data) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(data))
    return data


def decode_frame(data: bytes) -> Frame:
    """Read one message of a peer. Raises `MalformedFrame` and nothing else, whatever the bytes are."""
    frame = _parse_canonical(data)
    try:
        if frame is not None:
            check_unicode(data)
            _check_free_values(frame, data)
            return frame
        return read_frame(decode_object(data))
    except JsonError as error:
        raise MalformedFrame(str(error)) from None


def _parse_canonical(data: bytes) -> _Fast | None:
    try:
        frame = _FAST.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return frame if _ENCODER.encode(frame) == data and _in_range(frame) else None


_Fast = (
    frames.Hello
    | frames.AuthResponse
    | frames.Approve
    | frames.Ping
    | frames.Pong
    | frames.Shelve
    | frames.Unshelve
    | frames.CapabilitiesUpdate
    | frames.RpcRequest
    | frames.RpcResponse
    | frames.RpcStreamChunk
    | frames.RpcStreamEnd
    | frames.Channel
    | frames.ChannelSeq
    | frames.ChannelAck
    | frames.RosterSummary
    | frames.RosterRequest
    | frames.NetworkState
    | frames.NetworkStateAck
    | frames.NetworkStateSplit
)
# The three kinds that carry transitions are left out: they are rare, and an unknown variant has no type to parse into.


def _text_of(value: object) -> Raw:
    if isinstance(value, UnknownVariant):
        return Raw(value.text)
    raise TypeError(f"{type(value).__name__} is not part of any frame")


_FAST: Final = msgspec.json.Decoder(_Fast)
_ENCODER: Final = msgspec.json.Encoder(enc_hook=_text_of)


def _in_range(frame: _Fast) -> bool:
    """The parser takes integers of any size; the wire does not."""
    match frame:
        case frames.RpcStreamChunk():
            return 0 <= frame.seq < _U64
        case frames.ChannelSeq():
            return 0 <= frame.seq < _U64 and 0 <= frame.stream < _U64
        case frames.ChannelAck():
            return 0 <= frame.stream < _U64 and 0 <= frame.up_to < _U64
        case frames.Ping() | frames.Pong():
            return -(2**63) <= frame.t < 2**63
        case frames.Hello():
            return 0 <= frame.protocol < _U32 and _is_count(frame.max_connections) and _fits(frame.capabilities)
        case frames.CapabilitiesUpdate():
            return _fits(frame.capabilities)
        case frames.RosterSummary():
            return 0 <= frame.count < _U32 and 0 <= frame.last_edit_ts < _U64
        case frames.NetworkState():
            return 0 <= frame.transitions_count < _U32 and 0 <= frame.member_log_count < _U32
        case frames.NetworkStateAck() | frames.NetworkStateSplit():
            return 0 <= frame.at < _U64
        case _:
            return True


def _is_count(number: int | None) -> bool:
    return number is None or 0 <= number < _U32


def _fits(advert: Capabilities | None) -> bool:
    return advert is None or _is_count(advert.max_connections)


def _check_free_values(frame: _Fast, data: bytes) -> None:
    match frame:
        case frames.Channel() | frames.RpcRequest() | frames.RpcStreamChunk() | frames.ChannelSeq():
            check_payload_limits(frame.payload, data)
        case frames.RpcResponse():
            if frame.ok is not None:
                check_payload_limits(frame.ok, data)
        case frames.Hello() | frames.CapabilitiesUpdate():
            check_limits(data)
        case _:
            pass
