"""Traffic counters of one network since it was joined (spec 01 §17.5)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_CLASSES: Final = {
    "ping": "keepalive",
    "pong": "keepalive",
    "hello": "control",
    "auth_response": "control",
    "approve": "control",
    "deny": "control",
    "shelve": "control",
    "unshelve": "control",
    "capabilities_update": "control",
    "channel": "app",
    "channel_seq": "app",
    "channel_ack": "app",
    "rpc_request": "app",
    "rpc_response": "app",
    "rpc_stream_chunk": "app",
    "rpc_stream_end": "app",
    "roster_summary": "gossip",
    "roster_request": "gossip",
    "roster_entries": "gossip",
    "network_state": "gossip",
    "network_state_propose": "gossip",
    "network_state_ack": "gossip",
    "network_state_split": "gossip",
}


def traffic_class(kind: str) -> str:
    """`keepalive`, `control`, `gossip`, `app`, or `other` for a kind that this version does not know."""
    return _CLASSES.get(kind, "other")


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


_TX: Final = {kind: f"{name}_tx" for kind, name in _CLASSES.items()}
_RX: Final = {kind: f"{name}_rx" for kind, name in _CLASSES.items()}
