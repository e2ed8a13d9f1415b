"""How often we announce ourselves while nothing happens (spec 03 §10.3): seldom where nobody is missed.

A device that comes announces itself and is answered at once, so the ticker serves those who missed something. Where
every member of the roster is linked, or spoke in the room lately, there is nobody of that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine.actions import SetPace
from myownmesh.engine.peer import Live
from myownmesh.engine.timing import HEARD_LATELY_S

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


_FOREVER: Final = float("inf")


def heard(core: Core, device_id: str, now: Instant) -> None:
    """A member spoke in the room."""
    if device_id in core.roster:
        core.heard[device_id] = now.mono


def left(core: Core, device_id: str) -> None:
    if core.heard.pop(device_id, None) is not None:
        core.changes += 1


def look(core: Core, now: Instant) -> None:
    """Say how fast the ticker may be, if that is another pace than before."""
    quiet = _is_complete(core, now)
    if quiet is not core.is_quiet:
        core.is_quiet = quiet
        core.out.append(SetPace(quiet))


def _is_complete(core: Core, now: Instant) -> bool:
    """Nobody is missing, and whoever is linked answers newcomers as we do. v0.3.8 is given what it is used to.

    Of hundreds of members all are looked at only if something changed, or the time of one may be over; and whoever was
    missing at the last look is looked at first.
    """
    if core.government.is_down:
        return True
    if core.is_silent() or core.twin is not None:
        return False
    last = core.attendance
    if last.changes == core.changes and now.mono <= last.until:
        return True
    members = core.roster.ids
    if len(members) <= (core.me in members):
        return False
    if last.missed in members and _there_until(core, last.missed) < now.mono:
        return False
    until = _FOREVER
    for each in members:
        if each != core.me:
            until = min(until, _there_until(core, each))
            if until < now.mono:
                last.missed = each
                return False
    last.missed, last.until, last.changes = "", until, core.changes
    return True


def _there_until(core: Core, device_id: str) -> float:
    """The monotonic second until which a member counts as there, if nothing changes: linked; or heard lately where the
    shape wants no link, for one that is wanted has still to be made."""
    peer = core.peers.get(device_id)
    if isinstance(peer, Live):
        return _FOREVER if peer.transport.is_ours else -_FOREVER
    heard_at = core.heard.get(device_id)
    if peer is None or heard_at is None or device_id in core.wanted():
        return -_FOREVER
    return heard_at + HEARD_LATELY_S
