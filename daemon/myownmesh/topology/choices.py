"""What shapes choose by the very bytes of ids. Everything else of a shape follows from the order of the ids alone, so
whoever replaces ids and keeps their order, as a recording does, has to keep these choices, too."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from myownmesh.protocol.ids import pubkey_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Choices(Protocol):
    """Pure functions; how they choose is the wire's business, for every member has to choose alike."""

    def homes(self, spoke: str, hubs: Sequence[str], count: int, /) -> frozenset[str]:
        """The hubs that a spoke holds links to."""

    def serves(self, hub: str, spoke: str, hubs: Sequence[str], count: int, /) -> bool:
        """Is this one of the hubs that a spoke holds links to? A hub asks it of everybody."""

    def nearest(self, dest: str, peers: Sequence[str], /) -> str:
        """Of some peers, at least one, the one that is tried first for what is to reach `dest`."""


class _ByIds:
    def homes(self, spoke: str, hubs: Sequence[str], count: int, /) -> frozenset[str]:
        return frozenset(ranking(spoke, hubs)[:count])

    def serves(self, hub: str, spoke: str, hubs: Sequence[str], count: int, /) -> bool:
        begun = _begun(spoke)
        mine = sha256(begun + _bytes(hub)).digest()[7::-1]
        better = 0
        for ending in _endings(tuple(hubs)):
            if sha256(begun + ending).digest()[7::-1] > mine:
                better += 1
                if better == count:  # most are found not to be after half of the hashes
                    return False
        return True

    def nearest(self, dest: str, peers: Sequence[str], /) -> str:
        return min(peers, key=lambda peer: distance(peer, dest))


BY_IDS: Final = _ByIds()


def ranking(spoke: str, hubs: Iterable[str]) -> list[str]:
    """The hubs in the order in which `spoke` takes them; what stands twice takes two places."""
    begun = _begun(spoke)
    hubs = tuple(hubs)
    # Rendezvous hashing: the hub with the highest score comes first. Scores are little-endian numbers of eight bytes,
    # compared as text from their last byte on; two hubs have the same in one of 2⁶⁴ cases.
    scores = [sha256(begun + ending).digest()[7::-1] for ending in _endings(hubs)]
    by_score = dict(zip(scores, hubs, strict=True))
    scores.sort(reverse=True)
    return [by_score[score] for score in scores]


def _begun(spoke: str) -> bytes:
    return _bytes(f"{pubkey_part(spoke)}:")


@lru_cache(64)
def _endings(hubs: tuple[str, ...]) -> tuple[bytes, ...]:
    """What is hashed of each hub: every spoke ranks the same ones."""
    return tuple(_bytes(pubkey_part(hub)) for hub in hubs)


def distance(one: str, other: str) -> int:
    """How unlike two ids are: the characters behind their common beginning, display suffixes apart."""
    one, other = pubkey_part(one), pubkey_part(other)
    common = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        common += 1
    return max(len(one), len(other), 1) - common


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
