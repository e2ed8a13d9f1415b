"""What relays that are one say to each other: entries, together in a batch (MessagePack). Pure.

A batch is all that a relay had to say since its last one, and an empty one says that it is there. It is read as
anything from outside: whoever can write on the bus can write anything.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from myownmesh.relay.presence import Pair

VERSION: Final = 1
MAX_BATCH_BYTES: Final = 2**20 + 2**17
"""The longest message of a client and what is beside it; what is longer is none of ours."""
_RELAY_CHARS: Final = 32


class NotOurs(Exception):
    """It is no batch."""


class Said(Struct, frozen=True, tag="e", array_like=True):
    """A client's event, as its relay accepted it."""

    text: bytes
    is_present: bool = False
    """The device that it announces is connected to that relay."""
    age_s: float = 0.0
    """Since it was accepted."""


class Departed(Struct, frozen=True, tag="d", array_like=True):
    """Devices that no connection of this relay announces any more; `is_told`: by their own leave."""

    pairs: tuple[Pair, ...]
    is_told: bool


class Connections(Struct, frozen=True, tag="c", array_like=True):
    """So many connections are at this relay, by address; 0 is none any more."""

    counts: dict[str, int]


class Ask(Struct, frozen=True, tag="a", array_like=True):
    """Another relay is to say everything anew: who is there, and what it keeps if that is wanted."""

    of: str
    wants_stored: bool


class Everything(Struct, frozen=True, tag="b", array_like=True):
    """What follows, up to its end, is all that is present at this relay."""


class EndOfEverything(Struct, frozen=True, tag="z", array_like=True):
    """... and that was it."""


OfRelay = Departed | Connections | Ask | Everything | EndOfEverything
Entry = Said | OfRelay


class Batch(Struct, frozen=True, array_like=True):
    version: int
    relay: str
    number: int
    """One more than the batch in front of it: a gap shows that something was not heard."""
    entries: list[Raw]


class _HeardBatch(Struct, frozen=True, array_like=True):
    """The same with its entries read."""

    version: int
    relay: str
    number: int
    entries: list[Entry]


_encoder: Final = msgspec.msgpack.Encoder()
_batches: Final = msgspec.msgpack.Decoder(_HeardBatch)


def encoded(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def batch(relay: str, number: int, entries: list[bytes]) -> bytes:
    return _encoder.encode(Batch(VERSION, relay, number, [Raw(each) for each in entries]))


def beginning(relay: str, length: int) -> bytes:
    """With what every batch of this relay begins, and no other one's: of all whose names of this length begin so."""
    return batch(relay.ljust(length), 0, [])[: -2 - (length - len(relay))]


def read_batch(data: bytes) -> tuple[str, int, list[Entry]]:
    """Who said what, and as the how many-th. Raises `NotOurs`."""
    if len(data) > MAX_BATCH_BYTES:
        raise NotOurs
    try:
        found = _batches.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise NotOurs from error
    if found.version != VERSION or not found.relay or len(found.relay) > _RELAY_CHARS:
        raise NotOurs
    return found.relay, found.number, found.entries
