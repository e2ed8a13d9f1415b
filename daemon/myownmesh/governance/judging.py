"""One member entry, judged: the steps of spec 02 §24.3, in their order, stopping at the first that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeVar

from attrs import evolve, field, frozen

from myownmesh.governance.copies import ADMITS_US, FOR_GOOD, Copy, slot_keys
from myownmesh.governance.entries import (
    MAX_ENTRY_BYTES,
    entry_key,
    fault_of_form,
    is_member_grant,
    is_removal,
    target_of,
)
from myownmesh.governance.member_log import MAX_COPIES, counted
from myownmesh.governance.words import is_sure
from myownmesh.protocol.transitions import UnknownVariant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.governance.copies import SlotKey
    from myownmesh.governance.member_log import MemberLog
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.verdicts import Bench
    from myownmesh.governance.words import Speaker
    from myownmesh.protocol.transitions import Transition

DAY_SECONDS: Final = 24 * 3600
FAR_SECONDS: Final = 10 * 365 * DAY_SECONDS
MAX_HELD: Final = 256
MAX_ASIDE: Final = 256
MAX_UNKNOWN: Final = 256

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


@frozen
class Aside:
    """Entries that wait: each list is bounded, and what is oldest goes first."""

    held: Mapping[SlotKey, Transition] = field(factory=dict)
    """Heard grants from the future, one for each slot; their signatures are good."""
    strangers: Mapping[bytes, Transition] = field(factory=dict)
    """Unchecked, by key: their signers may become authorities."""
    unknown: Mapping[bytes, Transition] = field(factory=dict)
    """Variants of later releases, by key, kept and passed on as they are (FIX 29)."""


@frozen
class Judgement:
    """What became of one entry."""

    outcome: Outcome
    members: MemberLog
    aside: Aside
    why: str = ""
    """For a refusal: the rule."""
    charge: bool = False
    """Its sender showed a signature that is none."""


@frozen
class Court:
    """What entries are judged by, at one moment."""

    bench: Bench
    rules: Rules
    now: int
    """Unix seconds by this device's clock."""

    @property
    def horizon(self) -> int:
        """The later of the own clock and the newest time that is sure: a slow device goes on working."""
        return max(self.now, self.bench.members.newest_sure)


def judge(
    entry: Transition, speaker: Speaker, court: Court, checks: Checks, aside: Aside, *, on_disk: bool = False
) -> Judgement:
    """What becomes of one entry of the member log. At most one entry's signatures are checked.

    `on_disk`: it comes from this device's own file, where nothing is held back for being early.
    """
    bench, members = court.bench, court.bench.members
    standing = bench.standing

    def done(outcome: Outcome, log: MemberLog = members, side: Aside | None = None, why: str = "") -> Judgement:
        return Judgement(outcome, log, aside if side is None else side, why)

    # 1: form
    if isinstance(entry.variant, UnknownVariant):
        return _unknown(entry, court, aside, done)
    if not (is_member_grant(entry.variant) or is_removal(entry.variant)):
        return done("refused", why="NO-MEMBER-ENTRY")
    if (fault := fault_of_form(entry)) is not None:
        return done("refused", why=fault)

    # 2: known
    target = target_of(entry.variant) or ""
    words = _words(entry, speaker, court, target)
    copy = Copy(entry, words)
    if (stored := members.find(entry, standing.known)) is not None and stored.entry == entry and words <= stored.words:
        return done("known")

    # 3: signer
    keys = slot_keys(entry, standing.known)
    if not keys:
        return done("aside", side=evolve(aside, strangers=_put(aside.strangers, entry_key(entry), entry, MAX_ASIDE)))

    if aside.strangers and (key := entry_key(entry)) in aside.strangers:
        rest = {other: each for other, each in aside.strangers.items() if other != key}
        aside = evolve(aside, strangers=rest)

    # 4: signature
    held = any(aside.held.get(key) == entry for key in keys)
    if not (held or members.has_signatures(entry, standing.known) or checks.is_good(entry)):
        return Judgement("refused", members, aside, "SIG-INVALID", charge=True)

    # 5: no time that nobody could go beyond
    if entry.at > max(court.horizon + FAR_SECONDS, 1 + bench.newest_counted(target)):
        return done("refused", why="FAR-FUTURE")

    # 6: early grants wait
    if (
        is_member_grant(entry.variant)
        and not copy.is_sure(standing)
        and not on_disk
        and entry.at > max(court.horizon + DAY_SECONDS, 1 + bench.newest_removal(target))
    ):
        return done("held", side=evolve(aside, held=_put(aside.held, keys[0], entry, MAX_HELD)))

    # 7: slot
    if members.count >= MAX_COPIES and (room := _with_room(court, target)) is not None:
        members = room
    after = members.with_copies([copy], standing, bench.me)
    if after.count > MAX_COPIES:
        if is_member_grant(entry.variant):
            return done("refused", why="LOG-FULL")
        after = after.without(target, keep=[entry])  # putting out always finds room
    if held:
        aside = evolve(aside, held={key: other for key, other in aside.held.items() if other != entry})
    now_counts = any(each.entry == entry for each in counted(after.slots(target), standing, bench.me))
    if now_counts:
        return done("counted" if after is not members else "known", after, aside)
    if is_member_grant(entry.variant) and _would_reverse(entry, court, target):
        return done("shown", after, aside)
    return done("silent", after, aside)


