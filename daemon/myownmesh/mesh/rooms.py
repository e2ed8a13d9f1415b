"""Which ways lead into a network's room."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from myownmesh.mesh import clock
from myownmesh.signaling.room import remote_driver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.identity import Identity
    from myownmesh.mesh.ports import SignalingFactory
    from myownmesh.protocol.ids import Rng
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.driver import Signaling
    from myownmesh.signaling.gate import ContentGate
    from myownmesh.signaling.lan_access import LanAccess
    from myownmesh.signaling.sources import RelaySources
    from myownmesh.signaling.timepiece import Timepiece
    from myownmesh.store.network_config import NetworkConfig

log = logging.getLogger(__name__)


class Way(Protocol):
    """Makes one kind of signaling for a network; None when its record does not ask for that kind.

    `gate` and `desk` are those of the network: what came on one way does not act again on another (spec 03 §15), and
    what a device signed on one way counts on all.
    """

    def __call__(
        self, record: NetworkConfig, network_id: str, gate: ContentGate, desk: Desk | None
    ) -> Signaling | None: ...


def nostr(identity: Identity, app_id: str, rng: Rng, sources: RelaySources, timepiece: Timepiece) -> Way:
    """Rooms met over Nostr relays; `sources` learns how this machine reaches them, `timepiece` what time they have.

    Devices with different application ids never meet.
    """

    def signaling(record: NetworkConfig, network_id: str, gate: ContentGate, desk: Desk | None) -> Signaling | None:
        if remote_driver(record.signaling.strategy) != "nostr":
            return None
        from myownmesh.signaling.client import NostrSignaling  # with the first network that wants it

        return NostrSignaling(
            device_id=identity.device_id,
            network_id=network_id,
            app_id=app_id,
            settings=record.signaling,
            now=clock.now,
            rng=rng,
            gate=gate,
            sources=sources,
            timepiece=timepiece,
            sign=identity.sign,
            desk=desk,
        )

    return signaling


def lan(identity: Identity, app_id: str, timepiece: Timepiece, access: LanAccess) -> Way:
    """Rooms met in the local network, where a record wants it and the device may be seen."""

    def signaling(record: NetworkConfig, network_id: str, gate: ContentGate, desk: Desk | None) -> Signaling | None:
        if not record.signaling.mdns:
            return None
        if record.signaling.listen_only:
            log.info("network %s listens only, so it is not met in the local network", record.id)
            return None
        from myownmesh.signaling.lan import LanSignaling  # with the first network that wants it

        return LanSignaling(
            device_id=identity.device_id,
            network_id=network_id,
            app_id=app_id,
            now=timepiece.now,
            gate=gate,
            responder=access.responder(),
            desk=desk,
        )

    return signaling


def met_by(*ways: Way) -> SignalingFactory:
    """Every network is met on each of these ways that its record asks for."""

    def signalings(record: NetworkConfig, network_id: str, desk: Desk | None) -> Sequence[Signaling]:
        strategy = record.signaling.strategy
        if strategy != "none" and remote_driver(strategy) is None:
            log.error("network %s: unknown signaling strategy '%s'; no relay is used", record.id, strategy)
        from myownmesh.signaling.gate import ContentGate

        gate = ContentGate()
        made = [way(record, network_id, gate, desk) for way in ways]
        found = [signaling for signaling in made if signaling is not None]
        if not found and not record.signaling.mdns:
            log.warning("network %s is met nowhere: no other device can find this one in it", record.id)
        return found

    return signalings


def rooms(
    identity: Identity,
    app_id: str,
    rng: Rng,
    sources: RelaySources,
    timepiece: Timepiece,
    access: LanAccess | None,
) -> SignalingFactory:
    """All ways that this release knows; without access nothing is said in the local network."""
    ways = [nostr(identity, app_id, rng, sources, timepiece)]
    if access is not None:
        ways.append(lan(identity, app_id, timepiece, access))
    return met_by(*ways)
