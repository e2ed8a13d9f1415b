"""Branches that hold this device out: it would take one but for a third that does not count either (02 §24.3 no. 46).

Whoever shows a variant of a branch, with an entry left out, can refute the better one at this device alone. The rules
leave it there; so a person is asked, once others are seen to hold the better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.branches import order_of, refutes
from myownmesh.governance.sync import log_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from myownmesh.governance.book import Book
    from myownmesh.governance.branches import Branches
    from myownmesh.governance.log import Log

SAME_LOOKS: Final = 3
"""So many looks in a row with one answer: what others are about to tell has been told."""


class Looks(Value, frozen=True):
    """What the last looks found."""

    found: str = ""
    """Which branch held this device out, as peers tell it; empty for none."""
    count: int = 0
    """How many looks in a row found this."""

    def again(self, found: str) -> Looks:
        """One more look."""
        return Looks(found, min(self.count + 1, SAME_LOOKS) if found == self.found else 1)


def kept_out(held: Log, branches: Branches) -> tuple[Log, ...]:
    """Branches that would count here instead of the held one, but for a third one that does not count either."""
    known = [log for log in branches.logs if log.digest not in branches.stayed]
    return tuple(
        log
        for log in known
        if not refutes(held, log)
        and any(refutes(other, log) for other in known if other is not log)
        and order_of(log) < order_of(held)
    )


def look(book: Book, out: Sequence[Log], shown: Collection[str], before: Looks) -> tuple[Book, Looks]:
    """Ask a person, where one answer has been found often enough, or ask no more. The same book when nothing changed.

    `out`: what is kept out of this book; `shown`: which logs linked devices of ours say that they hold. A branch that
    nobody holds keeps nobody apart.
    """
    asked = next(iter(book.questions.rivals.values()), None)
    if not shown or (asked is not None and not _is_among(asked, out)):
        return book, Looks()
    best = min((log for log in out if log_digest(log) in shown), key=order_of, default=None)
    looks = before.again("" if best is None else log_digest(best))
    questions = book.questions.with_rival(best)
    if looks.count < SAME_LOOKS or questions == book.questions:
        return book, looks
    return replace(book, questions=questions), looks


def still_asked(book: Book) -> Log | None:
    """The branch that a person was asked about and that holds this device out still."""
    asked = next(iter(book.questions.rivals.values()), None)
    return asked if asked is not None and _is_among(asked, kept_out(book.log, book.branches)) else None


def _is_among(asked: Log, out: Sequence[Log]) -> bool:
    return any(log.digest == asked.digest for log in out)
