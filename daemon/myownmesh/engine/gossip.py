"""What we tell admitted peers about roster and signed logs (spec 01 §15.4, 02 §14). Silent networks tell nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from myownmesh.engine import slices
from myownmesh.engine.timers import NetworkTimer
from myownmesh.governance import sync
from myownmesh.governance.authoring import resent
from myownmesh.protocol.frames import NetworkState

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live, OpenLink
    from myownmesh.governance.signatures import Slices
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import RosterRequest

GOSSIP_GAP_S: Final = 1.0
"""Changes of one second are told as one: when fifty devices meet, each of them is fifty changes for all others."""

FULL_ANSWER_GAP_S: Final = 1.0
"""Per peer: an unchanged roster is not sent twice within this; v0.3.8 asks twice at each activation."""

PULL_GAP_S: Final = 2.0
"""Per peer: requests within this are one."""

ROUND_S: Final = 900.0
"""The least time between two pulls that nothing but time gives reason to."""

MANY_ROWS: Final = 1000
"""From so many rows on, what is told of them is no part of the slice that changed one: their hash takes a while."""

OWN: Final = ""
"""The sender of work of our own."""

_FEATURE: Final = "network_state_v1"


def spread(core: Core, now: Instant) -> None:
    """Members or links changed: every admitted peer hears how the roster stands, unless it knows.

    At once when nothing was said for a second, else when that second is over: of all changes within it the last counts.
    """
    if core.is_silent() or core.timers.is_set(NetworkTimer.GOSSIP, ""):
        return
    if now.mono < core.gossip_not_before:
        core.timers.set(NetworkTimer.GOSSIP, "", core.gossip_not_before)
    elif core.government.is_working and core.roster.count >= MANY_ROWS:
        core.timers.set(NetworkTimer.GOSSIP, "", now.mono + slices.SLICE_GAP_S)
    else:
        tell_all(core, now)


def tell_all(core: Core, now: Instant) -> None:
    """Send what each admitted peer has not been told: of `network_state` once for each link, and when a log changed."""
    if core.is_silent():
        return
    summary = core.roster.summary()
    state = (core.kind, core.government.logs_told)
    for peer in core.live_peers():
        upkeep = peer.upkeep
        if not peer.takes(_FEATURE):
            continue
        if upkeep.told_root != summary.root and not (upkeep.told_root and _has_ours(core, peer)):
            upkeep.told_root = summary.root
            core.gossip_not_before = now.mono + GOSSIP_GAP_S
            core.send(peer, summary, now)
        if upkeep.told_state != state:
            if upkeep.told_state is not None:
                core.gossip_not_before = now.mono + GOSSIP_GAP_S
            upkeep.told_state = state
            core.send(peer, state_of(core, for_ours=is_ours(peer)), now)


def state_of(core: Core, *, for_ours: bool) -> NetworkState:
    """Our kind, how long our logs are, and the root of the roster; for peers of ours also which log it is."""
    book = core.government.book
    members = book.members.count + len(book.aside.unknown)
    digest = sync.log_digest(book.log) if for_ours and book.is_founded else UNSET
    return NetworkState(core.kind, len(book.log), members, core.roster.membership_root(), digest)


def lost(core: Core, peer: Live, now: Instant) -> None:
    """What we told a peer did not leave: it is told again."""
    peer.upkeep.told_root = ""
    peer.upkeep.told_state = None
    spread(core, now)


def hear_root(core: Core, peer: Live, root: str) -> bool:
    """Note how the peer's roster stands; False when it has nobody that ours lacks, nor the other way round.

    On an open network each side leaves itself out, so that roots of equal rosters differ.
    """
    peer.upkeep.their_root = root
    return root != core.roster.membership_root() and not _has_ours(core, peer)


def _has_ours(core: Core, peer: Live) -> bool:
    """Whether the peer holds just whom we hold, itself left out and us put in."""
    if core.kind == "closed" and core.government.book.is_founded and is_ours(peer):
        return False  # nobody leaves itself out there, and hashing ten thousand ids takes more than to hear one
    return peer.upkeep.their_root == core.roster.root_held_by(peer.device_id, core.me)


def greet(core: Core, peer: Live, now: Instant) -> None:
    """A peer has become active: on a closed network its logs are asked for once, whatever its counts say, and it hears
    of our proposals that still wait (02 FIX 22, 37)."""
    if core.kind == "closed":
        ask(core, peer, now)
        look_around_later(core, now)
    for frame in resent(core.government.book):
        core.send(peer, frame, now)


def look_around_later(core: Core, now: Instant) -> None:
    """Have somebody asked for its logs every 15 to 30 minutes: equal counts can hide different logs (02 FIX 37)."""
    if not core.timers.is_set(NetworkTimer.PULL_ROUND, ""):
        share = int.from_bytes(core.rng.randbytes(2), "big") / 0xFFFF
        core.timers.set(NetworkTimer.PULL_ROUND, "", now.mono + ROUND_S * (1 + share))


def look_around(core: Core, now: Instant) -> None:
    """Ask the peer that was asked longest ago."""
    live = core.live_peers()
    if core.kind != "closed" or not live:
        return
    ask(core, min(live, key=lambda peer: core.government.letter(peer.device_id).asked_at or 0.0), now)
    look_around_later(core, now)


def request(
    core: Core, peer: Live, their_root: str, counts: tuple[int, int], now: Instant, *, log_digest: str = ""
) -> None:
    """Pull the peer's roster and logs; the same pull is not repeated while neither side changed (01 §20 item 15)."""
    pull = (their_root, core.roster.membership_root(), *counts, log_digest, core.government.logs_told)
    if pull != peer.upkeep.last_pull:
        peer.upkeep.last_pull = pull
        ask(core, peer, now)


