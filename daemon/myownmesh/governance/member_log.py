"""The member log: who was let in and who was put out, by whom (spec 02 §8; 24.3 no. 42, 62).

A set without order: what comes twice, late or in another order makes the same log. It holds what is signed by somebody
who is or was an authority, and of each signature only the copies that can count.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from myownmesh.governance.copies import Copy, Slot, SlotKey, only_key, slot_keys
from myownmesh.governance.entries import entry_key, is_removal, target_of
from myownmesh.governance.shelves import Shelves
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from myownmesh.governance.shelves import Changing
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Transition

MAX_COPIES: Final = 20_000
FULL_SLOTS: Final = 3
"""What is signed about a device decides with two at most: the verdict, and the newest removal."""
BUCKETS: Final = 64
LEAVES: Final = 1024
"""One for each beginning of two characters that ids can have: of ten thousand entries ten stand on one."""
LEAF_BYTES: Final = 3
"""Of a leaf's digest in a request: enough to find what differs where a bucket tells that something does."""
_DIGEST_BYTES: Final = 32
_BUCKET_SHIFT: Final = 8 * _DIGEST_BYTES - 6
"""To the first six bits of a hash."""
_INT: Final = "I"
_INT_BYTES: Final = array(_INT).itemsize
_LAST_BYTES: Final = [
    place if sys.byteorder == "little" else _INT_BYTES - 1 - place for place in reversed(range(LEAF_BYTES))
]
"""Where in such a number of this machine those bytes stand, the highest first."""
_LEAF_MASK: Final = (1 << 8 * LEAF_BYTES) - 1
_LETTERS: Final = base32.ALPHABET.decode()
BEGINNINGS: Final = tuple(first + second for first in _LETTERS for second in _LETTERS)
"""Of the ids whose entries stand on each leaf."""
_LEAF_OF: Final = {beginning: leaf for leaf, beginning in enumerate(BEGINNINGS)}

Slots = Mapping[SlotKey, Slot]
Kept = Slots | Copy
"""What is kept about one device. Of nearly each it is one copy by one signer, and stands as that: its slot follows from
it, and of ten thousand slots nobody would ask."""


@frozen
class MemberLog:
    """Copies by the device that they are about; every change returns another log and shares what stayed."""

    targets: Shelves[Kept] = field(factory=Shelves)
    count: int = 0
    """Copies that are stored: what `network_state` counts."""
    newest_sure: int = 0
    """The newest time, Unix seconds, that somebody vouched for."""
    left_out: int = 0
    """The newest time of a removal that there was no room for, of a device of which nothing is kept; 0 without one."""
    buckets: tuple[int, ...] = (0,) * BUCKETS
    """XOR of the hashes of all copies in each bucket."""
    leaves: bytes = bytes(LEAVES * _INT_BYTES)
    """The last `LEAF_BYTES` of the same for each leaf, as an array of numbers."""

    def slots(self, device: str) -> Slots:
        """What is signed about a device."""
        return slots_of(self.targets.get(device, _NOTHING))

    def items(self) -> Iterator[tuple[str, Slots]]:
        """What is signed, by device, in no order."""
        for device, kept in self.targets.each():
            yield device, slots_of(kept)

    def with_removals(self) -> Iterator[tuple[str, Slots]]:
        """`items` of the devices of which some removal is kept, whatever counts."""
        return _with_removals(self.targets)

    def with_copies(self, copies: Iterable[Copy], standing: Standing, me: str) -> MemberLog:
        """The log with more copies whose form and signatures are good; the same object when nothing changes."""
        draft = Draft(self)
        for copy in copies:
            draft.add(copy, standing, me)
        return draft.done()

    def with_known(self, new: frozenset[str], standing: Standing, me: str) -> MemberLog:
        """The log after `new` devices became authorities: co-signatures of theirs make slots of their own."""
        cosigned = [
            copy for copy in self.copies() if len(copy.entry.signers) > 1 and not new.isdisjoint(copy.entry.signers)
        ]
        return self.with_copies(cosigned, standing, me)

    def without(self, device: str, *, keep: Iterable[Transition]) -> MemberLog:
        """The log with nothing but these entries about a device."""
        draft = Draft(self)
        draft.put(device, thinned(self.slots(device), keep))
        return draft.done()

    def copies(self) -> Iterator[Copy]:
        """All stored copies, in no order; one that stands in several slots comes once."""
        for _, kept in self.targets.each():
            if isinstance(kept, Copy):
                yield kept
            else:
                yield from _copies(kept)

    def on_leaf(self, leaf: int) -> Iterator[Copy]:
        """The copies about devices whose ids begin with the two characters of a leaf."""
        for kept in self.targets.shelf(BEGINNINGS[leaf]).values():
            yield from _copies(kept)

    def entries(self) -> list[Transition]:
        """All stored entries in the order of their keys, as the file holds them."""
        return by_key(copy.entry for copy in self.copies())

    def digests(self) -> tuple[str, ...]:
        """What `roster_request.subtree_hashes` carries: one text for each bucket."""
        return self._digests

    def leaf_digests(self) -> bytes:
        """The last bytes of all leaves' digests, one behind the other: what tells which leaves of a bucket differ."""
        return self._leaf_digests

    @cached_property
    def _digests(self) -> tuple[str, ...]:
        return tuple([_bucket_text(bucket) for bucket in self.buckets])

    @cached_property
    def _leaf_digests(self) -> bytes:
        told = bytearray(LEAVES * LEAF_BYTES)
        for place, at in enumerate(_LAST_BYTES):
            told[place::LEAF_BYTES] = self.leaves[at::_INT_BYTES]
        return bytes(told)


