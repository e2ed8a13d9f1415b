"""STUN messages: from bytes to attributes and back (RFC 8489; spec 06 §6, §7.2).

Whatever is not exactly a message is None, so that a server can be silent about it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import ipaddress
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

COOKIE: Final = b"\x21\x12\xa4\x42"
HEADER_BYTES: Final = 20
_INTEGRITY_BYTES: Final = 20
_MAX_ATTRIBUTES: Final = 64
"""An honest message has about ten; on a stream one of 64 KiB could have sixteen thousand."""

REQUEST, INDICATION, SUCCESS, ERROR = 0x000, 0x010, 0x100, 0x110
BINDING, ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = (
    0x001,
    0x003,
    0x004,
    0x006,
    0x007,
    0x008,
    0x009,
)

A_USERNAME: Final = 0x0006
A_INTEGRITY: Final = 0x0008
A_ERROR: Final = 0x0009
A_UNKNOWN: Final = 0x000A
A_CHANNEL: Final = 0x000C
A_LIFETIME: Final = 0x000D
A_PEER: Final = 0x0012
A_DATA: Final = 0x0013
A_REALM: Final = 0x0014
A_NONCE: Final = 0x0015
A_RELAYED: Final = 0x0016
A_FAMILY: Final = 0x0017
A_EVEN_PORT: Final = 0x0018
A_TRANSPORT: Final = 0x0019
A_MAPPED: Final = 0x0020
A_RESERVATION: Final = 0x0022
A_FINGERPRINT: Final = 0x8028

IPV4, IPV6 = 1, 2
_FINGERPRINT_MASK: Final = 0x5354554E
_OPTIONAL: Final = 0x8000
"""Attributes from here on may be left unread."""

Address = tuple[str, int]
"""IP literal and port."""


class Message(Struct, frozen=True):
    """A message whose framing is right; what its attributes say is for whoever asks."""

    kind: int
    """Method and class, as the first two bytes have them."""
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...]
    """In order, and none behind the integrity, because nobody vouches for those."""
    signed: bytes | None = None
    """What the integrity is over; None without one."""

    def get(self, kind: int) -> bytes | None:
        """The first attribute of this kind."""
        for each, value in self.attributes:
            if each == kind:
                return value
        return None

    def all(self, kind: int) -> Iterator[bytes]:
        return (value for each, value in self.attributes if each == kind)

    def unknown(self, known: frozenset[int]) -> tuple[int, ...]:
        """Kinds that must be understood and are not in `known`."""
        return tuple(dict.fromkeys(kind for kind, _ in self.attributes if kind < _OPTIONAL and kind not in known))

    def is_signed_with(self, key: bytes) -> bool:
        given = self.get(A_INTEGRITY)
        if self.signed is None or given is None:
            return False
        return hmac.compare_digest(given, _integrity(self.signed, key))


def decode(data: bytes) -> Message | None:
    """The message, or None for anything else: wrong length, cookie, framing or fingerprint."""
    size = len(data)
    if size < HEADER_BYTES or data[0] & 0xC0 or data[4:8] != COOKIE:
        return None
    kind, length = struct.unpack_from("!HH", data)
    if length % 4 or HEADER_BYTES + length != size:
        return None
    attributes: list[tuple[int, bytes]] = []
    signed: bytes | None = None
    at = HEADER_BYTES
    while at < size:
        each, length = struct.unpack_from("!HH", data, at)
        end = at + 4 + length
        if end > size or len(attributes) == _MAX_ATTRIBUTES:
            return None
        value = data[at + 4 : end]
        if each == A_FINGERPRINT:
            if end != size or value != _fingerprint(data[:at]):
                return None
        elif signed is None:
            attributes.append((each, value))
            if each == A_INTEGRITY:
                if length != _INTEGRITY_BYTES:
                    return None
                signed = data[:2] + struct.pack("!H", end - HEADER_BYTES) + data[4:at]
        at = end + (-length % 4)
    return Message(kind, data[8:20], tuple(attributes), signed)


def encode(
    kind: int,
    transaction: bytes,
    attributes: list[tuple[int, bytes]],
    *,
    key: bytes | None = None,
    fingerprint: bool = False,
) -> bytes:
    """One message; with `key`, its integrity stands behind the attributes."""
    body = b"".join(
        [struct.pack("!HH", each, len(value)) + value + bytes(-len(value) % 4) for each, value in attributes]
    )
    if key is not None:
        unsigned = _header(kind, len(body) + 4 + _INTEGRITY_BYTES, transaction) + body
        body += struct.pack("!HH", A_INTEGRITY, _INTEGRITY_BYTES) + _integrity(unsigned, key)
    if fingerprint:
        unmarked = _header(kind, len(body) + 8, transaction) + body
        body += struct.pack("!HH", A_FINGERPRINT, 4) + _fingerprint(unmarked)
    return _header(kind, len(body), transaction) + body


def error(code: int) -> tuple[int, bytes]:
    """The attribute ERROR-CODE without a reason phrase."""
    return A_ERROR, bytes((0, 0, code // 100, code % 100))


def xor_address(ip: str, port: int, transaction: bytes) -> bytes:
    """The value of an XOR-…-ADDRESS attribute."""
    packed = ipaddress.ip_address(ip).packed
    mask = COOKIE + transaction
    family = IPV4 if len(packed) == 4 else IPV6
    return struct.pack("!BBH", 0, family, port ^ 0x2112) + bytes(a ^ b for a, b in zip(packed, mask, strict=False))


def read_address(value: bytes, transaction: bytes) -> Address | None:
    """What an XOR-…-ADDRESS attribute says; None if it says nothing."""
    if len(value) == 8 and value[1] == IPV4:
        a, b, c, d = value[4] ^ 0x21, value[5] ^ 0x12, value[6] ^ 0xA4, value[7] ^ 0x42
        return f"{a}.{b}.{c}.{d}", (value[2] << 8 | value[3]) ^ 0x2112
    if len(value) == 20 and value[1] == IPV6:
        packed = bytes(a ^ b for a, b in zip(value[4:], COOKIE + transaction, strict=True))
        return str(ipaddress.IPv6Address(packed)), (value[2] << 8 | value[3]) ^ 0x2112
    return None


def _header(kind: int, length: int, transaction: bytes) -> bytes:
    return struct.pack("!HH", kind, length) + COOKIE + transaction


def _integrity(unsigned: bytes, key: bytes) -> bytes:
    return hmac.digest(key, unsigned, hashlib.sha1)


def _fingerprint(unmarked: bytes) -> bytes:
    return struct.pack("!I", binascii.crc32(unmarked) ^ _FINGERPRINT_MASK)
