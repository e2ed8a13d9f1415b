"""One member entry, judged: the steps of spec 02 §24.3, in their order, stopping at the first that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.copies import ADMITS_US, FOR_GOOD, OUR_WORD, Copy, slot_keys
from myownmesh.governance.entries import (
    MAX_ENTRY_BYTES,
    entry_key,
    fault_of_form,
    is_member_grant,
    is_removal,
    target_of,
)
from myownmesh.governance.member_log import MAX_COPIES, counted, find, has_signatures, thinned
from myownmesh.governance.words import is_sure
from myownmesh.protocol.transitions import UnknownVariant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from myownmesh.governance.copies import SlotKey
    from myownmesh.governance.member_log import Draft, Slots
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.verdicts import Bench
    from myownmesh.governance.words import Speaker
    from myownmesh.protocol.transitions import Transition

DAY_SECONDS: Final = 24 * 3600
FAR_SECONDS: Final = 10 * 365 * DAY_SECONDS
FAR_FUTURE: Final = "FAR-FUTURE"
"""The rule of step 5: further than `FAR_SECONDS` ahead of all that this device knows of the time."""
LOG_FULL: Final = "LOG-FULL"
"""The rule of `MAX_COPIES`: what is signed of further devices is left out."""
MAX_HELD: Final = 256
MAX_ASIDE: Final = 256
MAX_UNKNOWN: Final = 256

_NO_WORDS: Final = frozenset[str]()
_ADMITS_US: Final = frozenset({ADMITS_US})

Outcome = Literal[
    "known",  # nothing to do
    "counted",  # stored, and it counts
    "silent",  # stored or not, it changes nothing
    "shown",  # it would reverse a verdict, and needs a word or a click (02 §24.3 no. 44)
    "held",  # a grant from the future
    "aside",  # nobody knows its signer yet
    "kept",  # of a later release, kept as it is
    "refused",
]


class Aside(Value, frozen=True):
    """Entries that wait: each list is bounded, and what is oldest goes first."""

    held: Mapping[SlotKey, Transition] = msgspec.field(default_factory=dict)
    """Heard grants from the future, one for each slot; their signatures are good."""
    strangers: Mapping[bytes, Transition] = msgspec.field(default_factory=dict)
    """Unchecked, by key: their signers may become authorities."""
    unknown: Mapping[bytes, Transition] = msgspec.field(default_factory=dict)
    """Variants of later releases, by key, kept and passed on as they are (FIX 29)."""


class Judgement(NamedTuple):
    """What became of one entry."""

    outcome: Outcome
    aside: Aside
    why: str = ""
    """For a refusal: the rule."""
    charge: bool = False
    """Its sender showed a signature that is none."""


class Court(Value, frozen=True):
    """What entries are judged by, at one moment; what counts is entered into the draft of its bench."""

    draft: Draft
    bench: Bench
    """Verdicts by what the draft holds so far."""
    rules: Rules
    now: int
    """Unix seconds by this device's clock."""

    @property
    def horizon(self) -> int:
        """The later of the own clock and the newest time that is sure: a slow device goes on working."""
        return max(self.now, self.draft.newest_sure)


def judge(
    entry: Transition,
    speaker: Speaker,
    court: Court,
    checks: Checks,
    aside: Aside,
    *,
    on_disk: bool = False,
    signed: bool | None = None,
) -> Judgement:
    """What becomes of one entry of the member log. At most one entry's signatures are checked.

    `on_disk`: it comes from this device's own file, where nothing is held back for being early. `signed`: its form is
    good, and whether its signatures are has been looked at.
    """
    bench, draft = court.bench, court.draft
    standing, variant = bench.standing, entry.variant

    # 1: form
    if isinstance(variant, UnknownVariant):
        return _unknown(entry, variant, court, aside)
    is_grant = is_member_grant(variant)
    target = target_of(variant)
    if target is None or not (is_grant or is_removal(variant)):
        return Judgement("refused", aside, "NO-MEMBER-ENTRY")
    if signed is None and (fault := fault_of_form(entry)) is not None:
        return Judgement("refused", aside, fault)

    # 2: known
    slots, keys = draft.slots(target), slot_keys(entry, standing.known)
    words = words_for(entry, speaker, court, target, is_grant=is_grant)
    stored = find(slots, entry, keys) if slots else None
    # What is meant for good is no surer for more words.
    if stored is not None and stored.entry == entry and (words <= stored.words or FOR_GOOD in stored.words):
        return Judgement("known", aside)

    # 3: signer
    if not keys:
        strangers = _put(aside.strangers, entry_key(entry), entry, MAX_ASIDE)
        return Judgement("aside", replace(aside, strangers=strangers))
    if aside.strangers and (known := entry_key(entry)) in aside.strangers:
        rest = {other: each for other, each in aside.strangers.items() if other != known}
        aside = replace(aside, strangers=rest)

    # 4: signature
    held = bool(aside.held) and any(aside.held.get(key) == entry for key in keys)
    if not (signed or held or has_signatures(slots, entry, keys) or (signed is None and checks.is_good(entry))):
        return Judgement("refused", aside, "SIG-INVALID", charge=True)

    # 5: no time that nobody could go beyond
    ahead = entry.at - court.horizon
    if ahead > FAR_SECONDS and entry.at > 1 + bench.newest_counted(target):
        return Judgement("refused", aside, FAR_FUTURE)

    # 6: early grants wait
    copy = Copy(entry, words)
    early = is_grant and ahead > DAY_SECONDS and entry.at > 1 + bench.newest_removal(target)
    if early and not on_disk and not copy.is_sure(standing):
        if aside.held.get(keys[0]) == entry:
            return Judgement("held", aside)  # still; a book that changed would be written
        return Judgement("held", replace(aside, held=_put(aside.held, keys[0], entry, MAX_HELD)))

    # 7: slot
    if held:
        aside = replace(aside, held={key: other for key, other in aside.held.items() if other != entry})
    if draft.count >= MAX_COPIES:
        _make_room(court, target)
        if draft.count >= MAX_COPIES and (is_grant or not slots):
            if not is_grant:
                draft.left_out = max(draft.left_out, entry.at, 1)
            return Judgement("refused", aside, LOG_FULL)
    if is_grant and entry.at <= bench.left_out_of(target):
        return Judgement("refused", aside, LOG_FULL)  # what ended it may be what there was no room for
    changed = draft.add(copy, standing, bench.me, keys)
    if draft.count > MAX_COPIES:
        draft.put(target, thinned(draft.slots(target), [entry]))  # putting out a listed device always finds room
    # A heard grant that counts in its slot does not end a removal of our own (no. 48): it needs a word or a click, too.
    if is_grant and not copy.is_sure(standing) and _would_reverse(entry, court, target):
        return Judgement("shown", aside)
    if _counts(draft.slots(target), entry, keys, bench):
        return Judgement("counted" if changed else "known", aside)
    return Judgement("silent", aside)