class Draft:
    """A log while a slice of entries is added to it: what it holds is copied once, not for each of them."""

    __slots__ = (
        "_buckets",
        "_changed",
        "_has_nothing_to_spare",
        "_leaves",
        "_log",
        "count",
        "left_out",
        "newest_sure",
        "targets",
    )

    def __init__(self, log: MemberLog) -> None:
        self._log = log
        self.targets = log.targets
        self._changed: Changing[Kept] | None = None
        """The same targets, once they are no more its log's own."""
        self._has_nothing_to_spare = False
        """Looked for, and nothing has come since: of twenty thousand a slice looks once, not for each entry."""
        self._buckets = list(log.buckets)
        self._leaves = array(_INT, log.leaves)
        self.count = log.count
        self.newest_sure = log.newest_sure
        self.left_out = log.left_out

    def slots(self, device: str) -> Slots:
        """What is signed about a device, so far."""
        return slots_of(self.targets.get(device, _NOTHING))

    def with_removals(self) -> Iterator[tuple[str, Slots]]:
        """As of a log."""
        return _with_removals(self.targets)

    def fullest(self, rather: str) -> str | None:
        """The device about which most is signed, in three slots at least; of several, `rather` this one."""
        if self._has_nothing_to_spare:
            return None
        full = [
            (len(kept), device == rather, device)
            for device, kept in self.targets.each()
            if not isinstance(kept, Copy) and len(kept) >= FULL_SLOTS
        ]
        self._has_nothing_to_spare = not full
        return max(full, key=_most)[-1] if full else None

    def add(self, copy: Copy, standing: Standing, me: str, keys: Iterable[SlotKey] | None = None) -> bool:
        """Add a copy whose form and signatures are good; False when that changes nothing. `keys`: its slots."""
        if copy.words and copy.is_sure(standing):
            self.newest_sure = max(self.newest_sure, copy.entry.at)
        target = target_of(copy.entry.variant) or ""
        if keys is None:
            keys = slot_keys(copy.entry, standing.known)
        before = self.slots(target)
        after = _with_copy(before, copy, keys, standing, me)
        if after is before:
            return False
        self.put(target, after)
        return True

    def first(self, copies: Sequence[Copy]) -> None:
        """Add, for each of several devices, the first that is signed about it, by one signer, who is or was an
        authority."""
        put = self._own().put
        for copy in copies:
            put(copy.entry.variant.target, copy)  # type: ignore[union-attr]  # it has one
        self._turn([copy.entry for copy in copies])
        self.count += len(copies)

    def _own(self) -> Changing[Kept]:
        if self._changed is None:
            self.targets = self._changed = self.targets.changed()
        return self._changed

    def put(self, device: str, slots: Slots) -> None:
        """Replace what is signed about a device."""
        self._has_nothing_to_spare = self._has_nothing_to_spare and len(slots) < FULL_SLOTS
        changed = self._own()
        self._account(slots_of(changed.get(device, _NOTHING)), slots)
        if slots:
            changed.put(device, _kept(slots))
        else:
            changed.pop(device)

    def done(self) -> MemberLog:
        """The log; the same object as before when nothing was changed."""
        times = self.newest_sure, self.left_out
        if self._changed is None and times == (self._log.newest_sure, self._log.left_out):
            return self._log
        targets = self.targets if self._changed is None else self._changed.done()
        return MemberLog(targets, self.count, *times, tuple(self._buckets), self._leaves.tobytes())

    def _account(self, before: Slots, after: Slots) -> None:
        """Enter into the digests, and into the count, what came and went."""
        old, new = _distinct(before), _distinct(after)
        self._turn(old.keys() ^ new.keys())
        self.count += len(new) - len(old)

    def _turn(self, entries: Iterable[Transition]) -> None:
        """Enter those that came or went into the digests."""
        buckets, leaves = self._buckets, self._leaves
        for entry in entries:
            hashed = int.from_bytes(sha256(entry_key(entry)).digest(), "big")
            buckets[hashed >> _BUCKET_SHIFT] ^= hashed
            leaves[leaf_of(entry.variant.target)] ^= hashed & _LEAF_MASK  # type: ignore[union-attr]  # it has one


