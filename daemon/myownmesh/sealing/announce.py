"""Announces and leaves that nobody can make in another device's name (spec 11 §2.1).

The signature covers the key of the event that carries it, so it cannot be moved into an event of somebody else, and the
event's time, which orders what one device says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.identity.keys import SIGNATURE_BYTES, verify
from myownmesh.protocol import base32
from myownmesh.protocol.schema import U64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.identity import Identity

CAP_SEALS: Final = "eseal1"
CAP_SIGNS: Final = "esig1"
MAX_CAPS: Final = 16

_CAP: Final = re.compile(r"[a-z0-9_]{1,32}")


class Signed(msgspec.Struct, frozen=True):
    """The member `esig`."""

    t: U64
    """The event's `created_at`, in Unix seconds by the sender's clock."""
    s: str
    """Base32 of the signature."""


def announce_text(room: str, device_id: str, t: int, key: str, caps: Sequence[str]) -> bytes:
    """What the signature of an announce covers."""
    return f"myownmesh-announce-v1:{room}|{device_id}|{t}|{key}|{','.join(caps)}".encode()


def leave_text(room: str, device_id: str, t: int, key: str) -> bytes:
    """What the signature of a leave covers."""
    return f"myownmesh-leave-v1:{room}|{device_id}|{t}|{key}".encode()


def sign(identity: Identity, text: bytes, t: int) -> Signed:
    """The member for an event of ours whose `created_at` is `t`."""
    return Signed(t, base32.encode(identity.sign(text)))


def may_be_signed(caps: Sequence[str]) -> bool:
    """Whether a signature over these caps means just them: a cap with a comma inside signs like two."""
    return len(caps) <= MAX_CAPS and all(_CAP.fullmatch(cap) for cap in caps)


def is_good_announce(room: str, device_id: str, created_at: int, key: str, caps: Sequence[str], signed: Signed) -> bool:
    """Whether an announce with a signature is that device's; else it is to be dropped."""
    text = announce_text(room, device_id, created_at, key, caps)
    return may_be_signed(caps) and _is_good(device_id, created_at, signed, text)


def is_good_leave(room: str, device_id: str, created_at: int, key: str, signed: Signed) -> bool:
    """Whether a leave with a signature is that device's; else it is to be dropped."""
    return _is_good(device_id, created_at, signed, leave_text(room, device_id, created_at, key))


def _is_good(device_id: str, created_at: int, signed: Signed, text: bytes) -> bool:
    if signed.t != created_at:
        return False
    try:
        signature = base32.decode(signed.s, SIGNATURE_BYTES)
    except ValueError:
        return False
    return base32.encode(signature) == signed.s and verify(device_id, text, signature)
