"""Governance logs of others: which become ours (spec 02 §7, §24.2, 24.3).

Judged whole, in this order: pin and kind floor, what is common with the branch held, each new entry (spent, room), and
then what the branches have to say to each other. Form, quorum and signatures were looked at by `log.heard` before;
here nothing is checked that takes time, so that a book never changes between question and answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.branches import choose
from myownmesh.governance.entries import is_member_grant, is_removal, target_of
from myownmesh.governance.holdouts import still_asked
from myownmesh.governance.log import EMPTY, common_length
from myownmesh.governance.memory import undone
from myownmesh.governance.questions import Claim, Replay
from myownmesh.governance.quorum import unmet
from myownmesh.governance.words import OURSELVES, is_sure
from myownmesh.protocol.transitions import KindChange, RoleGrant

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.log import Log, Place
    from myownmesh.governance.questions import Questions
    from myownmesh.governance.words import Speaker

OWNERS_ONLY_BYTES: Final = 48_000
"""From here on others adopt only what an owner signed, or what an owner built on (02 §24.3 no. 49)."""

CLOCKS_SECONDS: Final = 600
"""Two honest clocks are no further apart: each is at most five minutes off."""

Found = Literal[
    "ignored",  # silent network, or a log that founds nothing
    "known",  # nothing new
    "refused",  # another founder than the pinned one, or one that was turned down
    "claim",  # a founder nobody agreed to: a person decides
    "adopted",  # the held branch grew
    "kept",  # a rival that does not count is remembered
    "switched",  # a rival counts: it is held now
    "asked",  # a person decides
]


class Adoption(Value, frozen=True):
    """What became of a log."""

    found: Found
    book: Book
    why: str = ""
    """For people and diagnostics: which rule decided."""
    place: Place | None = None
    """The entry that it is about, if it is about one."""
    left: Log | None = None
    """After a switch, the log that was left: its tail may have to be merged (02 §24.3 no. 46)."""


def hear_log(book: Book, log: Log, speaker: Speaker, now: int, *, rostered: frozenset[str] = frozenset()) -> Adoption:
    """Take a verified log of a peer, a file or the disk. `now` in Unix seconds; `rostered`: devices let in here before.

    The book of the result is the same object when nothing changed.
    """
    if book.configured == "silent":
        return Adoption("ignored", book, "silent networks have no log")
    if log.founding is None:
        return Adoption("ignored", book, "nothing is founded by it")
    if not book.pin.fits(log, book.network_id):
        return Adoption("refused", book, "OTHER-FOUNDER", log.founding)
    common = common_length(book.log, log)
    if common == len(log):
        return _better_forms(book, log)
    foreign = _foreign_close(book, log, common)
    if foreign is not None and not book.rules.adopt_any_genesis:
        founder = foreign.entry.signers[0]
        if founder in book.pin.refused:
            return Adoption("refused", book, "FOUNDER-REFUSED", foreign)
        claim = Claim(log, foreign, speaker.device, founder in rostered)
        questions = book.questions.with_claim(book.network_id, claim)
        return Adoption("claim", _asking(book, questions), "FOUNDER-UNKNOWN", foreign)
    return _adopt(book, log, common, speaker, now)


def consent(book: Book, question: str, now: int) -> Adoption:
    """A person here agrees to a founder: pin it, and take its log. Nothing is signed or sent (02 §24.2)."""
    claim = book.questions.claims[question]
    book = replace(book, questions=book.questions.without(question))
    if not book.pin.fits(claim.log, book.network_id):
        return Adoption("refused", book, "OTHER-FOUNDER", claim.place)
    return _adopt(book, claim.log, common_length(book.log, claim.log), OURSELVES, now)


def refuse(book: Book, question: str) -> Book:
    """A person here turns a founder down: its claims are not shown again."""
    claim = book.questions.claims[question]
    return replace(book, questions=book.questions.without(question), pin=book.pin.refusing(claim.founder))


def accept_replay(book: Book, question: str, now: int) -> Adoption:
    """A person here says that a spent governance entry is meant once more."""
    replay = book.questions.replays[question]
    book = replace(book, questions=book.questions.without(question))
    if replay.log is None:
        raise ValueError("this question is about the member log")
    return _adopt(book, replay.log, common_length(book.log, replay.log), OURSELVES, now)


def switch(book: Book, question: str, now: int) -> Adoption:
    """A person here leaves this device's branch for the other one."""
    log = book.questions.rivals[question]
    return _switched(book, log, now, by_itself=False)


