"""Where a decided entry goes, at what time, and what of this device's book it changes (spec 02 §10, §11.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from myownmesh.governance.adoption import CLOCKS_SECONDS, reconsider
from myownmesh.governance.copies import OUR_WORD, Copy
from myownmesh.governance.entries import canonical_signers, is_member_grant, is_removal, target_of
from myownmesh.governance.log import signature_digest
from myownmesh.governance.quorum import unmet
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.protocol.transitions import Evict, RoleGrant, TopologyChange, Transition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.governance.book import Book
    from myownmesh.governance.memory import Spent
    from myownmesh.governance.quorum import Unmet
    from myownmesh.governance.records import Proposal
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Variant

LATEST: Final = 2**64 - 1

Tier = Literal["member", "governance", "governance+member"]


def tier_of(variant: Variant, standing: Standing) -> Tier:
    """The log, or both, that an entry belongs to at this point.

    An authority that is put out needs both: its old admit in the member log would bring it back as a member.
    """
    target = target_of(variant)
    if is_member_grant(variant):
        return "member"
    if not is_removal(variant) or target is None:
        return "governance"
    if not standing.is_authority(target):
        return "member"
    return "governance+member" if isinstance(variant, Evict) else "governance"


def stamp(variant: Variant, standing: Standing, newest: int, now: int) -> int:
    """The time of an own entry: beyond everything that counts for its target, if it decides about a membership.

    `newest`: the newest time that counts for the target, -1 without one; `now` in Unix seconds.
    """
    if tier_of(variant, standing) == "governance":
        return now
    return min(max(now, newest + 1), LATEST)


def stamp_in(book: Book, variant: Variant, now: int) -> int:
    """`stamp` by what this device holds."""
    target = target_of(variant)
    newest = -1 if target is None else book.bench.newest_counted(target)
    if isinstance(variant, Evict):
        # Beyond the seat that it takes, or it looks like a removal from before (`adoption`).
        seats = [each.entry.at for each in book.log.places if each.entry.variant == _seat_of(book, variant.target)]
        newest = max([newest, *(at for at in seats if at <= now + CLOCKS_SECONDS)])
    return stamp(variant, book.standing, newest, now)


def _seat_of(book: Book, device: str) -> Variant:
    return RoleGrant(device, book.standing.role(device))


def unmet_by(book: Book, variant: Variant, signers: tuple[str, ...]) -> Unmet | None:
    """The rule that keeps these signers from deciding this now.

    Removals on an open network act when this device is the author, and only here (FIX 35). In a closed one that nobody
    has founded here they would do nothing: whoever is let in there, its founder decides.
    """
    rule = unmet(book.standing, variant, signers, book.rules)
    acts_here = rule == "OPEN-REMOVE" and signers[:1] == (book.me,) and book.kind != "closed"
    return None if acts_here else rule


def candidate(book: Book, record: Proposal) -> Transition:
    """The entry that a record makes: the proposer first, and of the others only who decides (FIX 9)."""
    pairs = [
        (signer, signature)
        for signer, signature in zip(record.signers, record.signatures, strict=True)
        if signer == record.proposer or book.standing.is_authority(signer)
    ]
    signers, signatures = canonical_signers(record.proposer, [one for one, _ in pairs], [two for _, two in pairs])
    return Transition(record.created_at, record.variant, signers, signatures)


def ratify(book: Book, entry: Transition, now: int) -> Book:
    """Take an entry into force that this device decided, or saw decided; its signatures are good and its quorum is met.

    Founding pins. What this device puts out stays out until somebody surely lets it in again.
    """
    tier = tier_of(entry.variant, book.standing)
    target = target_of(entry.variant)
    if tier != "governance":
        book = book.with_copies([Copy(entry, OUR_WORD)])
        if is_removal(entry.variant) and target is not None and book.me in entry.signers and book.is_founded:
            book = replace(book, pin=book.pin.keeping({target: max(entry.at, book.pin.evicted.get(target, -1))}))
    if tier != "member":
        book = append(book, entry, now)
    return settled(book)


def append(book: Book, entry: Transition, now: int) -> Book:
    """The book with one more entry in the governance log, which may settle what branches have to say to each other."""
    log = book.log.extended([entry], book.network_id, book.rules)
    book = book.with_branch(book.branch.with_log(log, now), book.branches)
    return reconsider(book, now).book if book.branches.others else book


def settled(book: Book) -> Book:
    """Without records that are in force by now, or that nothing can bring into force any more."""
    for record in book.proposals.records.values():
        if _is_in_force(book, record):
            book = replace(book, proposals=book.proposals.without(record.id))
    return book


def remember_signatures(book: Book, record: Proposal, signatures: Mapping[str, str]) -> Book:
    """Keep in mind who signed what, so that it is known when it comes up later (02 §24.3 no. 64)."""
    memory = book.memory
    for signer, digest in _digests_of(book, record, signatures).items():
        by_authority = book.standing.is_authority(signer)
        memory = memory.with_record(digest, signer, record.variant, by_authority=by_authority)
    return replace(book, memory=memory)


def dropped(book: Book, record: Proposal, reason: Spent) -> Book:
    """Without a record that came to nothing: what was signed under it does not count later either."""
    signatures = dict(zip(record.signers, record.signatures, strict=True))
    book = remember_signatures(book, record, signatures)
    spent = _digests_of(book, record, signatures).values()
    return replace(book, proposals=book.proposals.without(record.id), memory=book.memory.spend(spent, reason))


def _digests_of(book: Book, record: Proposal, signatures: Mapping[str, str]) -> dict[str, bytes]:
    payload = signed_bytes(book.network_id, record.variant)
    return {signer: signature_digest(payload, signer, signature) for signer, signature in signatures.items()}


def _is_in_force(book: Book, record: Proposal) -> bool:
    standing, variant, target = book.standing, record.variant, target_of(record.variant)
    if target is not None and tier_of(variant, standing) == "member":
        membership = book.bench.verdict(target).membership
        return membership == ("present" if is_member_grant(variant) else "removed")
    if isinstance(variant, RoleGrant):
        return standing.role(variant.target) == variant.role
    if isinstance(variant, TopologyChange):
        return standing.topology == variant.to
    return False


def decides(book: Book, variant: Variant) -> tuple[str, ...]:
    """Whose signature alone would bring this into force now: who is missing, for people (bare ids, sorted)."""
    able = (
        device for device in book.standing.authorities if unmet(book.standing, variant, (device,), book.rules) is None
    )
    return tuple(sorted(able))
