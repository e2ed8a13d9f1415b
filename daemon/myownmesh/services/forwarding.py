"""The role `relay` (spec 06 §5): hands frames of the channel `__mesh_relay__/v1` from one member to others.

Only what comes from its origin itself goes on (06 A): whatever another relay has handed on ends here, so no frame goes
round, and none that was meant for one reaches all.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mesh_common.views import PeerStatus
from myownmesh.engine.routes import FORWARD_BURST_BYTES, FORWARD_BYTES_PER_S
from myownmesh.engine.routing import FORWARD_LEAST_BYTES
from myownmesh.mesh import clock
from myownmesh.protocol.codec import FrameTooLarge, encode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL, onward, read_envelope
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from msgspec import Raw

    from myownmesh.mesh.network import Network
    from myownmesh.store.services_config import RelayService

log = logging.getLogger(__name__)

FRAMES_PER_S: Final = 50.0
FRAMES_AT_ONCE: Final = 200.0
"""Of one sender, whatever becomes of them."""
_SENDERS_KEPT: Final = 1024


class Forwarder:
    """What one network's relay hands on, and for whom. Pure."""

    def __init__(self) -> None:
        self._frames: dict[str, TokenBucket] = {}
        self._bytes: dict[str, TokenBucket] = {}

    def targets(
        self,
        sender: str,
        payload: Raw,
        *,
        is_rostered: Callable[[str], bool],
        reachable: Callable[[str], Iterable[str]],
        max_fanout: int,
        now: float,
    ) -> tuple[list[str], Raw] | None:
        """Who gets what for an envelope of this link's peer; None when it ends here.

        `reachable` names this peer if there is an admitted link to it, and for an empty text all that have one;
        `max_fanout` 0 is no limit; `now` is monotonic seconds.
        """
        if not is_rostered(sender) or not self._bucket(self._frames, sender, FRAMES_PER_S, FRAMES_AT_ONCE, now).take(
            now
        ):
            return None
        envelope = read_envelope(payload)
        if envelope is None or envelope.src not in ("", sender):
            return None
        links = [peer for peer in reachable(envelope.dst) if peer != sender and is_rostered(peer)]
        if max_fanout:
            links = links[:max_fanout]
        passed_on = onward(sender, envelope.payload)
        try:
            size = len(encode_frame(Channel(RELAY_CHANNEL, passed_on)))
        except FrameTooLarge:
            return None  # it came without the name of its origin, and with it there is no room
        allowance = self._bucket(self._bytes, sender, FORWARD_BYTES_PER_S, FORWARD_BURST_BYTES, now)
        if not links or not allowance.has_one(now):
            return None
        allowance.force(now, max(size, FORWARD_LEAST_BYTES) * len(links))
        return links, passed_on

    @staticmethod
    def _bucket(held: dict[str, TokenBucket], sender: str, rate: float, capacity: float, now: float) -> TokenBucket:
        bucket = held.pop(sender, None) or TokenBucket(rate, capacity, now)
        held[sender] = bucket  # whoever was heard last stands last
        if len(held) > _SENDERS_KEPT:
            del held[next(iter(held))]
        return bucket


class Forwarding:
    """The role on all networks of this device."""

    def __init__(self, block: Callable[[], RelayService], *, steady: Callable[[], float] = clock.steady) -> None:
        """`block` is the part of the configuration that was applied last."""
        self._block = block
        self._steady = steady

    def serve(self, network: Network) -> None:
        """Hand on in this network while the role is enabled; ends with the network."""
        forwarder = Forwarder()

        def heard(sender: str, payload: Raw) -> None:
            block = self._block()
            if not block.enabled:
                return
            found = forwarder.targets(
                sender,
                payload,
                is_rostered=network.is_approved,
                reachable=lambda device_id: _reachable(network, device_id),
                max_fanout=block.max_fanout,
                now=self._steady(),
            )
            if found is not None:
                targets, passed_on = found
                for target in targets:
                    network.post_to(target, RELAY_CHANNEL, passed_on, _posted)

        network.listen(RELAY_CHANNEL, heard)


def _reachable(network: Network, device_id: str) -> Collection[str]:
    if device_id:
        return [device_id] if network.is_linked(device_id) else []
    return [peer.device_id for peer in network.peers() if peer.status in (PeerStatus.ACTIVE, PeerStatus.SHELVED)]


def _posted(error: str | None) -> None:
    if error is not None:
        log.debug("a frame was not handed on: %s", error)  # nothing is told to its sender (spec 06 §5.2)
