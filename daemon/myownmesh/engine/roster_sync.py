"""What admitted peers tell us about roster and signed logs (spec 01 §15.4, 02 §14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import approval, gossip, hearing
from myownmesh.governance.sync import DIGEST_CHARS, Advert, is_ahead, is_news

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import NetworkState, RosterEntries, RosterSummary


def receive_summary(core: Core, peer: Live, summary: RosterSummary, now: Instant) -> None:
    """Pull when the memberships differ."""
    if not core.is_silent() and gossip.hear_root(core, peer, summary.root):
        gossip.request(core, peer, summary.root, (0, 0), now)


def receive_state(core: Core, peer: Live, state: NetworkState, now: Instant) -> None:
    """Pull when the peer is ahead in anything, or holds another log. Its kind is never believed."""
    if core.is_silent():
        return
    advert = Advert(state.transitions_count, state.member_log_count)
    letter = core.government.letter(peer.device_id)
    letter.advert = advert
    book, digest = core.government.book, state.log_digest or ""
    letter.log_digest = digest[:DIGEST_CHARS]
    ahead = is_ahead(book, advert, letter.fruitless)
    is_other = book.is_founded and is_news(book, digest, advert.transitions)
    if gossip.hear_root(core, peer, state.roster_root) or ahead or is_other:
        gossip.request(core, peer, state.roster_root, advert, now, log_digest=digest if is_other else "")


def receive_entries(core: Core, peer: Live, frame: RosterEntries, now: Instant) -> None:
    """Add whom we do not know; never refresh, never remove. On closed networks only signed logs count."""
    if core.kind != "closed":
        _merge_rows(core, peer, frame, now)
    if not core.is_silent():
        hearing.receive_logs(core, peer, frame, now)


def _merge_rows(core: Core, peer: Live, frame: RosterEntries, now: Instant) -> None:
    roster = core.roster.merge(frame.entries, now.wall_ms // 1000, me=core.me)
    if roster is core.roster:
        return
    new = roster.count - core.roster.count
    core.save_roster(roster)
    core.learnt_at = now.mono
    core.diag(now, "info", "roster", "learnt of new members", {"peer": peer.device_id, "count": new})
    gossip.spread(core, now)
    approval.reconsider_all(core, now)
