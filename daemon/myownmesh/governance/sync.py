"""What devices tell each other of their logs, and when they ask (spec 02 §13, §14; FIX 15, 37, 24.3 nos. 42, 44, 62).

No frame is longer than a peer of v0.3.8 can receive. A request names the parts of the member log that its sender holds,
so that only what differs travels; v0.3.8 ignores that and answers all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import UNSET

from myownmesh.governance.branches import refutes
from myownmesh.governance.entries import entry_key, target_of
from myownmesh.governance.member_log import (
    BUCKETS,
    LEAF_BYTES,
    LEAVES,
    bucket_of,
    key_digest,
    leaf_of,
)
from myownmesh.governance.member_log import EMPTY as NO_MEMBERS
from myownmesh.governance.words import Speaker, is_sure
from myownmesh.protocol import base32
from myownmesh.protocol.frames import Deny, RosterEntries, RosterRequest
from myownmesh.protocol.limits import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from myownmesh.governance.book import Book
    from myownmesh.governance.copies import Copy
    from myownmesh.governance.log import Log
    from myownmesh.protocol.frames import RosterEntry
    from myownmesh.protocol.transitions import Transition

FEATURE: Final = "governance_checked_v1"
"""In `hello.features` of a device that understands `vouched`."""
ENTRIES_PER_PAUSE: Final = 400
"""Entries that are looked at between two pauses: about two milliseconds."""
LEAVES_FROM: Final = 512
"""Entries from which a request tells the leaves apart; before, a bucket holds few enough."""

_NO_DIGEST: Final = NO_MEMBERS.digests()[0]
LEAVES_PREFIX: Final = "leaves:"
_FRAME_BYTES: Final = 128
"""What a frame holds beside its three lists, and some room."""
_LEAST_ENTRY_BYTES: Final = 300
_LOG_DIGEST_BYTES: Final = 16
DIGEST_CHARS: Final = len(base32.encode(bytes(_LOG_DIGEST_BYTES)))
_ROW_BYTES: Final = 32 * LEAF_BYTES
_written = msgspec.json.Encoder().encode


class Advert(NamedTuple):
    """What a peer's `network_state` says of its logs."""

    transitions: int
    member_log: int


def request(book: Book, *, knows_digests: bool) -> RosterRequest:
    """What to ask a peer; `knows_digests`: it has `FEATURE`, and answers only what differs.

    Words do not show in digests. So where this device waits for somebody's word, it says that it has nothing.
    """
    if not knows_digests:
        return RosterRequest(include_all=True)
    digests = list(book.members.digests())
    wanted = list(waiting_for_words(book))
    for entry in wanted:
        digests[bucket_of(key_digest(entry))] = _NO_DIGEST
    if book.members.count >= LEAVES_FROM:
        leaves = bytearray(book.members.leaf_digests())
        for entry in wanted:
            leaf = leaf_of(target_of(entry.variant) or "")
            leaves[leaf * LEAF_BYTES : (leaf + 1) * LEAF_BYTES] = bytes(LEAF_BYTES)
        digests.append(LEAVES_PREFIX + base32.encode(leaves))
    return RosterRequest(include_all=True, subtree_hashes=tuple(digests))


def waiting_for_words(book: Book) -> Iterator[Transition]:
    """Heard grants that would end a removal of this device's own if they were sure."""
    standing = book.standing
    for device, kept in book.pin.evicted.items():
        if book.bench.verdict(device).membership == "removed":
            for slot in book.members.slots(device).values():
                if slot.key.is_grant and slot.stands(standing):
                    yield from (
                        copy.entry for copy in slot.copies if copy.entry.at >= kept and not copy.is_sure(standing)
                    )


def is_ahead(book: Book, advert: Advert, fruitless: Advert | None) -> bool:
    """Whether a peer's counts are a reason to ask it.

    `fruitless`: what it said before its last answer, if that brought nothing. A peer that holds more than can ever be
    taken is not asked again and again.
    """
    if advert == fruitless:
        return False
    return advert.transitions > len(book.log) or advert.member_log > book.members.count + len(book.aside.unknown)


