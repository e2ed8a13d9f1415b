"""Links between the daemon and a peer of v0.3.8's kind, in both id orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.interop.stage import meeting, on_both_sides

if TYPE_CHECKING:
    from integration.interop.stage import Side
    from support.daemons import Daemon


@on_both_sides
async def test_a_link_becomes_active_and_carries_pings(ours: Daemon, side: Side) -> None:
    """Spec 01 §7.2, 04 §5."""
    async with meeting(ours, side) as stage:
        await stage.both_active()
        await stage.peer.alive()
        assert stage.peer.opened == 1
        kinds = [each["kind"] for each in stage.peer_events()]
        assert list(dict.fromkeys(kinds)) == ["sighted", "authenticated", "approved"]
