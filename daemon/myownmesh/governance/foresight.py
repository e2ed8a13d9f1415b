"""What a change would do, before it is signed (spec 02 §15, §24.3 nos. 47, 61)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownmesh.governance.authoring import draft
from myownmesh.governance.entries import is_removal, target_of
from myownmesh.governance.overview import refused
from myownmesh.governance.ratifying import tier_of
from myownmesh.governance.standing import RANKS
from myownmesh.governance.succession import Keep, legacy
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, Transition

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.governance.book import Book
    from myownmesh.protocol.transitions import Variant


_CHOSEN: Final = re.compile(r".*[_-].*|[a-z]+[0-9]*|.{0,7}")
"""A name that a person gives; generated ones are eight characters in which letters and digits alternate."""


class Founding(Value, frozen=True):
    """What a founding finds that a founder should know before."""

    unsigned: tuple[str, ...] = ()
    """Approved here and signed in by nobody: at their next handshake they wait for a signature."""
    planted: tuple[str, ...] = ()
    """Got a role while the network was open; it counts for nothing."""
    is_guessable: bool = False
    """The network's id looks like a name: whoever guesses it can knock."""
    signed_before: bool = False
    """This key has signed here before: what it signed then can be shown again."""


class Outlook(Value, frozen=True):
    """What comes of a change. All devices are bare ids, sorted."""

    holds_already: bool
    effective: bool
    """This device alone decides it."""
    waits_for: tuple[str, ...]
    ends: tuple[str, ...] = ()
    """Links of this device that end at once."""
    falling_admits: tuple[str, ...] = ()
    """Let in by the target and by nobody else: out, unless they are signed anew."""
    signed_anew: tuple[str, ...] = ()
    """Those of them that this device signs anew, as it was told to."""
    falling_removals: tuple[str, ...] = ()
    """Put out by the target and by nobody else: signed anew before the target goes."""
    let_in: tuple[str, ...] = ()
    """Put out so far, and back with the reopening."""
    unreachable: tuple[str, ...] = ()
    """Members without a link to this device now; they hear of it from others, or when they are back. Not a printed
    owner's key, which lives on no device."""
    owners: tuple[str, ...] = ()
    """Who is owner behind it; nobody: nobody can change roles or the shape any more."""
    refused: tuple[Variant, ...] = ()
    """Before a promotion: what its target once signed and did not get. A new owner could bring it up again."""
    founding: Founding | None = None
    """Of a close that founds."""


def outlook(
    book: Book,
    variant: Variant,
    linked: Collection[str],
    *,
    keep: Keep | None = None,
    rostered: Collection[str] = (),
) -> Outlook:
    """What comes of a change. `linked` are the devices that this one talks to, `rostered` those that were approved
    here, `keep` says whom it would sign in anew. Raises `authoring.Refused`."""
    drafted = draft(book, variant)
    if drafted is None:
        return Outlook(holds_already=True, effective=True, waits_for=(), owners=_sorted(book.standing.owners))
    kept = keep or Keep()
    target = target_of(variant)
    after = book.standing
    if tier_of(variant, book.standing) != "member":
        after = after.after(Transition(0, variant, (book.me,), ("",)), void=False)
    falls = legacy(book, target) if target is not None and not after.is_authority(target) else ()
    admits = tuple(each for each in falls if isinstance(each.variant, RoleGrant))
    puts_out = is_removal(variant) and (isinstance(variant, Evict) or not book.standing.is_authority(target or ""))
    return Outlook(
        holds_already=False,
        effective=drafted.effective,
        waits_for=drafted.waits_for,
        ends=_sorted({target} & {*linked}) if puts_out and target is not None else (),
        falling_admits=tuple(each.variant.target for each in admits),
        signed_anew=tuple(each.variant.target for each in admits if drafted.effective and kept.holds(each)),
        falling_removals=tuple(each.variant.target for each in falls if isinstance(each.variant, Evict)),
        let_in=tuple(book.bench.removed()) if variant == KindChange("open") else (),
        unreachable=_sorted(set(book.bench.roles()) - {*linked, book.me, target, *_printed(book)}),
        owners=_sorted(after.owners),
        refused=_refused(book, variant),
        founding=_founding(book, rostered) if variant == KindChange("closed") and not book.is_founded else None,
    )


def _printed(book: Book) -> frozenset[str]:
    """Owners that live on no device, as far as can be told (24.3 no. 51): made owner without ever having been let in,
    and never heard here."""
    founding = book.log.founding
    founders = founding.authors if founding is not None else ()
    return frozenset(
        owner
        for owner in book.standing.owners
        if owner not in founders and owner not in book.heard and not book.members.slots(owner)
    )


def is_guessable(network_id: str) -> bool:
    """Whether a network's id looks like a name that a person chose."""
    return _CHOSEN.fullmatch(network_id) is not None


def _refused(book: Book, variant: Variant) -> tuple[Variant, ...]:
    if not isinstance(variant, RoleGrant) or RANKS[variant.role] <= RANKS[book.standing.role(variant.target)]:
        return ()
    return refused(book, variant.target)


def _founding(book: Book, rostered: Collection[str]) -> Founding:
    return Founding(
        unsigned=_sorted({*rostered} - {book.me}),
        planted=_sorted(book.standing.void),
        is_guessable=is_guessable(book.network_id),
        signed_before=book.pin.signed,
    )


def _sorted(devices: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(devices))
