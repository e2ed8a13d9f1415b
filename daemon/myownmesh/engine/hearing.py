"""Signed logs of peers, and proofs of denials: verified in slices, judged at once, put into effect (02 §7, §8)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from myownmesh.engine import attendance, firstcontact, gossip, notices, ruling, slices
from myownmesh.engine.government import Seen
from myownmesh.engine.peer import Live
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.denials import read_denial, take_denial
from myownmesh.governance.hearing import hear_again, hear_entries
from myownmesh.governance.judging import DAY_SECONDS, FAR_FUTURE
from myownmesh.governance.log import BadLog, common_length, heard
from myownmesh.governance.signatures import CHECKS_PER_SLICE
from myownmesh.governance.sync import refuting
from myownmesh.governance.words import Speaker, beyond_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import OpenLink
    from myownmesh.governance.log import Log
    from myownmesh.governance.signatures import Slices
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Deny, RosterEntries
    from myownmesh.protocol.transitions import Transition

_NO_BRANCH: Final = b""
"""The digest of a log that could never count."""


def receive_logs(core: Core, peer: OpenLink, frame: RosterEntries, now: Instant) -> None:
    """An answer of an admitted peer; it may be one that nobody asked for."""
    government = core.government
    letter = government.letter(peer.device_id)
    sayings = letter.words(now.mono)
    beyond = beyond_word(frame.member_log, peer.device_id, sayings) if sayings else frozenset()
    speaker = Speaker(peer.device_id, vouched=frame.vouched is True, said=frozenset(sayings), beyond=beyond)
    was_asked, letter.awaits_answer = letter.awaits_answer, False
    letter.unheard += 1
    if not slices.put(core, peer.device_id, _hear(core, peer, frame, speaker, was_asked=was_asked), now):
        letter.unheard -= 1
        gossip.ask_later(core, peer, now.mono + gossip.PULL_GAP_S)


def receive_proof(core: Core, device_id: str, deny: Deny, now: Instant) -> None:
    """A deny of a peer that has proved itself; who it is does not matter, only what is signed (FIX 1)."""
    if core.government.may_check(device_id, now.mono):
        slices.put(core, device_id, _hear_proof(core, deny), now)


def hear_waiting(core: Core, now: Instant) -> None:
    """Judge again what waits for its time or for its signer."""
    slices.put(core, gossip.OWN, _hear_again(core), now)


def judged_at(core: Core, now: Instant) -> int:
    """The time by which entries of peers are judged, in Unix seconds: that of this device's clock.

    A device without a battery starts in 1970 and would refuse all that was ever signed. So where every linked authority
    whose clock is known calls it more than a day slow, the time of the slowest of these counts. An authority's word
    makes a time sure anyway; no other device is believed.
    """
    own = now.wall_ms // 1000
    standing = core.government.book.standing
    told = [
        own + peer.upkeep.clock_skew_ms // 1000
        for peer in core.live_peers()
        if peer.upkeep.clock_skew_ms is not None and standing.is_authority(peer.device_id)
    ]
    least = min(told, default=own)
    return least if least - own > DAY_SECONDS else own


def ask_for_refused(core: Core, now: Instant) -> None:
    """Entries were refused because they were far ahead of this device's clock, which has been set since, or is known to
    be slow: everybody is asked again, for what was refused is not kept."""
    government = core.government
    if government.refused_at is not None and judged_at(core, now) - government.refused_at > DAY_SECONDS:
        government.refused_at = None
        for peer in core.live_peers():
            gossip.ask(core, peer, now)


def _hear(core: Core, peer: OpenLink, frame: RosterEntries, speaker: Speaker, *, was_asked: bool) -> Slices[None]:
    government, device = core.government, peer.device_id
    letter = government.letter(device)
    advert = letter.advert
    before = government.book
    if frame.transitions == before.log.entries:
        _note_shown(core, device, len(before.log), before.log.digest)
    elif frame.transitions:
        yield from hear_governance(core, frame.transitions, speaker)
    yield from hear_members(core, frame.member_log, speaker)
    letter.unheard -= 1
    attendance.note(core, device, government.now)
    government.look_who_is_awaited()
    changed = government.book is not before
    letter.fruitless = None if changed else advert
    if was_asked:
        government.answered(device)
        firstcontact.answered(core, device, government.now)


def hear_governance(core: Core, entries: Sequence[Transition], speaker: Speaker) -> Slices[tuple[str, str]]:
    """Judge a governance log: what became of it, and why."""
    government, device = core.government, speaker.device
    if not government.may_check(device, government.now.mono):
        return "waits", "too many signatures that are none"
    try:
        log = yield from heard(entries, government.checks, government.book.rules)
    except BadLog as bad:
        government.charge(device, government.now.mono, bad.rule == "SIG-INVALID")
        notices.log_refused(core, device, bad.rule, str(bad))
        _note_shown(core, device, len(entries), _NO_BRANCH)
        return "refused", str(bad)
    now = government.now
    found = hear_log(government.book, log, speaker, now.wall_ms // 1000, rostered=frozenset(core.roster.ids))
    new = found.book.log.places[common_length(government.book.log, found.book.log) :]
    notices.log_heard(core, device, found, new, now)
    government.audit += [Seen(now.wall_ms // 1000, "governance", device, found.found, place.entry) for place in new]
    ruling.take(core, found.book, now)
    if found.left is not None:
        gossip.ask_who_may_stay(core, now)
    _note_shown(core, device, len(log), log.digest)
    peer = core.peers.get(device)
    if isinstance(peer, Live) and gossip.is_ours(peer) and (answer := refuting(core.government.book, log)) is not None:
        core.send(peer, answer, now)
    yield from _hear_again(core)
    return found.found, found.why


def _note_shown(core: Core, device: str, length: int, digest: bytes) -> None:
    """What log a device holds, as far as it shows. Whoever holds another one than counts and cannot leave it is named,
    also who runs v0.3.8 and was taken in by a log that ours refuses."""
    letter = core.government.letters.get(device)
    if letter is not None:
        letter.shown = length, digest
    notices.left_behind(core, gossip.left_behind(core), core.government.now)


def hear_members(core: Core, entries: Sequence[Transition], speaker: Speaker) -> Slices[Counter[str]]:
    """Judge entries of the member log: how many of each outcome."""
    government, rest = core.government, entries
    told, outcomes = 0, Counter[str]()
    while rest:
        now = government.now
        if not government.may_check(speaker.device, now.mono):
            outcomes["waits"] += len(rest)
            return outcomes  # it is asked again when it has been forgiven
        judged = judged_at(core, now)
        done = hear_entries(
            government.book,
            rest,
            speaker,
            government.checks,
            judged,
            max_checks=CHECKS_PER_SLICE,
        )
        if any(judgement.why == FAR_FUTURE for _, judgement in done.judged):
            government.refused_at = judged
            ruling.look_later(core, now)
        government.charge(speaker.device, now.mono, done.failed)
        told += notices.entries_judged(core, speaker.device, done, told, now)
        government.audit += [
            Seen(now.wall_ms // 1000, "members", speaker.device, judgement.outcome, entry)
            for entry, judgement in done.judged
            if judgement.outcome in ("counted", "held", "shown")
        ]
        outcomes.update(judgement.outcome for _, judgement in done.judged)
        ruling.take(core, done.book, now, done.changed)
        rest = done.rest
        if rest:
            yield
    return outcomes


def _hear_again(core: Core) -> Slices[None]:
    government = core.government
    rest: Sequence[Transition] | None = None
    while True:
        now = government.now
        done = hear_again(
            government.book, government.checks, judged_at(core, now), max_checks=CHECKS_PER_SLICE, rest=rest
        )
        ruling.take(core, done.book, now, done.changed)
        rest = done.rest
        if not rest:
            return
        yield


def _hear_proof(core: Core, deny: Deny) -> Slices[None]:
    government = core.government
    log: Log | None = yield from read_denial(government.book, deny, government.checks)
    if log is None:
        return
    now = government.now
    book = take_denial(government.book, deny, log, government.checks, judged_at(core, now))
    ruling.take(core, book, now, {core.me})


def hear_one(core: Core, entry: Transition, speaker: Speaker, now: Instant) -> None:
    """Judge one entry on somebody's word."""
    government = core.government
    done = hear_entries(
        government.book, [entry], speaker, government.checks, judged_at(core, now), max_checks=CHECKS_PER_SLICE
    )
    ruling.take(core, done.book, now, done.changed)
