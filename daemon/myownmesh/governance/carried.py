"""What is signed in a network as a file, for a device without a network (spec 10 §2.2).

It holds what any answer of a peer holds, and pending proposals; whoever takes it in verifies it like a peer's. Nobody's
word stands behind it: what would need one is asked of a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from myownmesh.governance.records import Proposal
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, shape
from myownmesh.protocol.strict_json import decode_object
from myownmesh.protocol.transitions import Transition, raw_text

if TYPE_CHECKING:
    from myownmesh.governance.book import Book

VERSION: Final = 1


class Carried(msgspec.Struct, frozen=True):
    """One file, its members in order."""

    format: Literal["myownmesh-governance"]
    version: U32
    network_id: str
    transitions: tuple[Transition, ...] = ()
    """The governance log."""
    member_log: tuple[Transition, ...] = ()
    pending: tuple[Proposal, ...] = ()


def carried(book: Book) -> bytes:
    """What a device hands out, as compact JSON. Takes a while in a large log; any thread may do it."""
    proposals = tuple(book.proposals.records.values())
    return _encode(
        Carried("myownmesh-governance", VERSION, book.network_id, book.log.entries, book.served(), proposals)
    )


def read_carried(data: bytes, network_id: str) -> Carried:
    """What a file holds. Raises `JsonError`, also for another version or another network's file."""
    found: Carried = shape(Carried).build(decode_object(data, "an export of signed governance"))
    if found.version != VERSION:
        raise JsonError(f"export version {found.version} unsupported (this build reads {VERSION})")
    if found.network_id != network_id:
        raise JsonError(f"export of network {found.network_id!r}, not of {network_id!r}")
    return found


_encode: Final = msgspec.json.Encoder(enc_hook=raw_text).encode
