"""How often we announce ourselves while nothing happens (spec 03 §10.3): seldom where nobody is missed.

A device that comes announces itself and is answered at once, so the ticker serves those who missed something. Where
every member of the roster is linked, or spoke in the room lately, there is nobody of that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.actions import SetPace
from myownmesh.engine.peer import Live
from myownmesh.engine.timing import HEARD_LATELY_S

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


def heard(core: Core, device_id: str, now: Instant) -> None:
    """A member spoke in the room."""
    if core.is_rostered(device_id):
        core.heard[device_id] = now.mono


def left(core: Core, device_id: str) -> None:
    core.heard.pop(device_id, None)


def look(core: Core, now: Instant) -> None:
    """Say how fast the ticker may be, if that is another pace than before."""
    quiet = _is_complete(core, now)
    if quiet is not core.is_quiet:
        core.is_quiet = quiet
        core.out.append(SetPace(quiet))


def _is_complete(core: Core, now: Instant) -> bool:
    """Nobody is missing, and whoever is linked answers newcomers as we do. v0.3.8 is given what it is used to."""
    if core.is_silent() or core.twin is not None:
        return False
    members = [entry.device_id for entry in core.roster.entries if entry.device_id != core.me]
    core.heard = {each: at for each, at in core.heard.items() if core.is_rostered(each)}
    wanted = core.shape.wanted(core.me, core.known)
    return bool(members) and all(_is_there(core, each, wanted, now) for each in members)


def _is_there(core: Core, device_id: str, wanted: set[str], now: Instant) -> bool:
    """Linked; or heard lately where the shape wants no link, for one that is wanted has still to be made."""
    peer = core.peers.get(device_id)
    if isinstance(peer, Live):
        return peer.transport.is_ours
    heard_at = core.heard.get(device_id)
    if peer is None or heard_at is None or device_id in wanted:
        return False
    return now.mono - heard_at <= HEARD_LATELY_S
