"""Who is put out by signed governance: denied with proof and nothing else any more; and when it is this device.

Spec 02 §15.

At the verdict the peer is un-admitted: no application frame in either direction, the deny, 400 ms, the end of the link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine import lifecycle, pace, reliable, waiting
from myownmesh.engine.diagnostics import reason_word, short_id
from myownmesh.engine.life import DROPS, Turn
from myownmesh.engine.peer import Link, OpenedBy, OpenLink
from myownmesh.engine.timers import PeerTimer
from myownmesh.governance.sync import denial
from myownmesh.protocol.frames import Deny

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live, Peer
    from myownmesh.protocol.clock import Instant

REASON: Final = "evicted"
_DENIED: Final = DROPS[Turn.REFUSED]
PROOF_GAP_S: Final = 10.0
"""A device that comes back sooner is denied without the proof: it may want nothing but our bandwidth."""
MAX_LET_IN_AGAIN: Final = 256


def put_out(core: Core, peer: Peer, now: Instant) -> None:
    """End the link of an evicted device, and whatever would bring it back."""
    device_id = peer.device_id
    core.intents.clear(device_id)
    core.timers.cancel(PeerTimer.DIAL_ANYWAY, device_id)
    core.government.let_in_again.pop(device_id, None)
    if not isinstance(peer, Link):
        end_waits(core, device_id)
        return
    is_open = isinstance(peer, OpenLink)
    if is_open:
        government = core.government
        whole = government.may_prove(device_id, now.mono, PROOF_GAP_S)
        core.send(peer, denial(government.book, device_id) if whole else Deny(reason=REASON), now)
    core.diag(
        now,
        "warn",
        "governance",
        f"{short_id(device_id)} was put out of this network by its signed governance",
        {"hint": "evicted", "network": core.network_id, "peer": device_id},
    )
    lifecycle.drop(core, device_id, Turn.REFUSED, now, linger=is_open)


def end_waits(core: Core, device_id: str) -> None:
    """What waits for an evicted device that has no link fails as it does with the link of one that has."""
    waiting.finish(core, device_id, f"network: connect {device_id}: {reason_word(_DENIED.kind)}")
    reliable.link_ended(core, device_id, _DENIED)


def welcome(core: Core, device_id: str, now: Instant) -> None:
    """Who was put out is a member again: dial it, whatever the order of ids, now and whenever it is heard (FIX 26).

    It ignores announces until it has heard, and with the higher id nobody else would.
    """
    again = core.government.let_in_again
    again[device_id] = None
    while len(again) > MAX_LET_IN_AGAIN:
        again.popitem(last=False)
    dial_again(core, device_id, now)


def dial_again(core: Core, device_id: str, now: Instant) -> bool:
    """Dial a device that is welcome again, if it is one and has no link."""
    if device_id not in core.government.let_in_again:
        return False
    if core.link_to(device_id) is None:
        lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.PRESENCE, now=now)
    return True


def is_linked_again(core: Core, peer: Live) -> None:
    core.government.let_in_again.pop(peer.device_id, None)


# ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────────


def consider_self(core: Core, now: Instant) -> None:
    """Stand down, or get up again, by what the own logs say of this device.

    Standing down it dials nobody, and tells the room at the slowest pace that it is here, so that it can hear of its
    re-admission.
    """
    government = core.government
    is_down = core.is_evicted(core.me)
    if is_down is government.is_down:
        return
    government.is_down = is_down
    detail = {"hint": "self_evicted" if is_down else "self_readmitted", "network": core.network_id}
    if is_down:
        core.pins.clear()
        core.intents.forget_all()
        core.timers.cancel_all(PeerTimer.DIAL_ANYWAY)
        text = (
            "this device was put out of the network by its signed governance; it stands down until it is let in again"
        )
        core.diag(now, "warn", "governance", text, detail)
    else:
        core.pins |= core.config.pinned_peers
        core.diag(now, "info", "governance", "this device is let in again", detail)
        core.announce(now)
    pace.look(core, now)
