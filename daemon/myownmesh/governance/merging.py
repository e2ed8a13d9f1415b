"""What a losing branch held and is not to be lost (spec 02 §24.3 no. 46).

Right after a device changed its branch, any seated authority appends again what the other one had: removals first, then
the rest. Nobody gets more by it than on either branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.branches import refutes
from myownmesh.governance.log import common_length
from myownmesh.governance.quorum import unmet
from myownmesh.protocol.transitions import RoleGrant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.book import Book
    from myownmesh.governance.log import Log, Place
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Transition, Variant


class Merge(Value, frozen=True):
    """What an authority does after a choice, in this order."""

    steps: tuple[Transition | Variant, ...] = ()
    """Entries to append as they are (`ratifying.append`), and removals to propose anew (`authoring.propose`)."""
    skipped: tuple[Place, ...] = ()
    """What stays out: it is spent from now on, and listed."""


def merge_behind(book: Book, left: Log) -> Merge:
    """What of the branch `left` this device appends, if it is an authority, to the branch that it holds."""
    branches = book.branches
    against = [log for log in branches.logs if log.digest not in branches.stayed and refutes(log, book.log)]
    return merge_of(book.log, left, book.me, book.rules, against)


def merge_of(winner: Log, left: Log, me: str, rules: Rules, against: Sequence[Log] = ()) -> Merge:
    """What of the branch `left` an authority `me` appends to the branch that counts.

    Where each refutes the other, a person decided a quarrel. Nothing that the decision went against comes back by the
    merge: no removal of those whose branch was chosen, nothing by whom they removed.

    `against`: others that refute the branch that counts. Where `left` did not, a person chose a branch that these held
    out, and `left` may be one of them with a removal left out: whom they or it remove nothing seats.
    """
    common = common_length(winner, left)
    tail, winning = left.places[common:], winner.places[common:]
    thirds = () if refutes(left, winner) else against
    sides = [
        *tail,
        *winning,
        *(place for third in thirds for log in (third, winner) for place in log.places[common_length(third, winner) :]),
    ]
    removed = {target for place in sides if (target := place.puts_out) is not None}
    quarrel = refutes(left, winner) and refutes(winner, left)
    struck = {place.puts_out for place in winning if quarrel or place.author_role == "owner"}
    chosen = {signer for place in winning for signer in place.entry.signers} if quarrel else set()
    there = {place.identity for place in winning}
    steps: list[Transition | Variant] = []
    skipped: list[Place] = []
    standing = winner.standing
    for place in sorted(tail, key=lambda place: place.puts_out is None):
        if place.identity in there:
            continue
        entry, variant = place.entry, place.entry.variant
        # What takes a role down on its own branch may give one here, where its target has none left.
        lowers = place.puts_out is not None and standing.lowered(variant) is not None
        left_out = (
            place.void
            or place.puts_out in chosen
            or all(author in struck for author in place.authors)
            or (isinstance(variant, RoleGrant) and not lowers and variant.target in removed)
            or not _changes(standing, entry)
        )
        if not left_out and unmet(standing, variant, standing.authors(entry.signers), rules) is None:
            steps.append(entry)
        elif not left_out and place.puts_out not in (None, me) and unmet(standing, variant, (me,), rules) is None:
            steps.append(variant)
        else:
            skipped.append(place)
            continue
        standing = standing.after(entry, void=False)
    return Merge(tuple(steps), tuple(skipped))


def skip(book: Book, merge: Merge) -> Book:
    """Remember what stayed out, so that nobody brings it back."""
    digests = [digest for place in merge.skipped for digest in place.signatures]
    return replace(book, memory=book.memory.spend(digests, "skipped"))


def _changes(standing: Standing, entry: Transition) -> bool:
    return standing.after(entry, void=False) != standing
