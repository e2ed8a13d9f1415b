"""A deny with proof: believed by what is signed, and only about this device (spec 02 FIX 1, §15.3).

Who denies is not trusted, and before it has authenticated it is not even heard (the engine's business). The proof is
tried on a copy, which is kept only if it puts this device out of a network that it knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance.adoption import hear_log, without_strangers_splits
from myownmesh.governance.entries import fault_of_form
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import BadLog, verified
from myownmesh.governance.signatures import CHECKS_PER_SLICE
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
        log = yield from verified(without_strangers_splits(deny.transitions, book.rules), checks, book.rules)
    except BadLog:
        return None
    begun = checks.count
    known = log.standing.known | book.standing.known
    for entry in deny.member_log:
        if fault_of_form(entry) is None and not known.isdisjoint(entry.signers) and not checks.is_good(entry):
            return None
        if checks.count - begun >= CHECKS_PER_SLICE:
            begun = checks.count
            yield
    return log


def take_denial(book: Book, deny: Deny, log: Log, checks: Checks, now: int) -> Book:
    """The book after a proof that was checked: the same object unless it puts this device out. `now`: Unix seconds."""
    if not book.is_founded:
        return book
    after = hear_log(book, log, HEARSAY, now).book
    rest = deny.member_log
    while rest:
        heard = hear_entries(after, rest, HEARSAY, checks, now, max_checks=len(rest))
        after, rest = heard.book, heard.rest
    return after if after.is_evicted(book.me) else book
