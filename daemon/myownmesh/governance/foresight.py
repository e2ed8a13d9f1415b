"""What a change would do, before it is signed (spec 02 §15, §24.3 nos. 47, 61)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from myownmesh.governance.authoring import draft
from myownmesh.governance.entries import is_removal, target_of
from myownmesh.governance.ratifying import tier_of
from myownmesh.governance.succession import legacy
from myownmesh.protocol.transitions import Evict, KindChange, Transition

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.governance.book import Book
    from myownmesh.protocol.transitions import Variant


@frozen
class Outlook:
    """What comes of a change. All devices are bare ids, sorted."""

    holds_already: bool
    effective: bool
    """This device alone decides it."""
    waits_for: tuple[str, ...]
    ends: tuple[str, ...] = ()
    """Links of this device that end at once."""
    falling_admits: tuple[str, ...] = ()
    """Let in by the target and by nobody else: out, unless they are signed anew."""
    falling_removals: tuple[str, ...] = ()
    """Put out by the target and by nobody else: signed anew before the target goes."""
    let_in: tuple[str, ...] = ()
    """Put out so far, and back with the reopening."""
    unreachable: tuple[str, ...] = ()
    """Members without a link to this device now; they hear of it from others, or when they are back."""
    owners: tuple[str, ...] = ()
    """Who is owner behind it; nobody: nobody can change roles or the shape any more."""


def outlook(book: Book, variant: Variant, linked: Collection[str]) -> Outlook:
    """What comes of a change; `linked` are the devices that this one talks to. Raises `authoring.Refused`."""
    drafted = draft(book, variant)
    if drafted is None:
        return Outlook(holds_already=True, effective=True, waits_for=(), owners=_sorted(book.standing.owners))
    target = target_of(variant)
    after = book.standing
    if tier_of(variant, book.standing) != "member":
        after = after.after(Transition(0, variant, (book.me,), ("",)), void=False)
    falls = legacy(book, target) if target is not None and not after.is_authority(target) else ()
    puts_out = is_removal(variant) and (isinstance(variant, Evict) or not book.standing.is_authority(target or ""))
    return Outlook(
        holds_already=False,
        effective=drafted.effective,
        waits_for=drafted.waits_for,
        ends=_sorted({target} & {*linked}) if puts_out and target is not None else (),
        falling_admits=tuple(each.variant.target for each in falls if not isinstance(each.variant, Evict)),
        falling_removals=tuple(each.variant.target for each in falls if isinstance(each.variant, Evict)),
        let_in=tuple(book.bench.removed()) if variant == KindChange("open") else (),
        unreachable=_sorted(set(book.bench.roles()) - {*linked, book.me, target}),
        owners=_sorted(after.owners),
    )


def _sorted(devices: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(devices))
