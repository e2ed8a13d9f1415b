"""How late the loop comes to its timers: what other work of the process, or of the machine, costs everybody."""

from __future__ import annotations

from msgspec import Struct


class Delays(Struct):
    """Counted in place, in seconds."""

    count: int = 0
    total_s: float = 0.0
    most_s: float = 0.0

    def add(self, late_s: float) -> None:
        late_s = max(0.0, late_s)
        self.count += 1
        self.total_s += late_s
        self.most_s = max(self.most_s, late_s)
