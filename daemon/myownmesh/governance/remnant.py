"""Going on with what is left of a log that this device has lost (spec 02 §24.3 no. 50).

After a loss nothing is authored before all entries are back. Where nobody has them any more, a person decides; with no
entry at all there is nothing to go on with, and the network is founded anew under another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from myownmesh.governance.book import Book


def is_short(book: Book) -> bool:
    """Whether entries that this device had are still missing."""
    return book.lost > len(book.log)


def offer(book: Book) -> Book:
    """Ask a person whether to go on with what there is; the same book where that was answered or cannot be asked."""
    if not is_short(book) or not book.is_founded:
        return book
    questions = book.questions.with_remnant(book.network_id, len(book.log))
    return book if questions == book.questions else replace(book, questions=questions)


def go_on(book: Book, question: str) -> Book:
    """A person here goes on with what there is: it is all that this device ever had."""
    questions = book.questions.without(question)
    return replace(book, lost=0, pin=book.pin.on(book.log), questions=questions)