def stay(book: Book, question: str) -> Book:
    """A person here keeps this device's branch."""
    log = book.questions.rivals[question]
    return replace(book, branches=book.branches.staying(log), questions=book.questions.without(question))


def reconsider(book: Book, now: int, *, shown_by: str = "") -> Adoption:
    """Choose among the branches that are known. `shown_by`: the device that showed one on its own link just now."""
    choice = choose(book.branch, book.branches, now, shown_by=shown_by)
    if choice.log is book.log:
        return Adoption("kept", _asking(book, book.questions.with_rival(still_asked(book))))
    if choice.ask:
        return Adoption("asked", _asking(book, book.questions.with_rival(choice.log)), "RIVAL")
    return _switched(book, choice.log, now, by_itself=True)


def _adopt(book: Book, log: Log, common: int, speaker: Speaker, now: int) -> Adoption:
    length, why = _acceptable(book, log, common, speaker)
    if length < len(log) and why == "SPENT":
        place = log.places[length]
        replay = Replay(place.entry, place.authors[0], log.until(length + 1))
        book = _asking(book, book.questions.with_replay(book.network_id, replay))
    stopped = log.places[length] if length < len(log) else None
    if length <= common:
        return Adoption("asked" if why == "SPENT" else "refused", book, why, stopped)
    # Our own objects stay where both say the same (FIX 8), so that no copy of a peer's replaces them.
    kept = book.log.until(common).extended(log.entries[common:length], book.network_id, book.rules)
    if common == len(book.log):
        grown = book.with_branch(book.branch.with_log(kept, now), book.branches)
        after = reconsider(grown, now) if book.branches.others else Adoption("kept", grown)
        if after.found == "switched":
            return after
        return Adoption("adopted", after.book, why, stopped)
    branches = book.branches.with_log(book.branch, kept, now)
    known = book if branches is book.branches else replace(book, branches=branches, memory=book.memory.with_log(kept))
    return reconsider(known, now, shown_by=speaker.device)


def _switched(book: Book, log: Log, now: int, *, by_itself: bool) -> Adoption:
    left = book.log
    held, branches = book.branches.switched(book.branch, log, now, by_itself=by_itself)
    after = book.with_branch(held, branches)
    return Adoption("switched", replace(after, questions=after.questions.with_rival(None)), "RIVAL", left=left)


def _foreign_close(book: Book, log: Log, common: int) -> Place | None:
    """A close among the new entries that founds anew, by somebody nobody here has agreed to.

    The first close is agreed to when it is pinned; a later one, when an owner made it.
    """
    for place in log.places[common:]:
        if place.entry.variant != KindChange("closed"):
            continue
        first = place is log.founding
        if (first and not book.pin.is_set) or (not first and place.before.role(place.entry.signers[0]) != "owner"):
            return place
    return None


def _acceptable(book: Book, log: Log, common: int, speaker: Speaker) -> tuple[int, str]:
    """Up to where a log may be taken, and why not further."""
    again = undone(log)
    earlier = {digest for place in log.places[:common] for digest in place.signatures}
    length, why = len(log), ""
    for index in range(common, len(log)):
        place = log.places[index]
        if _is_members(place):
            length, why = index, "MEMBER-TIER"
            break
        old = _old_authors(book, log, index)
        if _is_spent(book, place, earlier, again, old) and not _is_meant(book, place, speaker):
            length, why = index, "SPENT"
            break
        earlier.update(place.signatures)
    while length > common and not _has_room(log.until(length)):
        length, why = length - 1, "LOG-NEARLY-FULL"
    return length, why


