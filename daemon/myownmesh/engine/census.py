"""How much an engine holds of everything that is bounded: for the simulator, which checks it throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from myownmesh.engine.timers import LinkTimer

if TYPE_CHECKING:
    from myownmesh.engine.core import Core


@frozen
class Census:
    actions: int
    """That nobody has taken yet."""
    strangers: int
    remembered: int
    intents: int
    timers: int
    orphan_timers: tuple[str, ...]
    """Of links that there are not."""


def take(core: Core) -> Census:
    keys = core.timers.keys()
    return Census(
        len(core.out),
        len(core.strangers),
        len(core.memories),
        len(core.intents),
        len(keys),
        tuple(timer.name for timer, owner in keys if isinstance(timer, LinkTimer) and core.link_of(owner) is None),
    )