def is_repetition(entry: Transition, target: str, speaker: Speaker, court: Court) -> bool:
    """Whether `judge` would find nothing to do, seen at one look: the entry is all that is kept about its target, and
    this speaker's word is no news. Of an answer about one new entry ten are of that kind."""
    kept = court.draft.targets.get(target)
    if not isinstance(kept, Copy) or kept.entry != entry:
        return False
    is_word_known = speaker.device in kept.words and not speaker.trusted and not court.rules.replayable_logs
    return FOR_GOOD in kept.words or (is_word_known and target != court.bench.me)


def waiting(aside: Aside, known: frozenset[str]) -> tuple[Transition, ...]:
    """What is worth judging again: all that is held, and what came from devices that are authorities by now."""
    strangers = (entry for entry in aside.strangers.values() if not known.isdisjoint(entry.signers))
    return (*strangers, *aside.held.values())


def _counts(slots: Slots, entry: Transition, keys: Sequence[SlotKey], bench: Bench) -> bool:
    """Whether this very entry is among what counts, in one of its own slots."""
    for key in keys:
        slot = slots.get(key)
        if slot is None or not slot.stands(bench.standing):
            continue
        for copy in slot.counted(bench.standing, bench.me):
            if copy.entry is entry or copy.entry == entry:
                return True
    return False


def words_for(entry: Transition, speaker: Speaker, court: Court, target: str, *, is_grant: bool) -> frozenset[str]:
    """Who vouches for a copy that this speaker sends."""
    if speaker.trusted or court.rules.replayable_logs:
        return OUR_WORD
    words = _ADMITS_US if is_grant and target == court.bench.me else _NO_WORDS
    return words | {speaker.device} if is_sure(entry, speaker, court.bench.standing, court.rules) else words


def _would_reverse(entry: Transition, court: Court, target: str) -> bool:
    """Whether a grant that changed nothing would bring its target back if it were sure."""
    bench = court.bench
    author_stands = bool(bench.standing.authors(entry.signers))
    return author_stands and bench.verdict(target).membership == "removed" and entry.at >= bench.newest_removal(target)


def _unknown(entry: Transition, variant: UnknownVariant, court: Court, aside: Aside) -> Judgement:
    """FIX 29: a variant of a later release is kept as it came, if somebody known is said to have signed it.

    Not so what v0.3.8 leaves of one: a stub named `unknown`.
    """
    known = court.bench.standing.known
    key = entry_key(entry)
    even = len(entry.signers) == len(entry.signatures)
    if known.isdisjoint(entry.signers) or not even or len(key) > MAX_ENTRY_BYTES or variant.kind == "unknown":
        return Judgement("refused", aside, "UNKNOWN-VARIANT")
    if key in aside.unknown:
        return Judgement("known", aside)
    return Judgement("kept", replace(aside, unknown=_put(aside.unknown, key, entry, MAX_UNKNOWN)))


def _make_room(court: Court, target: str) -> None:
    """Leave out what decides nothing about the device that has most."""
    bench, draft = court.bench, court.draft
    fullest = draft.fullest(target)
    if fullest is None:
        return
    slots = draft.slots(fullest)
    copies = list(counted(slots, bench.standing, bench.me))
    if not copies:
        return
    removals = [each.entry for each in copies if is_removal(each.entry.variant)]
    newest = max(removals, key=lambda entry: entry.at, default=None)
    keep = [entry for entry in (bench.verdict(fullest).entry, newest) if entry is not None]
    draft.put(fullest, thinned(slots, keep))


K = TypeVar("K")
V = TypeVar("V")


def _put(items: Mapping[K, V], key: K, value: V, most: int) -> dict[K, V]:
    rest = {other: kept for other, kept in items.items() if other != key}
    while len(rest) >= most:
        del rest[next(iter(rest))]
    return {**rest, key: value}
