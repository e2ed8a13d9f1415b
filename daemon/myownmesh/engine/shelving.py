"""Whom the network's shape prefers among admitted peers, and telling the others (spec 04 §8.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.events import PeerShelved, PeerUnshelved
from myownmesh.engine.life import Turn
from myownmesh.engine.peer import Active, Shelved
from myownmesh.engine.timers import NetworkTimer
from myownmesh.engine.timing import LOOK_AROUND_S, STATE_WATCH_S
from myownmesh.protocol.frames import Shelve, Unshelve

if TYPE_CHECKING:
    from myownmesh.engine.actions import Hop
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Channel, Live, Peer, Transport, Upkeep
    from myownmesh.protocol.clock import Instant

SHELVE_REASON: Final = "topology-rebalance"


def reevaluate(core: Core, now: Instant) -> None:
    """Shelve whom the shape does not prefer among the admitted, take back whom it does; pins are always preferred."""
    look_soon(core, now)
    live = core.live_peers()
    preferred = core.shape.preferred(core.me, [peer.device_id for peer in live])
    for peer in live:
        shelve = peer.device_id not in preferred and peer.device_id not in core.pins
        if shelve is isinstance(peer, Shelved):
            continue
        if shelve:
            _move(core, Turn.DISMISSED, Shelved(*_same(peer)), now)
            core.send(peer, Shelve(reason=SHELVE_REASON), now)
            core.emit(PeerShelved(core.network_id, peer.device_id, SHELVE_REASON, by_us=True))
        else:
            _move(core, Turn.RECALLED, Active(*_same(peer)), now)
            core.send(peer, Unshelve(), now)
            core.emit(PeerUnshelved(core.network_id, peer.device_id, by_us=True))


def look_soon(core: Core, now: Instant) -> None:
    """Something changed that the shape may mind: the next pass is at most a tick away."""
    if core.shape.prunes and not core.timers.is_set(NetworkTimer.SHAPE, ""):
        core.timers.set(NetworkTimer.SHAPE, "", now.mono + STATE_WATCH_S)


def look_around_soon(core: Core, now: Instant) -> None:
    """Strangers wait to be dialled, and whom the shape will want depends on who else is there: look when a few more
    have been heard."""
    if core.shape.changes_with_members:
        at, due = now.mono + LOOK_AROUND_S, core.timers.when(NetworkTimer.SHAPE, "")
        if due is None or at < due:
            core.timers.set(NetworkTimer.SHAPE, "", at)


def is_let_go(core: Core, peer: Peer) -> bool:
    """Shelved by both ends, and not pinned: if the shape has no edge there, nobody needs this link."""
    return isinstance(peer, Shelved) and peer.upkeep.remote_shelved and peer.device_id not in core.pins


def lost(core: Core, peer: Live, now: Instant) -> None:
    """What we said of shelving did not leave."""
    peer.upkeep.shelving_lost = True
    core.timers.set(NetworkTimer.SHAPE, "", now.mono + STATE_WATCH_S)


def repeat_lost(core: Core, now: Instant) -> None:
    """Tell those who missed it how it stands now."""
    for peer in core.live_peers():
        if peer.upkeep.shelving_lost:
            peer.upkeep.shelving_lost = False
            core.send(peer, Shelve(reason=SHELVE_REASON) if isinstance(peer, Shelved) else Unshelve(), now)


def receive_shelve(core: Core, peer: Live, frame: Shelve, now: Instant) -> None:
    """The peer does not prefer us; its broadcasts and ours skip this link, all else flows."""
    if not peer.upkeep.remote_shelved:
        peer.upkeep.remote_shelved = True
        look_soon(core, now)
        core.emit(PeerShelved(core.network_id, peer.device_id, frame.reason, by_us=False))


def receive_unshelve(core: Core, peer: Live) -> None:
    if peer.upkeep.remote_shelved:
        peer.upkeep.remote_shelved = False
        core.emit(PeerUnshelved(core.network_id, peer.device_id, by_us=False))


def broadcast_targets(core: Core) -> tuple[Hop, ...]:
    """Every link that takes our broadcasts (spec 04 §8.7)."""
    return tuple(
        (peer.device_id, peer.epoch)
        for peer in core.peers.values()
        if isinstance(peer, Active) and not peer.upkeep.remote_shelved
    )


def _move(core: Core, turn: Turn, peer: Live, now: Instant) -> None:
    core.enter(turn, peer, now)
    core.refresh_phase()


def _same(peer: Live) -> tuple[str, int, Transport, Channel, Upkeep]:
    return (peer.device_id, peer.epoch, peer.transport, peer.channel, peer.upkeep)
