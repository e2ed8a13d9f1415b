"""Links that we want by ourselves: connect, pins, lost links, manual reconnect (spec 04 §6.3–6.5, §7.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import lifecycle, restarting, waiting
from myownmesh.engine.actions import RedialRelays, WaiterDone
from myownmesh.engine.decisions import Dial, on_command, on_intent
from myownmesh.engine.peer import Active, Link, OpenedBy
from myownmesh.engine.timers import NetworkTimer
from myownmesh.engine.timing import STATE_WATCH_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


def connect(core: Core, device_id: str, *, pin: bool, waiter: int | None, now: Instant) -> None:
    """Dial a peer as offerer, whatever role and silence say; with `pin` from now on at every announce."""
    if pin:
        core.pins.add(device_id)
    peer = core.peers.get(device_id)
    if isinstance(peer, Active):
        if waiter is not None:
            core.out.append(WaiterDone(waiter, None))
        return
    if waiter is not None:
        waiting.park(core, device_id, waiter)
    if on_command(has_transport=isinstance(peer, Link)) is Dial.OFFER:
        lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.COMMAND, now=now)
    core.announce(now)


def watch_intents(core: Core, now: Instant) -> None:
    """The tick: re-offer to whom a link is wanted back."""
    _retry(core, core.intents.due(now.mono), now)
    if core.intents.needs_watch:
        core.timers.set(NetworkTimer.INTENTS, "", now.mono + STATE_WATCH_S)


def retry_wanted(core: Core, now: Instant) -> None:
    """Something changed that may bring them back: dial everybody whom a link is wanted to, parked or not."""
    _retry(core, core.intents.flush(now.mono), now)


def reconnect(core: Core, device_id: str | None, now: Instant) -> None:
    """A person doubts the links: restart those that are up, dial those that are wanted (spec 04 §7.8)."""
    if core.is_offline:
        return
    detail: dict[str, object] = {"manual": True}
    if device_id is not None:
        detail["peer"] = device_id
    core.diag(now, "info", "network", "reconnecting on request", detail)
    if device_id is None:
        core.out.append(RedialRelays(if_mute=True))
    for peer in core.live_peers():
        if device_id in (None, peer.device_id):
            restarting.restart(core, peer, "manual-reconnect", now, forced=True)
    wanted = core.intents.flush(now.mono)
    _retry(core, wanted if device_id is None else [each for each in wanted if each == device_id], now)
    core.announce(now, is_asked=True)


def _retry(core: Core, wanted: Iterable[str], now: Instant) -> None:
    for device_id in wanted:
        peer = core.peers.get(device_id)
        decision = on_intent(
            core.me,
            device_id,
            pinned=device_id in core.pins or device_id in core.government.let_in_again,
            edge=core.wants_link(device_id),
            has_transport=isinstance(peer, Link),
        )
        if decision is Dial.OFFER and now.mono >= core.memories.of(device_id).dial_not_before:
            core.intents.attempted(device_id, now.mono)
            core.nudge(now)
            lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.INTENT, now=now)
