"""Traffic counters of one network since it was joined (spec 01 §17.5)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from myownmesh.protocol.frames import KINDS


class Lane(msgspec.Struct):
    """One class in one direction."""

    frames: int = 0
    bytes: int = 0


class Traffic(msgspec.Struct):
    """The counters themselves; whoever owns the network counts, everybody else gets a `copy`."""

    keepalive_tx: Lane = msgspec.field(default_factory=Lane)
    keepalive_rx: Lane = msgspec.field(default_factory=Lane)
    control_tx: Lane = msgspec.field(default_factory=Lane)
    control_rx: Lane = msgspec.field(default_factory=Lane)
    gossip_tx: Lane = msgspec.field(default_factory=Lane)
    gossip_rx: Lane = msgspec.field(default_factory=Lane)
    app_tx: Lane = msgspec.field(default_factory=Lane)
    app_rx: Lane = msgspec.field(default_factory=Lane)
    other_tx: Lane = msgspec.field(default_factory=Lane)
    other_rx: Lane = msgspec.field(default_factory=Lane)
    relayed_forwarded: int = 0
    announces_rx: int = 0
    announces_tx: int = 0
    negotiation_rx: int = 0
    """Offers, answers, candidates and leaves."""
    negotiation_tx: int = 0
    reliable_pending: int = 0
    """Acknowledged frames that are queued right now."""

    def sent(self, kind: str, nbytes: int) -> None:
        """Count one frame that left."""
        lane: Lane = getattr(self, _TX.get(kind, "other_tx"))
        lane.frames += 1
        lane.bytes += nbytes

    def received(self, kind: str, nbytes: int) -> None:
        """Count one inbound frame of an admitted peer or of an ungated kind."""
        lane: Lane = getattr(self, _RX.get(kind, "other_rx"))
        lane.frames += 1
        lane.bytes += nbytes

    def to_json(self) -> dict[str, Any]:
        """The counters as they stand, as plain dictionaries."""
        members: dict[str, Any] = msgspec.to_builtins(self)
        return members


_TX: Final = {kind: f"{frame.TRAFFIC}_tx" for kind, frame in KINDS.items()}
_RX: Final = {kind: f"{frame.TRAFFIC}_rx" for kind, frame in KINDS.items()}
