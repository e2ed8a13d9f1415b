"""What we tell admitted peers about the roster (spec 01 §15.4). Silent networks tell nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.protocol.codec import FrameTooLarge, encode_frame
from myownmesh.protocol.frames import NetworkState, RosterEntries, RosterRequest

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import RosterEntry, RosterSummary

FULL_ANSWER_GAP_S: Final = 1.0
"""Per peer: an unchanged roster is not sent twice within this; v0.3.8 asks twice at each activation."""

_FEATURE: Final = "network_state_v1"


def advertise_roster(core: Core, now: Instant) -> None:
    """Send `roster_summary` to every admitted peer."""
    if core.is_silent():
        return
    _to_all(core, core.roster.summary(), now)


def advertise_state(core: Core, now: Instant) -> None:
    """Send `network_state` to every admitted peer: nothing is signed here, so the counts are zero."""
    if core.is_silent():
        return
    state = NetworkState(
        network_kind=core.config.kind,
        transitions_count=0,
        member_log_count=0,
        roster_root=core.roster.membership_root(),
    )
    _to_all(core, state, now)


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


def _to_all(core: Core, frame: RosterSummary | NetworkState, now: Instant) -> None:
    for peer in core.live_peers():
        if peer.takes(_FEATURE):
            core.send(peer, frame, now)
