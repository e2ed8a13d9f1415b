"""What is signed anew when an author loses its seat (spec 02 FIX 11, 24.3 nos. 47, 48).

An entry counts while its author is seated. Before an authority is put out by one of ours, and after another has done
so, what it decided is signed again by one that stays, with its old time: a new one would undo what came later.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from mesh_common.values import Value
from myownmesh.governance.copies import OUR_WORD, Copy
from myownmesh.governance.questions import derived_id
from myownmesh.governance.quorum import unmet
from myownmesh.governance.verdicts import Bench
from myownmesh.protocol.transitions import Evict, RoleGrant, Transition

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.questions import Owed
    from myownmesh.protocol.transitions import Variant


class Anew(Value, frozen=True):
    """An entry of the member log to be signed by this device."""

    variant: RoleGrant | Evict
    at: int
    """Unix seconds: the time of the entry that it stands for."""

    def signed(self, by: str, signature: str) -> Transition:
        """The entry, signed by a bare id."""
        return Transition(self.at, self.variant, (by,), (signature,))


class Keep(Value, frozen=True):
    """Which admits of an authority that goes are signed anew (02 §24.3 no. 47); its removals always are."""

    devices: frozenset[str] | None = None
    """Bare ids; None: all of them."""
    before: int | None = None
    """Only admits older than this, Unix seconds."""

    def holds(self, anew: Anew) -> bool:
        if not isinstance(anew.variant, RoleGrant):
            return True
        if self.before is not None and anew.at >= self.before:
            return False
        return self.devices is None or anew.variant.target in self.devices


def legacy(book: Book, author: str) -> tuple[Anew, ...]:
    """What falls when `author` loses its seat: its tombstones, and behind them the admits that nobody else signed.

    Tombstones are always signed anew; which admits are, a person chooses. Sorted by device.
    """
    after = book.standing.unseated(author)
    without = Bench(book.members, after, {}, book.me)
    removals, admits = [], []
    for device, slots in sorted(book.members.items(), key=itemgetter(0)):
        if not any(key.author == author for key in slots):
            continue
        verdict = book.bench.verdict(device)
        if verdict.entry is None or without.verdict(device).membership == verdict.membership:
            continue
        if verdict.membership == "removed":
            removals.append(Anew(Evict(device), verdict.entry.at))
        elif device not in after.roles:
            admits.append(Anew(RoleGrant(device, "member"), verdict.entry.at))
    return (*removals, *admits)


def kept_removals(book: Book) -> tuple[Anew, ...]:
    """Removals that count here only because they did once: an authority signs them anew, so that others agree.

    Empty for a device that may not sign them. To be done 0–60 s later, at random.
    """
    return tuple(
        Anew(Evict(device), at)
        for device, at in sorted(book.pin.evicted.items())
        if book.bench.verdict(device).kept == at and _may_sign(book, Evict(device))
    )


def orphans(book: Book) -> dict[str, Transition]:
    """Removals by authors who had a seat once, but never while this device could count them: by the id of a question.

    For authorities only, as pending records of their own: sign is `sign_anew` with the entry's time, deny is
    `hearing.dismiss`.
    """
    bench, found = book.bench, {}
    if not book.standing.is_authority(book.me):
        return {}
    for device, slots in book.members.with_removals():
        removals = [slot for key, slot in slots.items() if not key.is_grant and not slot.stands(book.standing)]
        grant = bench.verdict(device).entry
        if not removals or grant is None or bench.verdict(device).membership != "present":
            continue
        for slot in removals:
            newest = max((copy.entry for copy in slot.copies), key=lambda entry: entry.at)
            question = derived_id(book.network_id, newest, slot.key.author)
            if newest.at > grant.at and question not in book.questions.dismissed:
                found[question] = newest
    return found


def owed(book: Book) -> dict[str, Owed]:
    """What this device still owes: nobody has done it meanwhile, and it may sign it. By the id of the question."""
    kept = {(anew.variant, anew.at) for anew in kept_removals(book)}
    return {
        question: owed
        for question, owed in book.questions.owed.items()
        if ((owed.variant, owed.at) in kept if owed.at is not None else _is_wanted(book, owed.variant))
    }


def _is_wanted(book: Book, variant: Variant) -> bool:
    """Whether a removal would still take somebody down, and this device may decide it."""
    standing = book.standing
    may = unmet(standing, variant, (book.me,), book.rules) is None
    return may and standing.is_authority(book.me) and standing.lowered(variant) is not None


def sign_anew(book: Book, anew: Anew, signature: str) -> Book:
    """The book with the entry that this device signed; it travels with the next answers."""
    return book.with_copies([Copy(anew.signed(book.me, signature), OUR_WORD)])


def _may_sign(book: Book, variant: Evict) -> bool:
    standing = book.standing
    return standing.is_authority(book.me) and unmet(standing, variant, (book.me,), book.rules) is None
