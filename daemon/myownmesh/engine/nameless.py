"""Offers and answers of v0.3.8, which name nothing, that come too soon to be meant for this process or this transport.

An offer that comes sooner after our start than one that our announce caused could was made for our former process, and
most often another follows: the peer hears of our leave, or of our start, as late as the room is. Answering both costs
it the half minute of an attempt, for of two answers under way it takes the first for one to its present offer. So the
newest offer waits until that time. An answer that comes sooner behind our offer than there and back through the room
takes waits for another one, likewise. Neither costs time: three ways through the room is what a return takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import early
from myownmesh.engine.timing import EARLY_MARGIN_S, ROOM_JITTER, SLOW_ROOM_S
from myownmesh.protocol.offer_ids import gives_way

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Transport
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import OfferReceived


def echo_heard(core: Core, late_s: float, now: Instant) -> None:
    """An announce of ours came back; the first one tells when an offer can be the answer to it."""
    if core.early_until is None:
        core.early_until = now.mono + late_s + EARLY_MARGIN_S if late_s >= SLOW_ROOM_S else now.mono


def waits(core: Core, offer: OfferReceived, now: Instant) -> bool:
    """Whether the offer is kept; the newest one takes the place of the one before."""
    until = core.early_until
    if until is None or now.mono >= until or gives_way(offer.offer_id, offer.peer, core.me):
        return False
    return early.keep(core, offer, until)


def answer_due(core: Core, transport: Transport, now: Instant) -> float | None:
    """When an answer to our offer is due, if what has come is too soon to be it."""
    room_s = core.last_room_s
    if room_s < SLOW_ROOM_S or transport.answered_at is not None:
        return None
    due = transport.opened_at + 2 * room_s
    return due + EARLY_MARGIN_S if now.mono < due - ROOM_JITTER * room_s else None
