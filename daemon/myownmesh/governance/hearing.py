"""Entries of the member log that peers send, taken in slices (spec 02 §8, §14.3, 24.3)."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.entries import target_of
from myownmesh.governance.judging import Judgement, is_repetition, judge, waiting
from myownmesh.governance.member_log import Draft
from myownmesh.governance.newcomers import Author, Newcomers
from myownmesh.governance.questions import Replay
from myownmesh.governance.verdicts import corrected
from myownmesh.governance.words import HEARSAY, OURSELVES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from myownmesh.governance.book import Book
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.verdicts import Membership
    from myownmesh.governance.words import Speaker
    from myownmesh.protocol.transitions import Transition

ENTRIES_PER_SLICE: Final = 100
"""With `CHECKS_PER_SLICE` checks at most: a few milliseconds of the loop."""

MAX_CHECKS_OF_ONE: Final = 8
"""More signers than an entry can hold."""


class Heard(Value, frozen=True):
    """What became of some entries."""

    book: Book
    judged: tuple[tuple[Transition, Judgement], ...]
    rest: tuple[Transition, ...]
    """What is left for the next slice."""
    before: Mapping[str, Membership] = msgspec.field(default_factory=dict)
    """Devices that the entries are about, with the verdict that held before: the new ones, the book tells."""
    failed: int = 0
    """Signatures that are none: charged to the sender (02 §24.3 no. 58)."""

    @property
    def changed(self) -> tuple[str, ...]:
        """Devices whose verdict is another one now: links of removed ones end at once (FIX 17, 60)."""
        bench = self.book.bench
        return tuple(
            device for device, membership in self.before.items() if bench.verdict(device).membership != membership
        )


def hear_entries(
    book: Book,
    entries: Sequence[Transition],
    speaker: Speaker,
    checks: Checks,
    now: int,
    *,
    max_checks: int,
    on_disk: bool = False,
) -> Heard:
    """Judge as many entries as a slice may take; `now` in Unix seconds.

    `max_checks`: how many signature checks may be made now (`CHECKS_PER_SLICE`, or what the sender's charge leaves).
    `on_disk`: they come from this device's own file. Order and slicing do not matter; call again with `rest`.
    """
    draft = Draft(book.members)
    court, aside, questions = book.court(now, draft), book.aside, book.questions
    judged: list[tuple[Transition, Judgement]] = []
    before: dict[str, Membership] = {}
    failed, begun = 0, checks.count
    newcomers = Newcomers(speaker, court, aside, checks)
    plain = newcomers.checked(entries[:ENTRIES_PER_SLICE], max_checks)
    slice_of = entries[:ENTRIES_PER_SLICE]
    if (entered := newcomers.enter_all(slice_of, plain)) is not None:
        judged = list(zip(slice_of, entered, strict=False))
        before = {entry.variant.target: "unlisted" for entry, _ in judged}  # type: ignore[union-attr]  # they have one
        slice_of, plain = slice_of[len(judged) :], []
        if checks.count - begun >= max_checks:
            slice_of = ()
    for entry, good in zip_longest(slice_of, plain):
        judgement = newcomers.enter(entry, good, aside) if isinstance(good, Author) else None
        if judgement is not None:
            judged.append((entry, judgement))
            before[entry.variant.target] = "unlisted"  # type: ignore[union-attr]  # it has one
            continue
        target = target_of(entry.variant)
        if good is None and target is not None and is_repetition(entry, target, speaker, court):
            judged.append((entry, Judgement("known", aside)))
            continue
        if good is None and checks.count - begun >= max_checks:
            break
        if target is not None and target not in before:
            before[target] = court.bench.verdict(target).membership
        signed = None if good is None else bool(good)
        judgement = judge(entry, speaker, court, checks, aside, on_disk=on_disk, signed=signed)
        judged.append((entry, judgement))
        failed += judgement.charge
        aside = judgement.aside
        if judgement.outcome == "shown":
            signer = book.standing.authors(entry.signers)[0]
            questions = questions.with_replay(book.network_id, Replay(entry, signer))
    members = draft.done()
    if members is not book.members and book.pin.evicted:
        kept = corrected(book.bench, members, before)
        book = replace(book, pin=book.pin.only_keeping(kept))
    if members is not book.members or aside is not book.aside or questions is not book.questions:
        book = replace(book, members=members, aside=aside, questions=questions)
    return Heard(book, tuple(judged), tuple(entries[len(judged) :]), before, failed)


def hear_again(
    book: Book, checks: Checks, now: int, *, max_checks: int, rest: Sequence[Transition] | None = None
) -> Heard:
    """Judge once more what waits for its time or its signer: after the log grew, and every minute.

    What is said of it then is hearsay: whose link it came over is forgotten. Call again with the `rest` while there is
    one; without it all would begin anew, and what goes on waiting never end.
    """
    entries = waiting(book.aside, book.standing.known) if rest is None else rest
    return hear_entries(book, entries, HEARSAY, checks, now, max_checks=max_checks)


def dismiss(book: Book, question: str) -> Book:
    """A person here says that an entry is an old one: it is not shown again."""
    return replace(book, questions=book.questions.without(question, dismiss=True))


def accept_grant(book: Book, question: str, checks: Checks, now: int) -> Heard:
    """A person here says that a grant is meant as it stands: what else was heard for its target is dropped (44)."""
    replay = book.questions.replays[question]
    target = target_of(replay.entry.variant) or ""
    sure = [
        copy.entry
        for slot in book.members.slots(target).values()
        for copy in slot.copies
        if copy.is_sure(book.standing)
    ]
    kept = {device: at for device, at in book.pin.evicted.items() if device != target or at >= replay.entry.at}
    book = replace(
        book,
        members=book.members.without(target, keep=sure),
        pin=book.pin.only_keeping(kept),
        questions=book.questions.without(question),
    )
    return hear_entries(book, [replay.entry], OURSELVES, checks, now, max_checks=MAX_CHECKS_OF_ONE)
