"""What stands in a sealed text: the members that the clear message leaves empty, padded so that sizes tell little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U64, read
from myownmesh.protocol.signals import Candidate
from myownmesh.protocol.strict_json import proven

if TYPE_CHECKING:
    from myownmesh.protocol.signals import Candidate as Sealable

STEP_BYTES: Final = 256


class SealedOffer(msgspec.Struct, frozen=True):
    sdp: str
    re: U64
    """The time that stands in the receiver's newest good announce, 0 if we know none: what makes an offer fresh."""


class SealedAnswer(msgspec.Struct, frozen=True):
    sdp: str


C = TypeVar("C", SealedOffer, SealedAnswer, Candidate)


def padded(content: SealedOffer | SealedAnswer | Sealable) -> bytes:
    """Compact UTF-8 JSON with spaces behind, a multiple of `STEP_BYTES` long."""
    text = msgspec.json.encode(content)
    return text.ljust(-(-len(text) // STEP_BYTES) * STEP_BYTES)


def parsed(kind: type[C], plaintext: bytes) -> C | None:
    """The content of an opened text, or None when it is none of this kind."""
    try:
        return read(kind, proven(plaintext))
    except JsonError:
        return None
