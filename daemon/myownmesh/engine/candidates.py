"""Kinds of ICE candidates, read from their text (spec 04 §5.6)."""

from __future__ import annotations

import itertools
from typing import Final

from mesh_common.views import CandidateKind

_KINDS: Final = {
    "host": CandidateKind.HOST,
    "srflx": CandidateKind.SERVER_REFLEXIVE,
    "prflx": CandidateKind.PEER_REFLEXIVE,
    "relay": CandidateKind.RELAY,
}


RELAYED: Final = " typ relay"
"""In a description: one of its candidates is on a relay (TURN)."""
ANY: Final = "\na=candidate:"
"""In a description: it has candidates at all."""
OUR_LINE: Final = "\na=max-message-size:"
"""In a description: a program that says how large its frames may be. v0.3.8 does not, we do (spec 01 §4.2)."""


def kind_of(candidate: str) -> CandidateKind:
    """The kind is the word after `typ`; anything unreadable is `unknown`."""
    words = candidate.split()
    for word, following in itertools.pairwise(words):
        if word == "typ":
            return _KINDS.get(following, CandidateKind.UNKNOWN)
    return CandidateKind.UNKNOWN
