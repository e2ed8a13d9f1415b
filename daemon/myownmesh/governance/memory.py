"""Signatures of governance that were seen before, and those that are *spent* (spec 02 §24.3 no. 64, FIX 4).

A governance entry has no number, so whoever kept an old one can append it again. What was used, undone, skipped,
denied, withdrawn or expired is remembered here and needs somebody's word to count once more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.standing import RANKS
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, TopologyChange, Variant

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from myownmesh.governance.log import Log, Place

MAX_REMEMBERED: Final = 4096
"""Signatures in all; those of authorities go last."""

Spent = Literal["undone", "skipped", "denied", "withdrawn", "expired"]


class Seen(msgspec.Struct, frozen=True):
    """One signature over one content."""

    signer: str
    variant: Variant
    by_authority: bool = False
    """Its signer was an authority when it was seen."""
    spent: Spent | None = None


class Memory(Value, frozen=True):
    """What was seen, by `signature_digest`; oldest first."""

    seen: Mapping[bytes, Seen] = msgspec.field(default_factory=dict)
    spent_before: frozenset[bytes] = frozenset()
    """Spent signatures of which nothing else is known any more: the state file was lost, and the pin was not."""

    def is_spent(self, digest: bytes, *, undone_again: bool = False) -> bool:
        """Whether this signature counts no more by itself.

        `undone_again`: what it does is undone in the same breath, so that having been undone elsewhere does not
        matter.
        """
        known = self.seen.get(digest)
        if known is None or known.spent is None:
            # Why it was spent is lost with the rest, and the own log must be able to come back.
            return digest in self.spent_before and not undone_again
        return known.spent != "undone" or not undone_again

    def with_log(self, log: Log) -> Memory:
        """Remember a branch: all its signatures, and which of them it has undone itself."""
        found = {
            digest: Seen(author, place.entry.variant, by_authority=True)
            for place in log.places
            for author, digest in zip(place.authors, place.signatures, strict=True)
        }
        known = {digest: each for digest, each in found.items() if digest not in self.seen}
        return self._with(known).spend(undone(log), "undone")

    def with_record(self, digest: bytes, signer: str, variant: Variant, *, by_authority: bool) -> Memory:
        """Remember a signature under a proposal."""
        if digest in self.seen:
            return self
        return self._with({digest: Seen(signer, variant, by_authority)})

    def spend(self, digests: Iterable[bytes], reason: Spent) -> Memory:
        """These signatures need somebody's word from now on. What was spent for another reason than its undoing stays
        so; what was never seen is nothing that could be spent."""
        changed = {}
        for digest in digests:
            known = self.seen.get(digest)
            if known is not None and known.spent in (None, "undone") and known.spent != reason:
                changed[digest] = msgspec.structs.replace(known, spent=reason)
        return replace(self, seen={**self.seen, **changed}) if changed else self

    @property
    def spent(self) -> tuple[bytes, ...]:
        """All that is spent, for the pin; the oldest first."""
        found = [digest for digest, each in self.seen.items() if each.spent is not None]
        return (*sorted(self.spent_before - set(found)), *found)[-MAX_REMEMBERED:]

    def refused(self, signer: str, but: Collection[bytes] = ()) -> tuple[Variant, ...]:
        """What a device once signed and did not get: to be shown before it is promoted.

        `but`: signatures that stand in the log, as a founder's does, who was no authority yet when it signed.
        """
        return tuple(
            seen.variant
            for digest, seen in self.seen.items()
            if seen.signer == signer
            and digest not in but
            and (seen.spent not in (None, "undone") or not seen.by_authority)
        )

    def _with(self, found: Mapping[bytes, Seen]) -> Memory:
        if not found:
            return self
        seen = {**self.seen, **found}
        while len(seen) > MAX_REMEMBERED:
            oldest = next((digest for digest, each in seen.items() if not each.by_authority), None)
            del seen[next(iter(seen)) if oldest is None else oldest]
        return replace(self, seen=seen)


def undone(log: Log) -> frozenset[bytes]:
    """The signatures of a log whose effect the log itself took back, at whatever point."""
    found: set[bytes] = set()
    later: dict[str, set[object]] = defaultdict(set)
    for place in reversed(log.places):
        if place.void:
            continue
        for what, value in _effects(place):
            if _taken_back(place, later[what], value):
                found.update(place.signatures)
            later[what].add(value)
    return frozenset(found)


def _effects(place: Place) -> Iterator[tuple[str, object]]:
    """What an entry sets, and to what: the kind, the shape, the role of a device (None: taken away)."""
    variant = place.entry.variant
    match variant:
        case KindChange(to=to):
            yield "kind", to
            if to == "closed":
                yield place.entry.signers[0], "owner"
        case TopologyChange(to=mode):
            yield "topology", mode
        case RoleGrant(target=target, role=role):
            yield target, role
        case RoleRevoke(target=target) | Evict(target=target):
            yield target, None


def _taken_back(place: Place, later: set[object], value: object) -> bool:
    variant = place.entry.variant
    if isinstance(variant, KindChange) and value == "owner":
        return False  # the close itself stands; what becomes of its founder is another matter
    if value is not None:
        return bool(later - {value})
    lowered = place.removes
    return lowered is not None and any(
        role is not None and RANKS[role] >= RANKS[place.before.role(lowered)]  # type: ignore[index]  # roles of a device
        for role in later
    )