def _most(full: tuple[int, bool, str]) -> tuple[int, bool]:
    return full[:2]


EMPTY: Final = MemberLog()
_NOTHING: Final[Slots] = {}


@lru_cache(16 * BUCKETS)
def _bucket_text(bucket: int) -> str:
    """What a request says of a bucket; one entry that comes changes one of them."""
    return f"b64:{base32.encode(bucket.to_bytes(_DIGEST_BYTES, 'big'))}"


def by_key(entries: Iterable[Transition]) -> list[Transition]:
    """Entries in the order of their keys, which begin with their times: of thousands only equal times need the whole
    key, and three megabytes of keys would leave gaps in the memory."""
    found: list[Transition] = []
    for _, alike in groupby(sorted(entries, key=_time_text), key=_time):
        several = list(alike)
        found += several if len(several) == 1 else sorted(several, key=entry_key)
    return found


def _time(entry: Transition) -> int:
    return entry.at


def _time_text(entry: Transition) -> str:
    return f"{entry.at},"  # as it stands in the key


def bucket_of(digest: bytes) -> int:
    """The bucket of an entry whose key has this SHA-256."""
    return digest[0] >> 2


def leaf_of(device: str) -> int:
    """The leaf of the entries about a device."""
    return _LEAF_OF.get(device[:2], 0)


def key_digest(entry: Transition) -> bytes:
    """SHA-256 of the entry's key."""
    return sha256(entry_key(entry)).digest()


def slots_of(kept: Kept) -> Slots:
    """The slots of what is kept about a device."""
    if not isinstance(kept, Copy):
        return kept
    key = only_key(kept.entry)
    return {key: Slot(key, (kept,))}


def _kept(slots: Slots) -> Kept:
    if len(slots) == 1:
        [slot] = slots.values()
        if len(slot.copies) == 1 and len(slot.copies[0].entry.signers) == 1:
            return slot.copies[0]
    return slots


def _with_removals(targets: Shelves[Kept]) -> Iterator[tuple[str, Slots]]:
    for device, kept in targets.each():
        if isinstance(kept, Copy):
            if is_removal(kept.entry.variant):
                yield device, slots_of(kept)
        elif not all(key.is_grant for key in kept):
            yield device, kept


def _copies(kept: Kept) -> Iterable[Copy]:
    """Its copies; one that stands in several slots comes once."""
    return (kept,) if isinstance(kept, Copy) else _distinct(kept).values()


def find(slots: Slots, entry: Transition, keys: Iterable[SlotKey]) -> Copy | None:
    """The copy of exactly this time and signature among what is signed about its target, of whatever form."""
    for key in keys:
        slot = slots.get(key)
        copy = None if slot is None else slot.find(entry.at)
        if copy is not None:
            return copy
    return None


def has_signatures(slots: Slots, entry: Transition, keys: Sequence[SlotKey]) -> bool:
    """Whether every signature of an entry stands in the log under some time, so that none need be checked."""
    if not slots:
        return False
    said = keys[0]
    proven = {
        pair
        for slot in slots.values()
        if slot.key.is_grant == said.is_grant and slot.key.kind == said.kind
        for copy in slot.copies
        for pair in zip(copy.entry.signers, copy.entry.signatures, strict=True)
    }
    return all(pair in proven for pair in zip(entry.signers, entry.signatures, strict=True))


def thinned(slots: Slots, keep: Iterable[Transition]) -> Slots:
    """Nothing but these entries of what is signed about a device."""
    wanted = set(keep)
    kept = {key: Slot(key, tuple(copy for copy in slot.copies if copy.entry in wanted)) for key, slot in slots.items()}
    return {key: slot for key, slot in kept.items() if slot.copies}


def counted(slots: Slots, standing: Standing, me: str) -> Iterator[Copy]:
    """The copies about one device that count now, of signers with a seat."""
    for slot in slots.values():
        if slot.stands(standing):
            yield from slot.counted(standing, me)


def _with_copy(slots: Slots, copy: Copy, keys: Iterable[SlotKey], standing: Standing, me: str) -> Slots:
    changed = {}
    for key in keys:
        before = slots.get(key)
        after = Slot(key, (copy,)) if before is None else before.with_copy(copy, standing, me)
        if after is not before:
            changed[key] = after
    return {**slots, **changed} if changed else slots


def _distinct(slots: Slots) -> dict[Transition, Copy]:
    return {copy.entry: copy for slot in slots.values() for copy in slot.copies}