def waiting(aside: Aside, known: frozenset[str]) -> tuple[Transition, ...]:
    """What is worth judging again: all that is held, and what came from devices that are authorities by now."""
    strangers = (entry for entry in aside.strangers.values() if not known.isdisjoint(entry.signers))
    return (*strangers, *aside.held.values())


def _words(entry: Transition, speaker: Speaker, court: Court, target: str) -> frozenset[str]:
    admits_us = target == court.bench.me and is_member_grant(entry.variant)
    words = frozenset({ADMITS_US}) if admits_us else frozenset[str]()
    if speaker.trusted or court.rules.replayable_logs:
        return words | {FOR_GOOD}
    return words | {speaker.device} if is_sure(entry, speaker, court.bench.standing, court.rules) else words


def _would_reverse(entry: Transition, court: Court, target: str) -> bool:
    """Whether a grant that does not count would bring its target back if it did."""
    bench = court.bench
    author_stands = bool(bench.standing.authors(entry.signers))
    return author_stands and bench.verdict(target).membership == "removed" and entry.at >= bench.newest_removal(target)


def _unknown(entry: Transition, court: Court, aside: Aside, done: Callable[..., Judgement]) -> Judgement:
    """FIX 29: a variant of a later release is kept as it came, if somebody known is said to have signed it."""
    known = court.bench.standing.known
    if known.isdisjoint(entry.signers) or len(entry.signers) != len(entry.signatures):
        return done("refused", why="UNKNOWN-VARIANT")
    key = entry_key(entry)
    if len(key) > MAX_ENTRY_BYTES or _is_stub(entry):
        return done("refused", why="UNKNOWN-VARIANT")
    if key in aside.unknown:
        return done("known")
    return done("kept", side=evolve(aside, unknown=_put(aside.unknown, key, entry, MAX_UNKNOWN)))


def _is_stub(entry: Transition) -> bool:
    """What v0.3.8 leaves of a variant that it does not know."""
    return isinstance(entry.variant, UnknownVariant) and entry.variant.kind == "unknown"


def _with_room(court: Court, target: str) -> MemberLog | None:
    """The log without what decides nothing about the device that has most; None if that gives no room."""
    bench = court.bench
    members = bench.members
    fullest = max(members.targets, key=lambda device: (len(members.slots(device)), device == target), default="")
    copies = list(counted(members.slots(fullest), bench.standing, bench.me))
    if len(members.slots(fullest)) <= 2 or not copies:
        return None
    decides = bench.verdict(fullest).entry
    newest = max(
        (each for each in copies if is_removal(each.entry.variant)), key=lambda each: each.entry.at, default=None
    )
    keep = [entry for entry in (decides, newest and newest.entry) if entry is not None]
    return members.without(fullest, keep=keep)


K = TypeVar("K")
V = TypeVar("V")


def _put(items: Mapping[K, V], key: K, value: V, most: int) -> dict[K, V]:
    rest = {other: kept for other, kept in items.items() if other != key}
    while len(rest) >= most:
        del rest[next(iter(rest))]
    return {**rest, key: value}
