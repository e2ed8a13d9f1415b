"""Announces and leaves that nobody can make in another device's name (spec 11 §2.1).

The signature covers the key of the event that carries it, so it cannot be moved into an event of somebody else, and the
event's time, which orders what one device says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from myownmesh.identity.keys import SIGNATURE_BYTES, verify
from myownmesh.protocol import base32
from myownmesh.protocol.schema import U64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.identity import Identity

CAP_SEALS: Final = "eseal1"
CAP_SIGNS: Final = "esig1"
MDNS_KEY: Final = "mdns"
"""What stands for the event's key where there is none."""
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


def judge_announce(
    room: str, device_id: str, created_at: int, key: str, caps: Sequence[str], signed: Signed
) -> Literal["good", "drop"]:
    """Whether an announce with a signature is that device's, or is to be dropped. One without has nothing to judge."""
    if not may_be_signed(caps):
        return "drop"
    return _judge(device_id, created_at, signed, announce_text(room, device_id, created_at, key, caps))


def judge_leave(room: str, device_id: str, created_at: int, key: str, signed: Signed) -> Literal["good", "drop"]:
    """Whether a leave with a signature is that device's, or is to be dropped."""
    return _judge(device_id, created_at, signed, leave_text(room, device_id, created_at, key))


def _judge(device_id: str, created_at: int, signed: Signed, text: bytes) -> Literal["good", "drop"]:
    if signed.t != created_at:
        return "drop"
    try:
        signature = base32.decode(signed.s, SIGNATURE_BYTES)
    except ValueError:
        return "drop"
    if base32.encode(signature) != signed.s:
        return "drop"
    return "good" if verify(device_id, text, signature) else "drop"