def log_digest(log: Log) -> str:
    """Which log a device holds, for peers of ours: forks of one length show in no count."""
    return base32.encode(log.digest[:_LOG_DIGEST_BYTES])


def is_news(book: Book, digest: str, transitions: int) -> bool:
    """Whether a peer of ours holds a governance log that this device has neither as its own nor as a branch."""
    if len(digest) != DIGEST_CHARS or any(log_digest(log) == digest for log in (book.log, *book.branches.logs)):
        return False
    return transitions >= len(book.log) or log_digest(book.log.until(transitions)) != digest


def differing(book: Book, hashes: Sequence[str]) -> frozenset[int] | None:
    """The buckets of the member log in which a request differs from this device; None: answer everything."""
    buckets = hashes[:BUCKETS]
    if len(buckets) != BUCKETS or not all(text.startswith("b64:") and len(text) == len(_NO_DIGEST) for text in buckets):
        return None
    if len(hashes) > BUCKETS and leaves_told(hashes) is None:
        return None
    digests = book.members.digests()
    return frozenset(index for index, (ours, theirs) in enumerate(zip(digests, buckets, strict=True)) if ours != theirs)


def to_tell(book: Book, hashes: Sequence[str]) -> Iterator[Copy | None]:
    """The copies in which a request may differ from this device; None is a pause. What cannot be read asks for all.

    What is told of a leaf is short and may look equal by chance. Its bucket tells that something differs there; if no
    leaf does, buckets are told whole.
    """
    members, buckets = book.members, differing(book, hashes)
    theirs, ours = leaves_told(hashes), members.leaf_digests()
    leaves = [] if theirs is None else differing_leaves(ours, theirs)
    if buckets is not None and (leaves or not buckets):
        for leaf in leaves:
            yield from members.on_leaf(leaf)
        return
    for number, copy in enumerate(members.copies(), 1):
        if buckets is None or bucket_of(key_digest(copy.entry)) in buckets:
            yield copy
        elif number % ENTRIES_PER_PAUSE == 0:
            yield None


def leaves_told(hashes: Sequence[str]) -> bytes | None:
    if len(hashes) != BUCKETS + 1 or not hashes[-1].startswith(LEAVES_PREFIX):
        return None
    try:
        return base32.decode(hashes[-1].removeprefix(LEAVES_PREFIX), LEAVES * LEAF_BYTES)
    except ValueError:
        return None


