"""The member log: who was let in and who was put out, by whom (spec 02 §8; 24.3 no. 42, 62).

A set without order: what comes twice, late or in another order makes the same log. It holds what is signed by somebody
who is or was an authority, and of each signature only the copies that can count.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from myownmesh.governance.copies import Slot, SlotKey, slot_keys
from myownmesh.governance.entries import entry_key, target_of
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from myownmesh.governance.copies import Copy
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Transition

MAX_COPIES: Final = 20_000
BUCKETS: Final = 64
_DIGEST_BYTES: Final = 32

Slots = Mapping[SlotKey, Slot]


@frozen
class MemberLog:
    """Copies by the device that they are about; every change returns another log and shares what stayed."""

    targets: Mapping[str, Slots] = field(factory=dict)
    count: int = 0
    """Copies that are stored: what `network_state` counts."""
    newest_sure: int = 0
    """The newest time, Unix seconds, that somebody vouched for."""
    buckets: tuple[int, ...] = (0,) * BUCKETS
    """XOR of the hashes of all copies in each bucket."""

    def slots(self, device: str) -> Slots:
        """What is signed about a device."""
        return self.targets.get(device, {})

    def find(self, entry: Transition, known: frozenset[str]) -> Copy | None:
        """The stored copy of exactly this time and signature, of whatever form."""
        slots = self.slots(target_of(entry.variant) or "")
        for key in slot_keys(entry, known):
            slot = slots.get(key)
            copy = None if slot is None else slot.find(entry.at)
            if copy is not None:
                return copy
        return None

    def has_signatures(self, entry: Transition, known: frozenset[str]) -> bool:
        """Whether every signature of an entry stands in the log under some time, so that none need be checked.

        One of its signers is in `known`.
        """
        slots = self.slots(target_of(entry.variant) or "")
        said = slot_keys(entry, known)[0][:2]
        proven = {
            pair
            for slot in slots.values()
            if slot.key[:2] == said
            for copy in slot.copies
            for pair in zip(copy.entry.signers, copy.entry.signatures, strict=True)
        }
        return all(pair in proven for pair in zip(entry.signers, entry.signatures, strict=True))

    def with_copies(self, copies: Iterable[Copy], standing: Standing, me: str) -> MemberLog:
        """The log with more copies whose form and signatures are good; the same object when nothing changes."""
        targets, newest = self.targets, self.newest_sure
        count, buckets = self.count, list(self.buckets)
        for copy in copies:
            if copy.is_sure(standing):
                newest = max(newest, copy.entry.at)
            target = target_of(copy.entry.variant) or ""
            before = targets.get(target, {})
            after = _with_copy(before, copy, standing, me)
            if after is not before:
                targets = dict(targets) if targets is self.targets else targets
                targets[target] = after  # type: ignore[index]  # a dict since the line above
                count += _account(buckets, before, after)
        if targets is self.targets and newest == self.newest_sure:
            return self
        return evolve(self, targets=targets, count=count, newest_sure=newest, buckets=tuple(buckets))

    def with_known(self, new: frozenset[str], standing: Standing, me: str) -> MemberLog:
        """The log after `new` devices became authorities: co-signatures of theirs make slots of their own."""
        cosigned = [
            copy for copy in self.copies() if len(copy.entry.signers) > 1 and not new.isdisjoint(copy.entry.signers)
        ]
        return self.with_copies(cosigned, standing, me)

    def without(self, device: str, *, keep: Iterable[Transition]) -> MemberLog:
        """The log with nothing but these entries about a device."""
        wanted = set(keep)
        before = self.slots(device)
        thinned = {
            key: evolve(slot, copies=tuple(copy for copy in slot.copies if copy.entry in wanted))
            for key, slot in before.items()
        }
        after = {key: slot for key, slot in thinned.items() if slot.copies}
        buckets = list(self.buckets)
        count = self.count + _account(buckets, before, after)
        targets = {other: slots for other, slots in self.targets.items() if other != device}
        return evolve(
            self, targets={**targets, device: after} if after else targets, count=count, buckets=tuple(buckets)
        )

    def copies(self) -> Iterator[Copy]:
        """All stored copies, in no order; one that stands in several slots comes once."""
        for slots in self.targets.values():
            yield from _distinct(slots).values()

    def entries(self) -> list[Transition]:
        """All stored entries in the order of their keys, as the file holds them."""
        return sorted((copy.entry for copy in self.copies()), key=entry_key)

    def digests(self) -> tuple[str, ...]:
        """What `roster_request.subtree_hashes` carries: one text for each bucket."""
        return tuple(f"b64:{base32.encode(bucket.to_bytes(_DIGEST_BYTES, 'big'))}" for bucket in self.buckets)


EMPTY: Final = MemberLog()


def bucket_of(digest: bytes) -> int:
    """The bucket of an entry whose key has this SHA-256."""
    return digest[0] >> 2


def key_digest(entry: Transition) -> bytes:
    """SHA-256 of the entry's key."""
    return sha256(entry_key(entry)).digest()


def counted(slots: Slots, standing: Standing, me: str) -> Iterator[Copy]:
    """The copies about one device that count now, of signers with a seat."""
    for slot in slots.values():
        if slot.stands(standing):
            yield from slot.counted(standing, me)


def _with_copy(slots: Slots, copy: Copy, standing: Standing, me: str) -> Slots:
    changed = {}
    for key in slot_keys(copy.entry, standing.known):
        before = slots.get(key) or Slot(key, ())
        after = before.with_copy(copy, standing, me)
        if after is not before:
            changed[key] = after
    return {**slots, **changed} if changed else slots


def _distinct(slots: Slots) -> dict[Transition, Copy]:
    return {copy.entry: copy for slot in slots.values() for copy in slot.copies}


def _account(buckets: list[int], before: Slots, after: Slots) -> int:
    """Enter into the digests what came and went; returns by how many copies the log grew."""
    old, new = _distinct(before).keys(), _distinct(after).keys()
    for entry in old ^ new:
        digest = key_digest(entry)
        buckets[bucket_of(digest)] ^= int.from_bytes(digest, "big")
    return len(new) - len(old)
