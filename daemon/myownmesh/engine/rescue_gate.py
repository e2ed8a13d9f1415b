"""How often relay connections may be replaced for a peer that is missing (spec 04 §7.6)."""

from __future__ import annotations

from msgspec import Struct

from myownmesh.engine.timing import RELAY_RESCUE_BACKOFF_S


class RescueGate(Struct):
    """How often the relays of one network may be redialled for a missing peer."""

    unconfirmed: int = 0
    """Rescues since the last one that helped."""
    last_at: float = 0.0
    rescued: str = ""

    def permit(self, peer: str, mono: float) -> int | None:
        """Take a permit for `peer`; its number since the last one that helped, None when it is too early."""
        if self.unconfirmed:
            wait_s = RELAY_RESCUE_BACKOFF_S[min(self.unconfirmed, len(RELAY_RESCUE_BACKOFF_S)) - 1]
            if mono - self.last_at < wait_s:
                return None
        self.unconfirmed += 1
        self.last_at, self.rescued = mono, peer
        return self.unconfirmed

    def heard(self, peer: str) -> None:
        """A candidate of `peer` came."""
        if peer == self.rescued:
            self.unconfirmed, self.rescued = 0, ""