def _is_members(place: Place) -> bool:
    """An entry that belongs to the member log, where every honest device puts it.

    Their signatures are at hand by the thousand, so anybody could fill the governance log with them; and whoever was
    let in first and given a seat later would be lowered by anybody who puts the old admit behind it. Removals of
    somebody who once had a seat may be here: an owner settles quarrels by them (`authoring.settle`).
    """
    variant = place.entry.variant
    return is_member_grant(variant) or (is_removal(variant) and target_of(variant) not in place.before.known)


def _old_authors(book: Book, log: Log, index: int) -> frozenset[str]:
    """Whose removal at this place is one that the member log has from before its target got its seat.

    Somebody who was put out as a member, let in again and given a seat has a removal that everybody holds. Whoever puts
    it behind the seat would take that.
    """
    entry = log.places[index].entry
    target = target_of(entry.variant)
    slots = {} if target is None or not is_removal(entry.variant) else book.members.slots(target)
    if not slots:
        return frozenset()
    seat = next((each.entry.at for each in reversed(log.places[:index]) if _seats(each, target)), None)
    if seat is None:
        return frozenset()
    let_in = max((copy.entry.at for key, slot in slots.items() if key.is_grant for copy in slot.copies), default=-1)
    pairs = set(zip(entry.signers, entry.signatures, strict=True))
    times = {
        key.author: max(copy.entry.at for copy in slot.copies)
        for key, slot in slots.items()
        if not key.is_grant and (key.author, key.signature) in pairs
    }
    return frozenset(
        author for author, at in times.items() if at < seat and (at <= let_in or at + CLOCKS_SECONDS < seat)
    )


def _seats(place: Place, target: str | None) -> bool:
    variant = place.entry.variant
    return isinstance(variant, RoleGrant) and variant.target == target and not is_member_grant(variant)


def _is_spent(
    book: Book, place: Place, earlier: set[bytes], again: frozenset[bytes], old: frozenset[str] = frozenset()
) -> bool:
    """Whether what is not spent of its signatures would not do. Those of `old` authors are."""
    if place.void:
        return False
    digests = dict(zip(place.authors, place.signatures, strict=True))
    fresh = [
        author
        for author, digest in digests.items()
        if author not in old
        and digest not in earlier
        and not book.memory.is_spent(digest, undone_again=digest in again)
    ]
    if len(fresh) == len(digests):
        return False
    return not fresh or unmet(place.before, place.entry.variant, fresh, book.rules) is not None


def _is_meant(book: Book, place: Place, speaker: Speaker) -> bool:
    return book.rules.replayable_logs or is_sure(place.entry, speaker, book.standing, book.rules)


def _has_room(log: Log) -> bool:
    """24.3 no. 49: a nearly full log ends with what an owner signed."""
    return log.nbytes < OWNERS_ONLY_BYTES or log.places[-1].author_role == "owner"


def _better_forms(book: Book, log: Log) -> Adoption:
    """FIX 8: of two forms of one entry the one with fewer co-signers is the honest one."""
    held = book.log.entries
    better = [
        msgspec.structs.replace(theirs, at=ours.at) if len(theirs.signers) < len(ours.signers) else ours
        for ours, theirs in zip(held, log.entries, strict=False)
    ]
    if all(ours is now for ours, now in zip(held, better, strict=False)):
        return Adoption("known", book)
    again = EMPTY.extended([*better, *held[len(better) :]], book.network_id, book.rules)
    return Adoption("known", replace(book, branch=replace(book.branch, log=again)), "BETTER-FORM")


def _asking(book: Book, questions: Questions) -> Book:
    return book if questions == book.questions else replace(book, questions=questions)
