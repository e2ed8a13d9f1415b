"""Channel frames that travel over forwarders: an envelope with a wrapper inside (spec 01 §14)."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from myownmesh.protocol.frames import Channel

RELAY_CHANNEL: Final = "__mesh_relay__/v1"
"""The channel that envelopes travel on. What is no envelope there belongs to its subscribers."""
RELAY_TAG: Final = "service:relay"
"""How a device advertises that it hands on what others send (spec 06 §4)."""

_NULL: Final = Raw(b"null")
_U64_MAX: Final = 2**64 - 1
_TTL_BITS: Final = 0xFF


class Routed(msgspec.Struct, frozen=True):
    """An inner channel frame on its way."""

    dst: str
    """Whom it is for; empty means everybody."""
    src: str
    """Who sent it; empty means whoever carries it."""
    channel: str
    body: Raw
    ttl: int
    """Hops that are left."""
    id: int
    """By which copies are known; 0 means that nobody looks for copies."""


class Envelope(msgspec.Struct, frozen=True):
    """What every payload of the channel is, whatever it carries."""

    payload: Raw
    dst: str = ""
    src: str = ""


class _Wrapper(msgspec.Struct, frozen=True):
    channel: str = msgspec.field(name="__channel")
    body: Raw = msgspec.field(name="__body")
    ttl: int = msgspec.field(name="__ttl")
    id: int = msgspec.field(name="__id")


class _Handed(msgspec.Struct, frozen=True):
    """What a relay writes (spec 06 §5.2)."""

    dst: str
    src: str
    payload: Raw


class _Sealed(msgspec.Struct, frozen=True):
    """As `Envelope`, in the order in which it is written."""

    dst: str
    src: str
    payload: _Wrapper


_read_envelope: Final = msgspec.json.Decoder(Envelope).decode
_read_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_read_text: Final = msgspec.json.Decoder(str).decode
_read_number: Final = msgspec.json.Decoder(int).decode


def read_envelope(payload: Raw) -> Envelope | None:
    """None if it is no envelope."""
    try:
        return _read_envelope(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def onward(src: str, payload: Raw) -> Raw:
    """The envelope in which a relay hands on what this origin sent: whom it is for was the relay's to know."""
    return Raw(msgspec.json.encode(_Handed("", src, payload)))


def read_routed(payload: Raw) -> Routed | None:
    """The frame inside a payload of the relay channel; None if it is no envelope, or carries another envelope."""
    try:
        envelope = _read_envelope(payload)
        members = _read_members(envelope.payload)
        channel = _read_text(members["__channel"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
        return None
    if channel == RELAY_CHANNEL:
        return None
    ttl = _number(members.get("__ttl")) & _TTL_BITS
    return Routed(envelope.dst, envelope.src, channel, members.get("__body", _NULL), ttl, _number(members.get("__id")))


def wrapped(routed: Routed) -> Channel:
    """The frame that carries it."""
    wrapper = _Wrapper(routed.channel, routed.body, routed.ttl, routed.id)
    sealed = _Sealed(routed.dst, routed.src, wrapper)
    return Channel(RELAY_CHANNEL, Raw(msgspec.json.encode(sealed)))


def _number(text: Raw | None) -> int:
    """What is no number of 64 bits reads as absent."""
    try:
        number = 0 if text is None else _read_number(text)
    except msgspec.DecodeError:
        return 0
    return number if 0 <= number <= _U64_MAX else 0
