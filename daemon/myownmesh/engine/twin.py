"""Another process has our identity: a copied home, most likely (spec 03 §16.1).

Peers keep one link to an id, so two processes take it from each other for ever. The one that came later stands aside:
it drops its links, dials, answers and announces nothing, and comes back when the other has left or was not heard of for
five minutes. Only a proof makes it do so. What anybody could have written is told, and makes us dial a peer whose link
was taken from us less and less often: v0.3.8 proves nothing and never stands aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine import lifecycle, waiting
from myownmesh.engine.core import Twin
from myownmesh.engine.life import Turn
from myownmesh.engine.timers import NetworkTimer, PeerTimer
from myownmesh.protocol.signals import TWIN_SILENCE_S, Announce, StandAside

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant

STANDS_ASIDE: Final = (
    "network: another device uses the identity of this one and was here first; give one of the two its own identity"
)


def receive(core: Core, is_elder: bool | None, now: Instant) -> None:
    """It was heard; `is_elder` as in `TwinHeard`."""
    known = core.twin
    stands_aside = is_elder if is_elder is not None else known is not None and known.stands_aside
    core.twin = Twin(is_elder is not None or (known is not None and known.is_proved), stands_aside)
    core.timers.set(NetworkTimer.TWIN_SILENCE, "", now.mono + TWIN_SILENCE_S)
    if core.twin == known:
        return
    core.diag(
        now,
        "error",
        "signaling",
        "another device uses the identity of this one",
        {"proved": core.twin.is_proved, "stands_aside": stands_aside},
    )
    if stands_aside and not (known is not None and known.stands_aside):
        core.publish(StandAside(True))
        _drop_all(core, now)
    elif known is not None and known.stands_aside and not stands_aside:
        _speak_again(core)


def gone(core: Core, now: Instant) -> None:
    """It left, or was not heard of for so long that it is gone."""
    twin, core.twin = core.twin, None
    core.timers.cancel(NetworkTimer.TWIN_SILENCE, "")
    if twin is None:
        return
    core.memories.make_peace()
    core.diag(now, "info", "signaling", "no other device uses the identity of this one any more")
    if twin.stands_aside:
        _speak_again(core)


def _speak_again(core: Core) -> None:
    core.publish(StandAside(False))
    core.publish(Announce())


def _drop_all(core: Core, now: Instant) -> None:
    for device_id in list(core.peers):
        lifecycle.drop(core, device_id, Turn.DISPUTED, now)
    for device_id in list(core.waiters):
        waiting.finish(core, device_id, STANDS_ASIDE)
    core.intents.forget_all()
    core.timers.cancel_all(PeerTimer.DIAL_ANYWAY)
