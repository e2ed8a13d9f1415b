"""How many permissions and channels everybody holds: an allocation may have many, all of them together may not.

A hundred and twenty-eight of each cost 55 KB. Four thousand allocations that are filled to their bounds would be
230 MB, so they share what a busy server needs, and nobody takes more than a share of that.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mesh_common.addresses import is_loopback
from myownmesh.turn.binding import address_of

if TYPE_CHECKING:
    from myownmesh.turn.allocation import Allocation
    from myownmesh.turn.limits import Limits


class Grants:
    """The permissions and channels of one server, by who has them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.total = 0
        self._by_holder: Counter[object] = Counter()

    def has_room_for(self, allocation: Allocation, more: int) -> bool:
        """Whether this allocation may have so many more; what is only renewed is none more."""
        limits, held = self._limits, self._by_holder
        if not more:
            return True
        if self.total + more > limits.grants or held[allocation.user.account] + more > limits.grants_per_user:
            return False
        # A proxy on this machine brings clients from everywhere.
        of_address = held[allocation.household] + more <= limits.grants_per_address
        return of_address or is_loopback(address_of(allocation.client)[0])

    def settle(self, allocation: Allocation, held: int) -> None:
        """Count what this allocation holds now; 0 when it ends."""
        change = held - allocation.counted
        if not change:
            return
        allocation.counted = held
        self.total += change
        for holder in (allocation.user.account, allocation.household):
            self._by_holder[holder] += change
            if not self._by_holder[holder]:
                del self._by_holder[holder]
