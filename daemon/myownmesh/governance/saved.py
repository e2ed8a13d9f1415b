"""A book on the disk and back: a state file that v0.3.8 reads, and the pin (spec 02 §16, §24.2; FIX 21).

What comes from the disk is verified like a peer's. The pin is written first; a state that is older, damaged or lost
beside it leaves the network closed and takes nobody's removal back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.book import Book
from myownmesh.governance.branches import MAX_STAYED, Branch, Branches
from myownmesh.governance.copies import OUR_WORD, Copy, slot_keys
from myownmesh.governance.entries import fault_of_form
from myownmesh.governance.judging import judge
from myownmesh.governance.log import BadLog, heard, verified
from myownmesh.governance.member_log import Draft, MemberLog, key_digest
from myownmesh.governance.memory import Memory, Seen
from myownmesh.governance.pins import Pin
from myownmesh.governance.proposals import Content, Proposals
from myownmesh.governance.questions import MAX_DISMISSED, Owed
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signatures import CHECKS_PER_SLICE
from myownmesh.governance.state_file import VERSION, BranchRow, ContentRow, Ours, OwedRow, SeenRow, StateFile
from myownmesh.governance.words import HEARSAY
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Transition, UnknownVariant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from myownmesh.governance.log import Log
    from myownmesh.governance.records import Proposal
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.signatures import Checks, Slices
    from myownmesh.protocol.frames import NetworkKind

_SHORT_BYTES: Final = 10
"""Of a digest in the file: enough to tell twenty thousand apart."""


class Loaded(Value, frozen=True):
    """What the files make."""

    book: Book
    faults: tuple[str, ...] = ()
    """What was not taken, as sentences: the file is to be set aside before it is written again."""


def state_of(book: Book) -> StateFile:
    """What the state file holds. Takes a while in a large log; the book is a value, so any thread may do it."""
    return msgspec.structs.replace(shown_state(book, tuple(book.proposals.records.values())), ours=_ours(book))


def shown_state(book: Book, pending: tuple[Proposal, ...]) -> StateFile:
    """What clients see of the state: the file's members without `ours`, and whatever is `pending` for them."""
    standing = book.standing
    return StateFile(
        VERSION,
        book.network_id,
        book.kind,
        book.bench.roles(),
        book.log.entries,
        pending,
        (*standing.splits, *book.splits),
        book.served(),
        standing.topology,
    )


def pin_of(book: Book) -> Pin:
    """What the pin file holds; on the disk before the state is."""
    spent = tuple(base32.encode(digest) for digest in book.memory.spent)
    return msgspec.structs.replace(book.pin, spent=spent, left_out=book.members.left_out)


def load_book(
    network_id: str,
    me: str,
    configured: NetworkKind,
    state: StateFile | None,
    pin: Pin | None,
    checks: Checks,
    now: int,
    rules: Rules = STRICT,
) -> Slices[Loaded]:
    """The book of what was read, or of nothing; `now` in Unix seconds.

    Without a pin file the state is taken as it is: so comes a device from v0.3.8, and so is its founder pinned.
    """
    faults: list[str] = []
    known = pin or Pin(network_id)
    if state is not None and not state.transitions and state.kind != "open":
        configured = state.kind  # an unfounded network keeps the kind that it was saved with (02 §2)
    memory = Memory(spent_before=frozenset(_digests(known.spent)))
    members = MemberLog(left_out=known.left_out)
    lost = known.entries if known.is_set else 0
    book = Book(network_id, me, known, rules, configured, members=members, memory=memory, lost=lost)
    if state is None:
        return Loaded(book)
    ours = state.ours or Ours()
    log = yield from _log(state.transitions, checks, rules, faults)
    if log is not None and not known.fits(log, network_id):
        faults.append("the governance log has another founder than the one that is pinned")
        log = None
    book = replace(book, memory=_memory(ours, memory))
    if log is not None and configured != "silent":
        since = ours.since if len(ours.since) == len(log) else (now,) * len(log)
        book = replace(book, lost=book.lost if len(log) < book.lost else 0)
        branches = Branches(
            (), ours.switches, _from_hex(ours.stayed)[-MAX_STAYED:], frozenset(_from_hex(ours.unmerged))
        )
        book = book.with_branch(Branch(log, since), branches)
        book = yield from _with_branches(book, ours.branches, checks)
    words = _words(ours) if pin is not None or state.ours is not None else _Words(OUR_WORD)
    whole = yield from _with_members(book, state.member_log, words, checks)
    if ours.sure_but and _all_of(whole.members) != ours.sure_but_of:
        # Somebody else has written the log since: what it added there nobody vouched for.
        whole = yield from _with_members(book, state.member_log, _Words(), checks)
    book = whole
    records = yield from _records(book, state.pending, checks)
    contents = {
        row.id: Content(digest, row.proposer, row.since)
        for row in ours.contents
        for digest in _digests([row.digest], 32)
    }
    questions = replace(book.questions, dismissed=ours.dismissed[-MAX_DISMISSED:])
    for owed in ours.owed:
        questions = questions.owing(network_id, Owed(owed.variant, owed.at))
    for record in records:
        contents.setdefault(record.id, Content(b"", record.proposer, now))
    proposals = Proposals({record.id: record for record in records}, contents)
    book = replace(book, proposals=proposals, questions=questions, splits=ours.splits, heard=ours.heard)
    return Loaded(book, tuple(faults))


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _ours(book: Book) -> Ours:
    sure, but = _sure(book.members)
    return Ours(
        sure,
        but,
        _all_of(book.members) if but else "",
        book.branch.since,
        tuple(
            SeenRow(base32.encode(digest), seen.signer, seen.variant, seen.by_authority, seen.spent)
            for digest, seen in book.memory.seen.items()
        ),
        tuple(BranchRow(other.log.entries, other.since) for other in book.branches.others),
        book.branches.switches,
        tuple(digest.hex() for digest in book.branches.stayed),
        tuple(log.digest.hex() for log in book.branches.left),
        tuple(
            ContentRow(known, base32.encode(content.digest), content.proposer, content.since)
            for known, content in book.proposals.contents.items()
            if content.digest
        ),
        book.questions.dismissed,
        book.splits,
        tuple(OwedRow(owed.variant, owed.at) for owed in book.questions.owed.values()),
        book.heard,
    )


