"""Where a network stands, from where its peers stand (spec 04 §9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.views import PeerStatus, Phase

if TYPE_CHECKING:
    from collections.abc import Collection

_LIVE = frozenset({PeerStatus.ACTIVE, PeerStatus.SHELVED})
_ON_THE_WAY = frozenset({PeerStatus.PENDING_APPROVAL, PeerStatus.HANDSHAKING, PeerStatus.SIGHTED})


def rollup(statuses: Collection[PeerStatus]) -> Phase:
    """The phase that these peers amount to; without any it is `alone`."""
    if not _LIVE.isdisjoint(statuses):
        return Phase.ACTIVE
    if not _ON_THE_WAY.isdisjoint(statuses):
        return Phase.DISCOVERING
    if PeerStatus.RECONNECTING in statuses:
        return Phase.DEGRADED
    return Phase.ALONE
