"""A clock that is wrong makes entries that wait or lose (spec 02 §24.3 no. 57)."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from myownmesh.protocol.transitions import KindChange, RoleGrant

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.protocol.transitions import Variant

CLOCK_SECONDS: Final = 300


def clock_off_by(offsets: Collection[float]) -> int:
    """By how many seconds this device's clock is ahead of rostered peers' (negative: behind), 0 if it is well enough.

    `offsets`: of each peer, own minus its time, in seconds. One peer is enough to warn.
    """
    off = round(median(offsets)) if offsets else 0
    return off if abs(off) > CLOCK_SECONDS else 0


def waits_for_clock(variant: Variant) -> bool:
    """Whether a wrong clock keeps a change from being authored, unless it is forced.

    Removals never wait: two hostile peers must not stop an eviction.
    """
    return isinstance(variant, RoleGrant | KindChange)
