"""Callers that wait until a peer is active (spec 04 §6.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine.actions import WaiterDone
from myownmesh.engine.limits import MAX_WAITERS

if TYPE_CHECKING:
    from myownmesh.engine.core import Core

SHUT_DOWN: Final = "network: network shut down"


def park(core: Core, device_id: str, waiter: int) -> None:
    """Keep `waiter` until the peer is active, is dropped for good, or the network ends."""
    if sum(map(len, core.waiters.values())) >= MAX_WAITERS:
        core.out.append(WaiterDone(waiter, "network: too many callers wait for a connect; try again later"))
        return
    core.waiters.setdefault(device_id, []).append(waiter)


def abandon(core: Core, waiter: int) -> None:
    """The caller gave up; the dial goes on."""
    for device_id, waiters in core.waiters.items():
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del core.waiters[device_id]
            return


def finish(core: Core, device_id: str, error: str | None) -> None:
    """Tell everybody who waits for this peer."""
    for waiter in core.waiters.pop(device_id, ()):
        core.out.append(WaiterDone(waiter, error))


def shut_down(core: Core) -> None:
    for device_id in list(core.waiters):
        finish(core, device_id, SHUT_DOWN)
