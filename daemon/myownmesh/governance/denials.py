"""A deny with proof: believed by what is signed, and only about this device (spec 02 FIX 1, §15.3).

Who denies is not trusted, and before it has authenticated it is not even heard (the engine's business). The proof is
tried on a copy, which is kept only if it puts this device out of a network that it knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.entries import fault_of_form
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import BadLog, heard
from myownmesh.governance.words import HEARSAY

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.log import Log
    from myownmesh.governance.signatures import Checks, Slices
    from myownmesh.protocol.frames import Deny


def read_denial(book: Book, deny: Deny, checks: Checks) -> Slices[Log | None]:
    """Check the signatures of a proof. None: it proves nothing, because one of them is none.

    The book may change meanwhile; what comes of the proof, `take_denial` says.
    """
    try:
        log = yield from heard(deny.transitions, checks, book.rules)
    except BadLog:
        return None
    known = log.standing.known | book.standing.known
    proof = (each for each in deny.member_log if fault_of_form(each) is None and not known.isdisjoint(each.signers))
    return log if (yield from checks.first_bad(proof)) is None else None


def take_denial(book: Book, deny: Deny, log: Log, checks: Checks, now: int) -> Book:
    """The book after a proof that was checked: the same object unless it puts this device out. `now`: Unix seconds."""
    if not book.is_founded:
        return book
    after = hear_log(book, log, HEARSAY, now).book
    rest = deny.member_log
    while rest:
        done = hear_entries(after, rest, HEARSAY, checks, now, max_checks=len(rest))
        after, rest = done.book, done.rest
    return after if after.is_evicted(book.me) else book
