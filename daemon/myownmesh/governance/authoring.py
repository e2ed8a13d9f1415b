"""What this device itself proposes, signs, denies and withdraws (spec 02 §11.2; FIX 5, 6, 13, 22, 33, 38; 24.3).

Signing takes a tenth of a second and may need an authenticator code, so each operation is in two parts: a draft says
what would be signed and what will come of it, or refuses; `propose` and `sign` take the signature, by then possibly
against another book, and judge anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.adoption import OWNERS_ONLY_BYTES
from myownmesh.governance.entries import entry_key, fault_of_form, is_member_grant, target_of
from myownmesh.governance.log import MAX_LOG_BYTES, common_length
from myownmesh.governance.proposals import digest_of_content
from myownmesh.governance.ratifying import (
    LATEST,
    append,
    candidate,
    decides,
    dropped,
    ratify,
    remember_signatures,
    stamp_in,
    tier_of,
    unmet_by,
)
from myownmesh.governance.records import Proposal
from myownmesh.governance.signed_bytes import content_digest, denied_bytes, signed_bytes
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose
from myownmesh.protocol.ids import display_id
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, Transition

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Variant

# 24.3 no. 49: what may still be authored, by the size of the log as compact JSON.
WARN_BYTES: Final = 32_000
OWNERS_BYTES: Final = OWNERS_ONLY_BYTES
REMOVALS_AND_KIND_BYTES: Final = 57_000
REMOVALS_BYTES: Final = 61_500
LAST_BYTES: Final = 64_000
"""From here on up to `MAX_LOG_BYTES`: three removals of authorities, each of which fits a deny behind the log."""
_SIGNATURE: Final = "a" * 103
"""Stands for one that is not made yet: each is as long."""


class Refused(ValueError):
    """An operation that cannot be done; the text is what clients see."""


class Draft(Value, frozen=True):
    """What would be signed, and what comes of it."""

    variant: Variant
    payload: bytes
    """To be signed with `marking.sign_marked`."""
    effective: bool
    """This device alone decides it."""
    waits_for: tuple[str, ...]
    """Who could decide it, if this device cannot: bare ids."""


class Done(Value, frozen=True):
    """What an operation did. The pin is on disk before any frame leaves."""

    book: Book
    frames: tuple[Frame, ...] = ()
    """For all admitted peers, in this order; behind them `network_state`, and the summary if `entry` is there."""
    entry: Transition | None = None
    """What came into force."""
    waits_for: tuple[str, ...] = ()


def draft(book: Book, variant: Variant) -> Draft | None:
    """What proposing this would sign; None when it holds already, which costs nothing and needs no code.

    Raises `Refused`.
    """
    if _holds_already(book, variant):
        return None
    drafted = _drafted(book, variant, (book.me,))
    _check_seat(book, variant)
    return drafted


def propose(book: Book, variant: Variant, signature: str, proposal_id: str, now: int) -> Done:
    """Send a change into the world, signed by this device. `now` in Unix seconds. Raises `Refused`.

    The time in the frame is the one in the entry (FIX 13).
    """
    drafted = draft(book, variant)
    return Done(book) if drafted is None else _proposed(book, drafted, signature, proposal_id, now)


def _proposed(book: Book, drafted: Draft, signature: str, proposal_id: str, now: int) -> Done:
    variant = drafted.variant
    entry = Transition(stamp_in(book, variant, now), variant, (book.me,), (signature,))
    record = Proposal.of(proposal_id, book.me, entry)
    book = _having_signed(book, variant)
    book = remember_signatures(book, record, {book.me: signature})
    frame = NetworkStatePropose(proposal_id, variant, book.me, entry.at, signature)
    if drafted.effective:
        return Done(ratify(book, entry, now), (frame,), entry)
    digest = digest_of_content(book.network_id, variant, book.me)
    proposals = book.proposals.with_record(record, digest, now, by_authority=True)
    return Done(replace(book, proposals=proposals), (frame,), waits_for=drafted.waits_for)


def draft_signature(book: Book, proposal_id: str, digest: str | None = None) -> Draft:
    """What signing a record would sign. Raises `Refused`, in the order in which the reference looks.

    `digest`: what the person was shown (`content_digest`); another content is refused.
    """
    record = _known(book, proposal_id)
    if any(denier == record.proposer or book.standing.is_authority(denier) for denier in record.deniers):
        raise Refused("proposal has been denied")
    if book.me in record.signers:
        raise Refused("already signed")
    if digest is not None and digest != content_digest(book.network_id, record.variant):
        raise Refused("proposal changed since it was shown")
    signers = (*record.signers, book.me)
    drafted = _drafted(book, record.variant, signers)
    if unmet_by(book, record.variant, signers) == "LOWER-OWNER":
        raise Refused("network: only an owner can take an owner's role away")
    return drafted


def sign(book: Book, proposal_id: str, signature: str, now: int, fresh_id: str) -> Done:
    """Co-sign a record. Raises `Refused`.

    When the proposer's time would lose against what counts for the target by now, this device makes an entry of its own
    under `fresh_id` instead, and denies the old record (02 §24.3 no. 54).
    """
    drafted = draft_signature(book, proposal_id)
    record = _known(book, proposal_id)
    book = _having_signed(book, record.variant)
    book = remember_signatures(book, record, {book.me: signature})
    if drafted.effective and _would_lose(book, record):
        book = dropped(book, record, "withdrawn")
        if _holds_already(book, record.variant):
            return Done(book)
        return _proposed(book, _drafted(book, record.variant, (book.me,)), signature, fresh_id, now)
    record = record.signed_by(book.me, signature)
    frame = NetworkStateAck(proposal_id, book.me, "sign", now, signature)
    if not drafted.effective:
        return Done(replace(book, proposals=book.proposals.changed(record)), (frame,), waits_for=drafted.waits_for)
    entry = candidate(book, record)
    book = replace(book, proposals=book.proposals.without(proposal_id))
    return Done(ratify(book, entry, now), (frame,), entry)


def denial_payload(book: Book, proposal_id: str) -> bytes:
    """What denying a record signs. Raises `Refused`."""
    record = _known(book, proposal_id)
    if book.me in record.deniers:
        raise Refused("already denied")
    return denied_bytes(book.network_id, proposal_id, book.me)


def deny(book: Book, proposal_id: str, signature: str, now: int) -> Done:
    """Refuse a record, everywhere: what was signed under it does not count later either. Raises `Refused`."""
    denial_payload(book, proposal_id)
    frame = NetworkStateAck(proposal_id, book.me, "deny", now, signature)
    return Done(dropped(book, _known(book, proposal_id), "denied"), (frame,))


def withdraw(book: Book, proposal_id: str, signature: str, now: int) -> Done:
    """Take an own record back. Peers of v0.3.8 delete it when its proposer denies it (FIX 22). Raises `Refused`.

    `signature` is over `denial_payload`.
    """
    record = _known(book, proposal_id)
    if record.proposer != book.me:
        raise Refused("only the proposer can withdraw a proposal")
    frame = NetworkStateAck(proposal_id, book.me, "deny", now, signature)
    return Done(dropped(book, record, "withdrawn"), (frame,))


def settlement(book: Book, question: str) -> RoleRevoke:
    """What an owner signs to end a quarrel between controllers, by keeping this device's branch (24.3 no. 46).

    It takes down whoever signed on the other branch and was put out on this one, once more and by an owner. Raises
    `Refused` when there is nothing of that kind.
    """
    rival = book.questions.rivals.get(question)
    if rival is None:
        raise Refused(f"proposal not found: {question}")
    common = common_length(book.log, rival)
    theirs = {signer for place in rival.places[common:] for signer in place.entry.signers}
    for place in book.log.places[common:]:
        target = place.puts_out
        if target is not None and target in theirs and book.standing.role(book.me) == "owner":
            return RoleRevoke(target)
    raise Refused("network: only an owner of the branch held here can settle this for everybody")


def settle(book: Book, question: str, signature: str, now: int) -> Done:
    """End a quarrel for everybody; `signature` is over what `settlement` says. Raises `Refused`.

    It goes to the governance log although its target has no seat here, and reaches others with the log.
    """
    entry = Transition(now, settlement(book, question), (book.me,), (signature,))
    return Done(append(_having_signed(book, entry.variant), entry, now), entry=entry)


def resent(book: Book) -> tuple[NetworkStatePropose, ...]:
    """This device's own open proposals, for a peer that has just become active (FIX 22)."""
    return tuple(
        NetworkStatePropose(
            record.id, record.variant, book.me, record.created_at, record.signatures[record.signers.index(book.me)]
        )
        for record in book.proposals.records.values()
        if record.proposer == book.me
    )


