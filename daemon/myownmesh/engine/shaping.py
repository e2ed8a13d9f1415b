"""The pass that brings links in line with the network's shape (spec 04 §8.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import lifecycle, presence, shelving
from myownmesh.engine.decisions import Role, role
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.peer import Placeholder
from myownmesh.engine.timers import NetworkTimer
from myownmesh.engine.timing import SHORTCUTS_S
from myownmesh.topology.members import Members

if TYPE_CHECKING:
    from collections.abc import Set

    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


def take_pass(core: Core, now: Instant) -> None:
    """Say again what got lost; end the links that both ends shelved; dial those that are missing, if that is our part.

    Of a missing link whose other end should dial, that end's announce reminds us.
    """
    shelving.repeat_lost(core, now)
    if not core.shape.prunes or core.is_silent():
        return
    wanted = core.wanted()
    let_go = [peer for peer in core.live_peers() if peer.device_id not in wanted and shelving.is_let_go(core, peer)]
    learnt_at = core.learnt_at
    if let_go and learnt_at is not None and now.mono < learnt_at + SHORTCUTS_S:
        core.timers.set(NetworkTimer.SHAPE, "", learnt_at + SHORTCUTS_S)
    else:
        for peer in let_go:
            _say(core, "ends a link", peer.device_id, now)
            lifecycle.prune(core, peer.device_id, now)
    likely = _likely(core)
    to_dial = _to_dial(core, wanted)
    for device_id in sorted(to_dial, key=lambda each: each not in likely):
        _say(core, "wants a link", device_id, now)
        presence.decide(core, device_id, now, likely=device_id in likely)


def _likely(core: Core) -> Set[str]:
    """Whom the shape would want if everybody who announced itself were let in. Forged announces bend no edge with that:
    they may cost dials, as they do anyway."""
    if not core.shape.changes_with_members or not core.strangers:
        return frozenset()
    return core.shape.wanted(core.me, Members([*core.known, *core.strangers, *core.dials]))


def _to_dial(core: Core, wanted: Set[str]) -> list[str]:
    """Peers without a link that ours is the part to dial: of those that make the shape the wanted ones, and strangers
    whom it would take."""
    return [
        peer.device_id
        for peer in core.peers.values()
        if isinstance(peer, Placeholder)
        and role(core.me, peer.device_id) is Role.OFFERER
        and (peer.device_id in wanted or (peer.device_id not in core.known and core.wants_link(peer.device_id)))
    ]


def _say(core: Core, what: str, device_id: str, now: Instant) -> None:
    if core.is_watched:
        core.diag(now, "info", "topology", f"the shape {what}: {short_id(device_id)}", {"peer": device_id})
