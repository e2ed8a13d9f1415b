"""How much an engine holds of everything that is bounded: for the simulator, which checks it throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from myownmesh.engine.limits import (
    MAX_INTENTS,
    MAX_KEPT_CANDIDATES,
    MAX_PLACEHOLDERS,
    MAX_REMEMBERED_PEERS,
    MAX_UNPROVEN_LINKS,
    MAX_WAITERS,
)
from myownmesh.engine.outbox import OUTBOX_BYTES, OUTBOX_FRAMES, OUTBOXES_BYTES
from myownmesh.engine.routes import COPIES_KNOWN
from myownmesh.engine.timers import LinkTimer
from myownmesh.roster import MAX_ENTRIES

if TYPE_CHECKING:
    from myownmesh.engine.core import Core

TIMERS_PER_PEER: Final = 16
"""More than a link and its peer have kinds of timers that can be set at once."""
TIMERS_OF_NETWORK: Final = 32
"""More than there are kinds that are no peer's."""


class Count(NamedTuple):
    """Of one thing: how much there is, and how much there may be."""

    what: str
    found: int
    most: int


class Census(NamedTuple):
    counts: tuple[Count, ...]
    orphan_timers: tuple[str, ...]
    """Of links that there are not."""


def take(core: Core) -> Census:
    keys = core.timers.keys()
    boxes = core.outboxes.values()
    links = len(core.peers) + len(core.successors)
    counts = (
        Count("actions that nobody carried out", len(core.out), 0),
        Count("strangers", len(core.strangers), MAX_PLACEHOLDERS),
        Count("unproven links", len(core.unproven), MAX_UNPROVEN_LINKS),
        Count("transports beside links", len(core.successors), len(core.peers)),
        Count("early offers", len(core.early_offers), MAX_UNPROVEN_LINKS),
        Count("remembered peers", len(core.memories), MAX_REMEMBERED_PEERS),
        Count("kept candidates", core.memories.kept_candidates, MAX_KEPT_CANDIDATES),
        Count("intents", len(core.intents), MAX_INTENTS),
        Count("waiters", sum(map(len, core.waiters.values())), MAX_WAITERS),
        Count("roster entries", core.roster.count, MAX_ENTRIES),
        Count("members heard lately", len(core.heard), MAX_ENTRIES),
        Count("known copies", core.routes.copies, COPIES_KNOWN),
        Count("carriers with an allowance", core.routes.carriers, len(core.live_peers())),
        Count("reliable frames for a peer", max((len(box.entries) for box in boxes), default=0), OUTBOX_FRAMES),
        Count("reliable bytes for a peer", max((box.nbytes for box in boxes), default=0), OUTBOX_BYTES),
        Count("reliable bytes", sum(box.nbytes for box in boxes), OUTBOXES_BYTES),
        Count("timers", len(keys), TIMERS_OF_NETWORK + TIMERS_PER_PEER * max(links, len(core.memories))),
    )
    return Census(
        counts,
        tuple(timer.name for timer, owner in keys if isinstance(timer, LinkTimer) and core.link_of(owner) is None),
    )
