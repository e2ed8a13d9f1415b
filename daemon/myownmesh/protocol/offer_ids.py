"""Ids of offers: by them an answer names the offer that it belongs to (spec 03 §2, §6, 23-V).

The reference writes thirteen random characters, compares nothing and leaves the id of its answers empty. Ours look the
same to it and to everybody else, but tell by themselves that a device like ours made them: three of the eight bytes
follow from the other five and from both device ids. One foreign id in sixteen million passes for ours.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from myownmesh.protocol import base32

if TYPE_CHECKING:
    from myownmesh.protocol.ids import Rng

_RANDOM_BYTES: Final = 5
"""Two offers of one pair of devices share an id once in a million million."""
_MARK_BYTES: Final = 3
_CONTEXT: Final = b"myownmesh-offer-v1:"


def new_offer_id(sender: str, receiver: str, rng: Rng) -> str:
    """A fresh id, 13 base32 characters, for an offer from `sender` to `receiver`."""
    fresh = rng.randbytes(_RANDOM_BYTES)
    return base32.encode(fresh + _mark(fresh, sender, receiver))


def is_canonical(offer_id: str) -> bool:
    """Whether an id has the one form that a sealed message may name: 13 lower-case base32 characters (spec 11 §2.2)."""
    try:
        return base32.encode(base32.decode(offer_id, _RANDOM_BYTES + _MARK_BYTES)) == offer_id
    except ValueError:
        return False


def gives_way(offer_id: str, sender: str, receiver: str) -> bool:
    """Whether the sender of this offer keeps to spec 04 §5.9: its answers name their offers, and when both have
    offered and its id is the higher one it takes the other's offer. v0.3.8 does neither."""
    try:
        raw = base32.decode(offer_id, _RANDOM_BYTES + _MARK_BYTES)
    except ValueError:
        return False
    fresh, mark = raw[:_RANDOM_BYTES], raw[_RANDOM_BYTES:]
    return mark == _mark(fresh, sender, receiver)


def with_mark_of(offer_id: str, sender: str, receiver: str) -> str:
    """The same id as these two would have made it; one that nobody like us made stays as it is."""
    try:
        fresh = base32.decode(offer_id, _RANDOM_BYTES + _MARK_BYTES)[:_RANDOM_BYTES]
    except ValueError:
        return offer_id
    return base32.encode(fresh + _mark(fresh, sender, receiver))


def _mark(fresh: bytes, sender: str, receiver: str) -> bytes:
    return sha256(_CONTEXT + fresh + f"{sender}|{receiver}".encode()).digest()[:_MARK_BYTES]
