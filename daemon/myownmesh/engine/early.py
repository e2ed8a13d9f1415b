"""Offers that came sooner than they may be taken: the newest one of each peer is kept, and comes again at its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.limits import MAX_UNPROVEN_LINKS
from myownmesh.engine.timers import PeerTimer

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.signals import OfferReceived


def keep(core: Core, offer: OfferReceived, until: float) -> bool:
    """Have an offer come again at that monotonic second; False where too many wait."""
    if offer.peer not in core.early_offers and len(core.early_offers) >= MAX_UNPROVEN_LINKS:
        return False
    core.early_offers[offer.peer] = offer
    core.timers.set(PeerTimer.EARLY_OFFER, offer.peer, until)
    return True


def forget(core: Core, device_id: str) -> None:
    """Whoever offered has left, or offers anew."""
    core.timers.cancel(PeerTimer.EARLY_OFFER, device_id)
    core.early_offers.pop(device_id, None)
