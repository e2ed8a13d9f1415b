"""What the app knows about the mesh right now, as one immutable snapshot (spec 08 §5.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from myownllm import phases
from myownllm.peers import CONNECTED

if TYPE_CHECKING:
    from myownllm.catalog.coerce import JsonObject
    from myownllm.effects import Level
    from myownllm.peers import PeerEntry

DIAG_RING: Final = 500


@attrs.frozen
class Diag:
    """One line for the activity log; `ts` is in milliseconds, the daemon's own where it came from the daemon."""

    ts: int
    level: Level
    message: str


@attrs.frozen
class ClientState:
    """A snapshot. `rev` grows with every change, so a reader can tell that it missed one."""

    rev: int = 0
    status: phases.Status = "off"
    phase: phases.Phase = "off"
    error: str = ""
    network: str = ""
    """wire id that the client is bound to; empty while it is bound to none"""
    handle: str | None = None
    """label or wire id of the active saved network; None without one"""
    active_config_id: str = ""
    peers: tuple[PeerEntry, ...] = ()
    device_id: str = ""
    daemon_version: str = ""
    daemon_mode: str = ""
    daemon_socket: str = ""
    pinned_version: str | None = None
    meets_pin: bool = True
    subscription: str = "disconnected"
    recent_ice_failure_at: int | None = None
    accepting: str = "available"
    auto_gossip: bool = True

    @property
    def connected_peers(self) -> int:
        """Peers that count in the headline: active and shelved ones."""
        return sum(p.status in CONNECTED for p in self.peers)

    @property
    def pending_approvals(self) -> int:
        """Devices that wait for a decision here (spec 08 FE-2.5)."""
        return sum(p.status == "pending_approval" for p in self.peers)

    @property
    def pill(self) -> str:
        """The headline."""
        return phases.pill_text(self.handle, self.phase, self.connected_peers, self.error)

    def peer(self, pubkey: str) -> PeerEntry | None:
        return next((p for p in self.peers if p.device_pubkey == pubkey), None)

    def to_json(self) -> JsonObject:
        plain = attrs.asdict(self, filter=lambda a, _: a.name != "peers")
        return {
            **plain,
            "pill": self.pill,
            "pending_approvals": self.pending_approvals,
            "peers": [p.to_json() for p in self.peers],
        }