def _sure(members: MemberLog) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Who vouched for which copies, and for which not. Of ten thousand nearly all have the same word, and are not told
    one by one: that is most of what a save takes, and of its time."""
    copies = [*members.copies()]
    found = Counter(copy.words for copy in copies)
    said = Counter[str]()
    for words, count in found.items():
        said.update(dict.fromkeys(words, count))
    usual = frozenset(word for word, count in said.items() if 2 * count > len(copies))
    sure: dict[str, list[str]] = defaultdict(list)
    but: dict[str, list[str]] = {word: [] for word in usual}
    for copy in copies:
        if copy.words != usual:
            digest = _short(copy.entry)
            for word in copy.words - usual:
                sure[word].append(digest)
            for word in usual - copy.words:
                but[word].append(digest)
    return _in_order(sure), _in_order(but)


def _in_order(digests: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {word: tuple(sorted(digests[word])) for word in sorted(digests)}


def _all_of(members: MemberLog) -> str:
    """Tells a member log from any other."""
    return base32.encode(sha256("".join(members.digests()).encode()).digest())


def _short(entry: Transition) -> str:
    return base32.encode(key_digest(entry)[:_SHORT_BYTES])


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _log(entries: Sequence[Transition], checks: Checks, rules: Rules, faults: list[str]) -> Slices[Log | None]:
    if not entries:
        return None
    try:
        return (yield from heard(entries, checks, rules))
    except BadLog as bad:
        faults.append(str(bad))
        return None


def _with_branches(book: Book, rows: Iterable[BranchRow], checks: Checks) -> Slices[Book]:
    branches = book.branches
    for row in rows:
        try:
            log = yield from verified(row.entries, checks, book.rules)
        except BadLog:
            continue  # without a branch nobody has more rights; it is heard again
        if len(row.since) == len(log) and book.pin.fits(log, book.network_id):
            branches = replace(branches, others=(*branches.others, Branch(log, row.since)))
    return replace(book, branches=branches)


def _with_members(book: Book, entries: Iterable[Transition], words: _Words, checks: Checks) -> Slices[Book]:
    """The book with its member log."""
    copies: list[Copy] = []
    begun = checks.count
    for each in entries:
        entry = each
        if isinstance(entry.variant, UnknownVariant):
            # The file is indented, the entry was not: blanks would make another copy of it.
            text = msgspec.json.format(entry.variant.text, indent=-1)
            entry = msgspec.structs.replace(entry, variant=UnknownVariant(entry.variant.kind, text))
            court = book.court(0, Draft(book.members))
            judgement = judge(entry, HEARSAY, court, checks, book.aside, on_disk=True)
            book = replace(book, aside=judgement.aside)
            continue
        if fault_of_form(entry) is not None or not slot_keys(entry, book.standing.known) or not checks.is_good(entry):
            continue
        copies.append(Copy(entry, words.of(entry)))
        if checks.count - begun >= CHECKS_PER_SLICE:
            book, copies, begun = book.with_copies(copies), [], checks.count
            yield
    return book.with_copies(copies)


def _records(book: Book, pending: Iterable[Proposal], checks: Checks) -> Slices[list[Proposal]]:
    found = []
    for record in pending:
        entry = Transition(record.created_at, record.variant, record.signers, record.signatures)
        if fault_of_form(entry) is None and checks.is_good(entry):
            found.append(record)
            yield
    return found


class _Words(Value, frozen=True):
    """Who vouched for the copies in the file."""

    usual: frozenset[str] = frozenset()
    """For those that are not listed."""
    listed: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)
    """By the beginning of the digest."""

    def of(self, entry: Transition) -> frozenset[str]:
        return self.listed.get(_short(entry), self.usual) if self.listed else self.usual


def _words(ours: Ours) -> _Words:
    usual = frozenset(ours.sure_but)
    found: dict[str, frozenset[str]] = {}
    shared: dict[frozenset[str], frozenset[str]] = {}  # of ten thousand copies nearly all have the same
    for rows, vouches in ((ours.sure, True), (ours.sure_but, False)):
        for word, digests in rows.items():
            for digest in digests:
                words = found.get(digest, usual)
                words = words | {word} if vouches else words - {word}
                found[digest] = shared.setdefault(words, words)
    return _Words(usual, found)


def _memory(ours: Ours, before: Memory) -> Memory:
    seen = {
        digest: Seen(row.signer, row.variant, row.by_authority, row.spent)
        for row in ours.seen
        for digest in _digests([row.digest])
    }
    return Memory(seen, before.spent_before - {digest for digest, each in seen.items() if each.spent is not None})


def _from_hex(texts: Iterable[str]) -> tuple[bytes, ...]:
    found = []
    for text in texts:
        try:
            found.append(bytes.fromhex(text))
        except ValueError:
            continue  # no digest; no branch has it
    return tuple(found)


def _digests(texts: Iterable[str], nbytes: int = 16) -> list[bytes]:
    found = []
    for text in texts:
        try:
            found.append(base32.decode(text, nbytes))
        except ValueError:
            continue  # no digest; nothing has it
    return found