def expire(book: Book, now: int) -> Book:
    """Without records that nobody decided in thirty days; once an hour is enough."""
    for record in book.proposals.expired(now):
        book = dropped(book, record, "expired")
    return book


def room(book: Book) -> Literal["ample", "warn", "owners", "removals and kind", "removals", "last removals"]:
    """What may still be authored in the governance log, by its size."""
    nbytes = book.log.nbytes
    if nbytes < WARN_BYTES:
        return "ample"
    if nbytes < OWNERS_BYTES:
        return "warn"
    if nbytes < REMOVALS_AND_KIND_BYTES:
        return "owners"
    if nbytes < REMOVALS_BYTES:
        return "removals and kind"
    return "removals" if nbytes < LAST_BYTES else "last removals"


def _drafted(book: Book, variant: Variant, signers: tuple[str, ...]) -> Draft:
    """What this device would sign, being the last of these signers."""
    _check_content(book, variant)
    _check_kind(book, variant)
    _check_owners(book, variant)
    _check_state(book)
    effective = unmet_by(book, variant, signers) is None
    if effective and tier_of(variant, book.standing) != "member":
        _check_room(book, variant, signers)
    waits_for = () if effective else decides(book, variant)
    return Draft(variant, signed_bytes(book.network_id, variant), effective, waits_for)


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


