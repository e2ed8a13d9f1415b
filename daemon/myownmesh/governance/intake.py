"""Proposals, signatures, denials and splits that peers send (spec 02 §11.4, §12; FIX 7, 9, 13, 23, 24, 35; 24.3).

Nobody's proposal is ratified here: what its author could decide alone, its author has decided, and it is pulled from
there. What is kept is what waits for somebody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.entries import fault_of_form, is_usable_id, target_of
from myownmesh.governance.marking import is_marked
from myownmesh.governance.proposals import LIFETIME_SECONDS, digest_of_content, is_proposal_id
from myownmesh.governance.questions import Claim
from myownmesh.governance.quorum import VOID
from myownmesh.governance.ratifying import (
    candidate,
    dropped,
    ratify,
    remember_signatures,
    stamp_in,
    tier_of,
    unmet_by,
)
from myownmesh.governance.records import Proposal, SplitRecord
from myownmesh.governance.signed_bytes import denied_bytes, signed_bytes
from myownmesh.governance.words import Saying
from myownmesh.protocol import base32
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.transitions import KindChange, Split, Transition, UnknownVariant

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.signatures import Checks
    from myownmesh.protocol.frames import NetworkStateAck, NetworkStateSplit
    from myownmesh.protocol.transitions import Variant

AHEAD_SECONDS: Final = 300
MAX_DENIERS: Final = 32

Result = Literal[
    "dropped",  # not what it says it is
    "ignored",  # nothing for this device
    "pending",  # kept until somebody decides
    "claim",  # a founding: a person here decides
    "pull",  # decided by its author: ask the sender for its logs
    "ratified",
    "denied",  # the record is gone
    "listed",  # a split that was not known
]


class Intake(Value, frozen=True):
    """What became of a frame."""

    result: Result
    book: Book
    why: str = ""
    word: str | None = None
    """A signature of the sender's own that it has just said on this link: copies of it in its answers of the next
    `SAID_SECONDS` are sure (02 §24.3 no. 44), whatever else became of the frame."""
    charge: bool = False
    """The sender showed a signature that is none."""
    entry: Transition | None = None
    """What came into force."""


def hear_propose(
    book: Book, frame: NetworkStatePropose, link: str, checks: Checks, now: int, *, rostered: bool = False
) -> Intake:
    """A proposal. `link` is the bare id of the device that sent it, `rostered` whether it was let in here before."""
    if frame.proposer != link or not is_usable_id(link):
        return Intake("dropped", book, "proposer is not the channel peer")
    entry = Transition(frame.created_at, frame.variant, (link,), (frame.signature,))
    if isinstance(frame.variant, UnknownVariant):
        return Intake("ignored", book, "UNKNOWN-VARIANT")
    if (fault := fault_of_form(entry)) is not None:
        return Intake("dropped", book, fault)
    if not checks.is_good(entry):
        return Intake("dropped", book, "signature", charge=True)
    word = frame.signature
    if not _in_time(book, frame.variant, frame.created_at, now):
        return Intake("ignored", book, "its clock or ours is wrong", word)
    rule = unmet_by(book, frame.variant, (link,))
    if isinstance(frame.variant, KindChange) and rule is None and not book.standing.is_authority(link):
        return _founding(book, entry, link, word, now, rostered=rostered)
    if rule in VOID:
        return Intake("ignored", book, rule or "", word)
    if rule is None:
        if book.rules.ratify_everything or not book.standing.is_authority(link):
            # A stranger's removal on an open network, which a switch lets act, stands in no log that could be pulled.
            return Intake("ratified", ratify(book, entry, now), word=word, entry=entry)
        return Intake("pull", book, word=word)
    return _kept(book, frame.proposal_id, entry, rule, now)


def hear_record(book: Book, record: Proposal, checks: Checks, now: int, *, rostered: bool = False) -> Intake:
    """A proposal out of a file: nobody says it on a link, so it is nobody's word; only the proposer's signature is
    looked at, for what others have signed with it is in the logs if it counts."""
    signature = dict(zip(record.signers, record.signatures, strict=False)).get(record.proposer)
    if signature is None:
        return Intake("dropped", book, "its proposer has not signed it")
    frame = NetworkStatePropose(record.id, record.variant, record.proposer, record.created_at, signature)
    return replace(hear_propose(book, frame, record.proposer, checks, now, rostered=rostered), word=None)


def saying(book: Book, frame: NetworkStatePropose | NetworkStateAck) -> Saying:
    """What a proposal or an ack tells of the time of its entry, by the book that it comes to."""
    record = frame if isinstance(frame, NetworkStatePropose) else book.proposals.get(frame.proposal_id)
    if record is None:
        return Saying(0, 0)
    target = target_of(record.variant)
    return Saying(record.created_at, 0 if target is None else 1 + book.bench.newest_counted(target))


def unanswered(book: Book, frame: NetworkStatePropose) -> Transition | None:
    """The one copy that a proposal stands for, if its author did not answer a pull within `SAID_SECONDS`.

    To be heard with the author's word. None for what belongs to the governance log, which only a log can bring. Of ours
    the frame has the entry's time (FIX 13), and a later one would outlive what authorities decide next.
    """
    target = target_of(frame.variant)
    if target is None or tier_of(frame.variant, book.standing) == "governance":
        return None
    is_ours = is_marked(base32.decode(frame.signature, 64))
    at = frame.created_at if is_ours else stamp_in(book, frame.variant, frame.created_at)
    return Transition(at, frame.variant, (frame.proposer,), (frame.signature,))


def hear_ack(book: Book, frame: NetworkStateAck, link: str, checks: Checks, now: int) -> Intake:
    """A signature under a proposal, or a denial of it."""
    if frame.signer != link or not is_usable_id(link):
        return Intake("dropped", book, "signer is not the channel peer")
    record = book.proposals.get(frame.proposal_id)
    if record is None:
        return Intake("dropped", book, "unknown proposal")
    if frame.decision == "deny":
        return _denied(book, record, frame, checks)
    if not checks.signed(link, signed_bytes(book.network_id, record.variant), frame.signature):
        return Intake("dropped", book, "signature", charge=True)
    word = frame.signature
    book = remember_signatures(book, record, {link: frame.signature})
    decides_alone = book.standing.is_authority(link)
    if not (decides_alone or book.rules.ratify_everything):
        return Intake("ignored", book, "no authority", word)
    if link not in record.signers:
        record = record.signed_by(link, frame.signature)
        book = replace(book, proposals=book.proposals.changed(record))
    rule = unmet_by(book, record.variant, record.signers)
    if rule is not None:
        return Intake("pending", book, rule, word)
    if record.proposer != book.me and not book.rules.ratify_everything:
        return Intake("pull", book, word=word)
    entry = candidate(book, record)
    book = replace(book, proposals=book.proposals.without(record.id))
    return Intake("ratified", ratify(book, entry, now), word=word, entry=entry)


def hear_split(book: Book, frame: NetworkStateSplit, link: str, checks: Checks) -> Intake:
    """A split: it is checked and listed, and never enters a log."""
    if frame.proposer != link or not is_usable_id(link):
        return Intake("dropped", book, "proposer is not the channel peer")
    entry = Transition(frame.at, Split(frame.new_network_id, frame.members), (link,), (frame.signature,))
    if (fault := fault_of_form(entry)) is not None:
        return Intake("dropped", book, fault)
    if not checks.is_good(entry):
        return Intake("dropped", book, "signature", charge=True)
    known = (*book.splits, *book.standing.splits)
    if any(split.new_network_id == frame.new_network_id for split in known):
        return Intake("ignored", book, "split already recorded")
    if book.rules.unauthorised_splits and book.kind != "silent":
        return Intake("ratified", ratify(book, entry, frame.at), entry=entry)
    record = SplitRecord(frame.new_network_id, frame.at, link, frame.members)
    return Intake("listed", book.with_split(record))


def _founding(book: Book, entry: Transition, link: str, word: str, now: int, *, rostered: bool) -> Intake:
    """Somebody closes an open network: whether it is the founder, a person here says (02 §24.2)."""
    if book.rules.adopt_any_genesis:
        return Intake("ratified", ratify(book, entry, now), word=word, entry=entry)
    if link in book.pin.refused or (book.pin.is_set and not book.is_founded):
        return Intake("ignored", book, "OTHER-FOUNDER", word)
    log = book.log.extended([entry], book.network_id, book.rules)
    claim = Claim(log, log.places[-1], link, rostered)
    questions = book.questions.with_claim(book.network_id, claim)
    return Intake("claim", book if questions is book.questions else replace(book, questions=questions), word=word)


def _kept(book: Book, proposal_id: str, entry: Transition, rule: str, now: int) -> Intake:
    (proposer,), (word,) = entry.signers, entry.signatures
    if not is_proposal_id(proposal_id) or proposal_id in book.questions:
        return Intake("dropped", book, "proposal id", word)
    is_kept = proposal_id in book.proposals.records
    digest = digest_of_content(book.network_id, entry.variant, proposer)
    if not book.proposals.stands_for(proposal_id, digest, now):
        return Intake("pending" if is_kept else "dropped", book, "other content", word)
    if is_kept:
        return Intake("pending", book, rule, word)
    record = Proposal.of(proposal_id, proposer, entry)
    by_authority = book.standing.is_authority(proposer)
    proposals = book.proposals.with_record(record, digest, now, by_authority=by_authority)
    if proposals is book.proposals:
        return Intake("ignored", book, "no room for more proposals", word)
    book = remember_signatures(replace(book, proposals=proposals), record, {proposer: word})
    return Intake("pending", book, rule, word)


def _denied(book: Book, record: Proposal, frame: NetworkStateAck, checks: Checks) -> Intake:
    if not checks.signed(frame.signer, denied_bytes(book.network_id, record.id, frame.signer), frame.signature):
        return Intake("dropped", book, "signature", charge=True)
    authority = book.standing.is_authority(frame.signer)
    if not (authority or frame.signer == record.proposer or book.rules.ratify_everything):
        # FIX 23: an opinion, which people see and which decides nothing.
        if frame.signer in record.deniers or len(record.deniers) >= MAX_DENIERS:
            return Intake("pending", book, "an opinion")
        record = msgspec.structs.replace(record, deniers=(*record.deniers, frame.signer))
        return Intake("pending", replace(book, proposals=book.proposals.changed(record)), "an opinion")
    return Intake("denied", dropped(book, record, "denied" if authority else "withdrawn"))


def _in_time(book: Book, variant: Variant, created_at: int, now: int) -> bool:
    """24.3 no. 54: nothing from the future, nothing older than a proposal can be."""
    target = target_of(variant)
    newest = -1 if target is None else book.bench.newest_counted(target)
    latest = max(book.horizon(now) + AHEAD_SECONDS, newest + 1)
    return now - LIFETIME_SECONDS <= created_at <= latest