def ask(core: Core, peer: OpenLink, now: Instant, *, at_once: bool = False) -> None:
    """Ask a peer for all that it has; once in two seconds, whatever gives reason to (02 FIX 36), or `at_once`."""
    letter, book = core.government.letter(peer.device_id), core.government.book
    asked_at = None if at_once or core.kind != "closed" else letter.asked_at
    # Compared as the timer is set: a difference of the two is less than the gap now and then, for ever.
    if asked_at is not None and now.mono < asked_at + PULL_GAP_S:
        ask_later(core, peer, asked_at + PULL_GAP_S)
        return
    letter.asked_at, letter.ask_again, letter.awaits_answer = now.mono, False, True
    core.send(peer, sync.request(book, knows_digests=book.is_founded and is_ours(peer)), now)


def ask_later(core: Core, peer: OpenLink, at: float) -> None:
    """Ask a peer at this monotonic second, or sooner if others are asked again before."""
    core.government.letter(peer.device_id).ask_again = True
    if not core.timers.is_set(NetworkTimer.PULLS, ""):
        core.timers.set(NetworkTimer.PULLS, "", at)


def ask_again(core: Core, now: Instant) -> None:
    """Ask whoever had just been asked when there was another reason to."""
    for peer in core.live_peers():
        letter = core.government.letters.get(peer.device_id)
        if letter is not None and letter.ask_again:
            ask(core, peer, now)


def is_ours(peer: OpenLink) -> bool:
    """Whether the peer understands what we add to governance frames."""
    greeting = peer.channel.greeting
    return greeting is not None and sync.FEATURE in greeting.features


def ask_who_may_stay(core: Core, now: Instant) -> None:
    """This device has left a branch: whoever cannot (v0.3.8) may have taken it since it was asked last, unseen."""
    for peer in core.live_peers():
        if not is_ours(peer):
            ask(core, peer, now)


def left_behind(core: Core) -> frozenset[str]:
    """Linked devices that run v0.3.8 and hold a branch that does not count: nothing brings them back (24.3 no. 46)."""
    log, letters = core.government.book.log, core.government.letters
    shown = {peer.device_id: letters[peer.device_id].shown for peer in core.live_peers() if peer.device_id in letters}
    old = {peer.device_id for peer in core.live_peers() if not is_ours(peer)}
    return frozenset(
        device
        for device, last in shown.items()
        if device in old and last is not None and log.until(last[0]).digest != last[1]
    )


def answer_request(core: Core, peer: Live, asked: RosterRequest, now: Instant) -> None:
    """Send the whole roster and the logs, in as many frames as it takes; each merges on its own (01 §20 item 1)."""
    if core.is_silent():
        return
    told = (core.roster_changes, core.government.logs_told)
    last = peer.upkeep.last_full_answer
    if last is not None and last[1:] == told and now.mono - last[0] < FULL_ANSWER_GAP_S:
        return
    peer.upkeep.last_full_answer = (now.mono, *told)
    slices.put(core, OWN, _answer(core, peer, asked.subtree_hashes), now)


def _answer(core: Core, peer: Live, hashes: tuple[str, ...]) -> Slices[None]:
    book = core.government.book
    # On a closed network rows are for v0.3.8: whoever tells by digests what it has takes nobody but who is signed in.
    rows = () if core.kind == "closed" and sync.differing(book, hashes) is not None else core.roster.wire_entries()
    for frame in sync.answer(book, rows, hashes, vouching=is_ours(peer)):
        if frame is None:
            yield
            continue
        if core.link_with(peer.device_id, peer.epoch) is None:
            return
        core.send(peer, frame, core.government.now)
