"""The connection trace: what changed in the links of one network, a record per peer that changed (spec 04 §9.5).

A `Tracer` belongs to one reader and compares what it sees with what it saw. Nobody pays for it but whoever looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from mesh_common.events import ConnTrace
from myownmesh.engine import keepalive, why
from myownmesh.engine.path_words import connection_state, pair_class
from myownmesh.engine.peer import STEADY, Link, Live, Pending, Shelved

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.clock import Instant


class _Sight(NamedTuple):
    """What is compared; the names are those of `changed`, in its order."""

    epoch: int
    status: str
    tier: str
    ice: str | None
    pc: str | None
    pair: str | None
    auth: bool
    local_shelved: bool
    remote_shelved: bool


class Tracer:
    """Compares the peers of one engine with how they were; the first look finds that all have appeared."""

    def __init__(self) -> None:
        self._seen: dict[str, _Sight] = {}

    def look(self, core: Core, now: Instant) -> list[ConnTrace]:
        """A record of each peer that has appeared, changed or vanished since the last look."""
        records = []
        for device_id, peer in core.peers.items():
            sight = _sight(peer)
            before = self._seen.get(device_id)
            if before != sight:
                self._seen[device_id] = sight
                records.append(_record(core, peer, before, sight, now))
        if len(self._seen) > len(core.peers):
            gone = [device_id for device_id in self._seen if device_id not in core.peers]
            records += [_vanished(core, device_id, self._seen.pop(device_id), now) for device_id in gone]
        return records


def _sight(peer: Peer) -> _Sight:
    transport = peer.transport if isinstance(peer, Link) else None
    return _Sight(
        peer.epoch,
        peer.status.value,
        (transport.recovery.tier if transport is not None and transport.recovery is not None else STEADY).kind,
        None if transport is None else transport.path.value,
        connection_state(peer) if isinstance(peer, Link) else None,
        None if transport is None or transport.selected_pair is None else pair_class(transport.selected_pair),
        isinstance(peer, Pending | Live),
        isinstance(peer, Shelved),
        isinstance(peer, Live) and peer.upkeep.remote_shelved,
    )


def _record(core: Core, peer: Peer, before: _Sight | None, sight: _Sight, now: Instant) -> ConnTrace:
    if before is None:
        changed: tuple[str, ...] = ("appeared",)
    else:
        changed = tuple(name for name, old, new in zip(_Sight._fields, before, sight, strict=True) if old != new)
    silence_s = keepalive.silent_for(peer, now.mono)
    rtt_ms = peer.upkeep.rtt_ms if isinstance(peer, Live) else None
    is_sealed = peer.transport.is_sealed if isinstance(peer, Link) else None
    return ConnTrace(
        ts_wall_ms=now.wall_ms,
        t_mono_ms=core.age_ms(now),
        network_id=core.network_id,
        device_id=peer.device_id,
        epoch=sight.epoch,
        changed=changed,
        status=sight.status,
        tier=sight.tier,
        ice_state=UNSET if sight.ice is None else sight.ice,
        pc_state=UNSET if sight.pc is None else sight.pc,
        pair_class=UNSET if sight.pair is None else sight.pair,
        last_recv_age_ms=UNSET if silence_s is None else round(silence_s * 1000),
        rtt_ms=UNSET if rtt_ms is None else rtt_ms,
        authenticated=sight.auth,
        local_shelved=sight.local_shelved,
        remote_shelved=sight.remote_shelved,
        why=why.verdict(core, peer, now.mono) or UNSET,
        sealed=UNSET if is_sealed is None else is_sealed,
    )


def _vanished(core: Core, device_id: str, last: _Sight, now: Instant) -> ConnTrace:
    return ConnTrace(
        ts_wall_ms=now.wall_ms,
        t_mono_ms=core.age_ms(now),
        network_id=core.network_id,
        device_id=device_id,
        epoch=last.epoch,
        changed=("vanished",),
        status=last.status,
        tier=last.tier,
        authenticated=last.auth,
        local_shelved=last.local_shelved,
        remote_shelved=last.remote_shelved,
    )