def differing_leaves(ours: bytes, theirs: bytes) -> list[int]:
    """Nearly all are equal, so that they are compared in rows first."""
    found: list[int] = []
    for start in range(0, len(ours), _ROW_BYTES):
        mine, yours = ours[start : start + _ROW_BYTES], theirs[start : start + _ROW_BYTES]
        if mine != yours:
            places = range(0, len(mine), LEAF_BYTES)
            differ = [at for at in places if mine[at : at + LEAF_BYTES] != yours[at : at + LEAF_BYTES]]
            found += [(start + at) // LEAF_BYTES for at in differ]
    return found


def answer(
    book: Book, rows: Sequence[RosterEntry], hashes: Sequence[str], *, vouching: bool
) -> Iterator[RosterEntries | None]:
    """The frames that answer a request, the governance log in the first; None is a pause, to give the loop back.

    `rows` are the roster's, by the roster. `vouching`: the peer has `FEATURE`. Then what this device is sure of, and
    could have decided alone, comes in frames of its own.
    """
    vouches = vouching and book.standing.is_authority(book.me)
    sure, heard = _Frames(vouched=True), _Frames(vouched=False)
    first = sure if vouches else heard
    first.transitions = book.log.entries
    first.nbytes += book.log.nbytes
    for begin in range(0, len(rows), ENTRIES_PER_PAUSE):
        if begin:
            yield None
        yield from first.add_rows(rows[begin : begin + ENTRIES_PER_PAUSE])
    if vouches:
        # Whoever hears the member log has to know its signers.
        yield from first.end(even_empty=True)
    is_vouched = _Vouching(book).covers
    for number, copy in enumerate(to_tell(book, hashes if vouching else ()), 1):
        if copy is not None:
            yield from (sure if vouches and is_vouched(copy) else heard).add_entry(copy.entry)
        if copy is None or number % ENTRIES_PER_PAUSE == 0:
            yield None
    for entry in book.aside.unknown.values():
        yield from heard.add_entry(entry)
    yield from sure.end()
    yield from heard.end(even_empty=not first.count)  # an answer is never silence


def refuting(book: Book, log: Log) -> RosterEntries | None:
    """What to send a peer of ours that holds `log`: a branch that refutes it, the held one first (02 §24.3 no. 46)."""
    branch = next((known for known in (book.log, *book.branches.logs) if refutes(known, log)), None)
    return None if branch is None else RosterEntries((), branch.entries)


def denial(book: Book, device: str) -> Deny:
    """The deny for an evicted device, with both logs; if they do not fit, with what proves the removal (FIX 15).

    The governance log is always whole: it always fits.
    """
    log = book.log.entries
    members = book.members
    room = MAX_FRAME_BYTES - _FRAME_BYTES - book.log.nbytes
    if members.count * _LEAST_ENTRY_BYTES <= room:
        served = book.served()
        if sum(len(entry_key(entry)) + 1 for entry in served) <= room:
            return Deny("evicted", log, served)
    proof: list[Transition] = []
    copies = [copy.entry for slot in members.slots(device).values() for copy in slot.copies]
    decides = book.bench.verdict(device).entry
    for entry in sorted(dict.fromkeys(copies), key=lambda entry: (entry != decides, -entry.at)):
        room -= len(entry_key(entry)) + 1
        if room < 0:
            break
        proof.append(entry)
    return Deny("evicted", log, tuple(proof))


class _Frames:
    """Frames of one kind, filled up one after the other."""

    __slots__ = ("count", "entries", "members", "nbytes", "transitions", "vouched")

    def __init__(self, *, vouched: bool) -> None:
        self.vouched = vouched
        self.count = 0
        self._clear()

    def _clear(self) -> None:
        self.entries: list[RosterEntry] = []
        self.transitions: tuple[Transition, ...] = ()
        self.members: list[Transition] = []
        self.nbytes = _FRAME_BYTES

    def add_rows(self, rows: Sequence[RosterEntry]) -> Iterator[RosterEntries]:
        nbytes = len(_written(rows))
        if self.nbytes + nbytes <= MAX_FRAME_BYTES:  # most rosters are short: they are measured as one
            self.entries += rows
            self.nbytes += nbytes
            return
        for row in rows:
            yield from self._add_row(row)

    def _add_row(self, row: RosterEntry) -> Iterator[RosterEntries]:
        nbytes = len(_written(row)) + 1
        if self.nbytes + nbytes > MAX_FRAME_BYTES:
            yield from self.end()
        self.entries.append(row)
        self.nbytes += nbytes

    def add_entry(self, entry: Transition) -> Iterator[RosterEntries]:
        nbytes = len(entry_key(entry)) + 1
        if self.nbytes + nbytes > MAX_FRAME_BYTES:
            yield from self.end()
        self.members.append(entry)
        self.nbytes += nbytes

    def end(self, *, even_empty: bool = False) -> Iterator[RosterEntries]:
        """What has been filled so far, if it is anything."""
        if even_empty or self.nbytes > _FRAME_BYTES:
            self.count += 1
            vouched = True if self.vouched else UNSET
            yield RosterEntries(tuple(self.entries), self.transitions, tuple(self.members), vouched)
        self._clear()


class _Vouching:
    """Whether this device is sure of a copy, and its word is worth something for it."""

    def __init__(self, book: Book) -> None:
        self._standing, self._rules = book.standing, book.rules
        self._speaker = Speaker(book.me, vouched=True)
        self._plain: dict[type, bool] = {}
        """By kind of variant: whether it covers one about a device without a seat, which is nearly every one."""

    def covers(self, copy: Copy) -> bool:
        if not copy.is_sure(self._standing):
            return False
        entry = copy.entry
        if target_of(entry.variant) in self._standing.roles:
            return is_sure(entry, self._speaker, self._standing, self._rules)
        kind = type(entry.variant)
        found = self._plain.get(kind)
        if found is None:
            found = self._plain[kind] = is_sure(entry, self._speaker, self._standing, self._rules)
        return found
