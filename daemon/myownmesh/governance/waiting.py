"""What waits for a decision, in words, and what signing and denying it would do (spec 02 §11, §24.2, 24.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from mesh_common.values import Value
from myownmesh.governance.holdouts import still_asked
from myownmesh.governance.pending import pending
from myownmesh.governance.ratifying import decides
from myownmesh.governance.signed_bytes import content_digest
from myownmesh.governance.telling import said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.governance.book import Book
    from myownmesh.governance.records import Proposal
    from myownmesh.governance.telling import Names

Sort = Literal["proposal", "founder", "replay", "branch", "remnant", "fallen", "owed"]

MEANS: Final[Mapping[Sort, tuple[str, str]]] = {
    "proposal": ("put your name under it", "refuse it; an authority's or the proposer's refusal ends it everywhere"),
    "founder": ("take this device for the founder and its log for the network's", "turn this founder down for good"),
    "replay": ("it is meant once more, as it stands", "it is an old entry; it is not shown again"),
    "branch": ("leave this device's branch for the other one", "stay on this device's branch"),
    "remnant": ("go on with the entries that are left", "wait for the lost entries; not asked again"),
    "fallen": ("sign the removal anew, with its old time", "drop it"),
    "owed": ("sign it now, with the authenticator's code", "leave it unsigned"),
}
"""What sign and deny do."""


_NOBODY: Final[Mapping[str, str]] = {}


class Wait(Value, frozen=True):
    """One decision that waits."""

    record: Proposal
    sort: Sort
    text: str
    """Who wants what."""
    digest: str
    """Of what would be signed: whoever was shown this sends it along (02 §24.3 no. 45)."""
    sign: str
    deny: str
    decides: tuple[str, ...]
    """Bare ids of whose signature brings it into force; of a question only this device."""
    mine: bool
    """This device has signed it already."""


def waits(book: Book, names: Names, approved: Mapping[str, str] = _NOBODY) -> tuple[Wait, ...]:
    """All that waits here, in the order in which clients see it.

    `approved`: whom a person at this device let in, bare ids to the day in words.
    """
    return tuple(_wait(book, names, approved, record) for record in pending(book))


def _wait(book: Book, names: Names, approved: Mapping[str, str], record: Proposal) -> Wait:
    sort = _sort(book, record.id)
    sign, deny = MEANS[sort]
    return Wait(
        record,
        sort,
        _text(book, names, approved, record, sort),
        content_digest(book.network_id, record.variant),
        sign,
        deny,
        decides(book, record.variant) if sort == "proposal" else (book.me,),
        book.me in record.signers,
    )


def _sort(book: Book, question: str) -> Sort:
    questions = book.questions
    if question in book.proposals.records:
        return "proposal"
    if question in questions.claims:
        return "founder"
    if question in questions.replays:
        return "replay"
    if question in questions.rivals:
        return "branch"
    if question in questions.remnants:
        return "remnant"
    return "owed" if question in questions.owed else "fallen"


def _text(book: Book, names: Names, approved: Mapping[str, str], record: Proposal, sort: Sort) -> str:
    what = said(record.variant, names)
    who = names(record.proposer)
    match sort:
        case "proposal":
            return f"{who} wants: {what}"
        case "founder":
            return f"{who} {what}, and would be its founder; {_trust(record.proposer, names, approved)}"
        case "replay":
            return f"{who} once signed: {what}; somebody shows it again"
        case "branch" if still_asked(book) is not None:
            return (
                "others hold another branch, which comes first here but for a third one that nobody goes by; "
                f"it goes its way where {who} {what}"
            )
        case "branch":
            return f"authorities decided against each other; the other branch goes its way where {who} {what}"
        case "remnant":
            have = len(book.log)
            return f"this device lost its log and has {have} of {book.lost} entries back, the last: {who} {what}"
        case "fallen":
            return f"{who} {what}, but has lost the role since"
        case _:
            return f"this device would sign by itself, but for the lock: {what}"


def _trust(founder: str, names: Names, approved: Mapping[str, str]) -> str:
    """What a person here has to go by before it takes a device for the founder (24.3 no. 56)."""
    day = approved.get(founder)
    trust = "nobody here approved it by hand" if day is None else f"approved by you on {day}"
    twins = names.alike(founder)
    return f"{trust}; beware, called the same: {names.all(twins)}" if twins else trust