def _holds_already(book: Book, variant: Variant) -> bool:
    """A grant that is in force is free; what counts is the verdict, not a role that an eviction has outlived (48)."""
    if not isinstance(variant, RoleGrant):
        return False
    return book.role(variant.target) == variant.role and not book.is_evicted(variant.target)


def _check_content(book: Book, variant: Variant) -> None:
    if fault_of_form(Transition(0, variant, (book.me,), (_SIGNATURE,))) is not None:
        raise Refused("network: a governed device is named by its device id")
    if book.network_id == "deny":
        raise Refused("network: nothing can be signed in a network of this name")


def _check_kind(book: Book, variant: Variant) -> None:
    if not isinstance(variant, KindChange) or variant.to == "silent":
        return
    if book.kind == "silent":
        raise Refused(f"network: {book.network_id} is silent")
    if book.kind == variant.to and (book.is_founded or variant.to == "open"):
        raise Refused(f"network: {book.network_id} is {book.kind} already")
    if variant.to == "closed" and not len(book.log) and book.pin.signed:
        raise Refused(
            f"network: this device signed in {book.network_id} before; found a new network under another name"
        )


def _check_owners(book: Book, variant: Variant) -> None:
    """FIX 33: nobody evicts itself, and the last owner goes nowhere."""
    target = target_of(variant)
    if target == book.me and isinstance(variant, Evict):
        raise Refused("network: a device cannot evict itself; leave the network instead")
    if target is not None and book.standing.owners == {target} and book.standing.lowered(variant) == target:
        raise Refused("network: this is the last owner; make another device an owner first")


def _check_seat(book: Book, variant: Variant) -> None:
    """FIX 20: of a device without a seat this would be its eviction, which nobody asked for by this name."""
    if isinstance(variant, RoleRevoke) and not book.standing.is_authority(variant.target):
        raise Refused(f"network: {display_id(variant.target)} has no role to take away; to put it out, evict it")


def _check_state(book: Book) -> None:
    if book.lost > len(book.log):
        raise Refused(
            f"network: {book.network_id} has lost its log on this device; "
            f"{len(book.log)} of {book.lost} entries are back, nothing can be signed before"
        )


def _check_room(book: Book, variant: Variant, signers: tuple[str, ...]) -> None:
    """24.3 no. 49: a nearly full log takes what owners sign, and its last bytes are for removing authorities."""
    left = room(book)
    if left in ("ample", "warn"):
        return
    removes = book.standing.lowered(variant) is not None and not isinstance(variant, RoleGrant)
    allowed = (
        left == "owners"
        or (left == "removals and kind" and (removes or isinstance(variant, KindChange)))
        or (left == "removals" and removes)
        or (left == "last removals" and removes and book.log.nbytes + _size(variant, signers) <= MAX_LOG_BYTES)
    )
    if not allowed or book.standing.best(signers) != "owner":
        raise Refused(
            f"network: the governance log of {book.network_id} is nearly full; found a new network under another name"
        )


def _size(variant: Variant, signers: tuple[str, ...]) -> int:
    return len(entry_key(Transition(LATEST, variant, signers, (_SIGNATURE,) * len(signers)))) + 1


def _known(book: Book, proposal_id: str) -> Proposal:
    record = book.proposals.get(proposal_id)
    if record is None:
        raise Refused(f"proposal not found: {proposal_id}")
    return record


def _would_lose(book: Book, record: Proposal) -> bool:
    target = target_of(record.variant)
    if target is None or tier_of(record.variant, book.standing) == "governance":
        return False
    newest = book.bench.newest_counted(target)
    return record.created_at < newest + (0 if is_member_grant(record.variant) else 1)


def _having_signed(book: Book, variant: Variant) -> Book:
    """24.3 no. 43: from now on this key cannot found under this id again."""
    if book.pin.signed or variant == KindChange("closed"):
        return book
    return replace(book, pin=msgspec.structs.replace(book.pin, signed=True))
