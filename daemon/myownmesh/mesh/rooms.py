"""Which ways lead into a network's room."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from myownmesh.mesh import clock
from myownmesh.signaling.client import NostrSignaling
from myownmesh.signaling.room import remote_driver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.mesh.ports import SignalingFactory
    from myownmesh.protocol.ids import Rng
    from myownmesh.signaling.driver import Signaling
    from myownmesh.store.network_config import NetworkConfig

log = logging.getLogger(__name__)


def nostr_rooms(device_id: str, app_id: str, rng: Rng) -> SignalingFactory:
    """Rooms met over Nostr relays. Devices with different application ids never meet."""

    def signaling(record: NetworkConfig, network_id: str) -> Sequence[Signaling]:
        strategy = record.signaling.strategy
        if remote_driver(strategy) is None:
            if strategy != "none":
                log.error("network %s: unknown signaling strategy '%s'; nothing is attached", record.id, strategy)
            return ()
        return (
            NostrSignaling(
                device_id=device_id,
                network_id=network_id,
                app_id=app_id,
                settings=record.signaling,
                now=clock.now,
                rng=rng,
            ),
        )

    return signaling
