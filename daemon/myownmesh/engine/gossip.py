"""What we tell admitted peers about the roster (spec 01 §15.4). Silent networks tell nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine.timers import NetworkTimer
from myownmesh.protocol.codec import FrameTooLarge, encode_frame
from myownmesh.protocol.frames import NetworkState, RosterEntries, RosterRequest

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import RosterEntry

GOSSIP_GAP_S: Final = 1.0
"""Changes of one second are told as one: when fifty devices meet, each of them is fifty changes for all others."""

FULL_ANSWER_GAP_S: Final = 1.0
"""Per peer: an unchanged roster is not sent twice within this; v0.3.8 asks twice at each activation."""

_FEATURE: Final = "network_state_v1"


def spread(core: Core, now: Instant) -> None:
    """Members or links changed: every admitted peer hears how the roster stands, unless it knows.

    At once when nothing was said for a second, else when that second is over: of all changes within it the last counts.
    """
    if core.is_silent() or core.timers.is_set(NetworkTimer.GOSSIP, ""):
        return
    if now.mono < core.gossip_not_before:
        core.timers.set(NetworkTimer.GOSSIP, "", core.gossip_not_before)
    else:
        tell_all(core, now)


def tell_all(core: Core, now: Instant) -> None:
    """Send what each admitted peer has not been told, and `network_state` once for each link.

    Nothing is signed here, so the counts of a state are zero, and its root is that of the summary.
    """
    if core.is_silent():
        return
    summary = core.roster.summary()
    for peer in core.live_peers():
        upkeep = peer.upkeep
        if not peer.takes(_FEATURE):
            continue
        if upkeep.told_root != summary.root and not (upkeep.told_root and _has_ours(core, peer)):
            upkeep.told_root = summary.root
            core.gossip_not_before = now.mono + GOSSIP_GAP_S
            core.send(peer, summary, now)
        if not upkeep.told_state:
            upkeep.told_state = True
            core.send(peer, NetworkState(core.config.kind, 0, 0, summary.root), now)


def lost(core: Core, peer: Live, now: Instant) -> None:
    """What we told a peer did not leave: it is told again."""
    peer.upkeep.told_root = ""
    peer.upkeep.told_state = False
    spread(core, now)


def hear_root(core: Core, peer: Live, root: str) -> bool:
    """Note how the peer's roster stands; False when it has nobody that ours lacks, nor the other way round.

    On an open network each side leaves itself out, so that roots of equal rosters differ.
    """
    peer.upkeep.their_root = root
    return root != core.roster.membership_root() and not _has_ours(core, peer)


def _has_ours(core: Core, peer: Live) -> bool:
    return peer.upkeep.their_root == core.roster.root_held_by(peer.device_id, core.me)


def request_roster(core: Core, peer: Live, their_root: str, counts: tuple[int, int], now: Instant) -> None:
    """Pull the peer's roster; the same pull is not repeated while neither side changed (spec 01 §20 item 15)."""
    pull = (their_root, core.roster.membership_root(), *counts)
    if pull != peer.upkeep.last_pull:
        peer.upkeep.last_pull = pull
        core.send(peer, RosterRequest(include_all=True), now)


def answer_request(core: Core, peer: Live, now: Instant) -> None:
    """Send the whole roster, in as many frames as it takes; each merges on its own (spec 01 §20 item 1)."""
    if core.is_silent():
        return
    root = core.roster.full_root()
    last = peer.upkeep.last_full_answer
    if last is not None and last[1] == root and now.mono - last[0] < FULL_ANSWER_GAP_S:
        return
    peer.upkeep.last_full_answer = (now.mono, root)
    for data in _split(core.roster.wire_entries()):
        core.send_encoded(peer, RosterEntries.KIND, data)


def _split(rows: tuple[RosterEntry, ...]) -> list[bytes]:
    """One frame if it fits, else halves of halves; a single row always fits, its label is bounded."""
    try:
        return [encode_frame(RosterEntries(entries=rows))]
    except FrameTooLarge:
        middle = len(rows) // 2
        return _split(rows[:middle]) + _split(rows[middle:])
