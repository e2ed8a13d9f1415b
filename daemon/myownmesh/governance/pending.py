"""All that waits for somebody's decision, as clients see it (spec 02 §11.1, §24.2, 24.3 nos. 44, 46, 48)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance.records import Proposal
from myownmesh.governance.succession import orphans, owed

if TYPE_CHECKING:
    from myownmesh.governance.book import Book


def pending(book: Book) -> tuple[Proposal, ...]:
    """Proposals, which travel, and behind them the questions that are for this device alone.

    Old clients show sign and deny on each of them. Only proposals are kept in the state file.
    """
    fallen = tuple(Proposal.of(question, entry.signers[0], entry) for question, entry in orphans(book).items())
    owes = tuple(
        Proposal(question, each.at or 0, book.me, each.variant, (), (), (), False)
        for question, each in owed(book).items()
    )
    return (*book.proposals.records.values(), *book.questions.shown(book.log), *fallen, *owes)
