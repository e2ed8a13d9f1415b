"""Offers of v0.3.8 for a transport that it has already (spec 04 §10.4): restarts, repeats, new lanes."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

_NOTHING_AGREED: Final = "a=extmap-allow-mixed"
"""v0.3.8 writes it until an answer without it is applied, and no answer of ours has it."""
_WRITERS_MARK: Final = ("t=0 0", "a=fingerprint:sha-256 ")
"""How it begins: the certificate stands right behind the time, above the first section."""


def answered_before(sdp: str) -> bool:
    """Whether v0.3.8 has had an answer of ours for this transport: a fresh one of ours must not answer it again.

    Offers of other programs are never taken for such, unless they write the head of a description as it does.
    """
    lines = [line.strip() for line in sdp.partition("\nm=")[0].split("\n")]
    time, certificate = _WRITERS_MARK
    is_its_own = any(one == time and other.startswith(certificate) for one, other in pairwise(lines))
    return is_its_own and _NOTHING_AGREED not in lines
