"""A clock that is wrong makes entries that wait or lose (spec 02 §24.3 no. 57)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.protocol.transitions import KindChange, RoleGrant

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Variant

CLOCK_SECONDS: Final = 300
"""A clock that is no further off does little harm."""


def waits_for_clock(variant: Variant, ahead_s: float) -> bool:
    """Whether a clock that is `ahead_s` seconds ahead of others' (negative: behind) keeps a change from being authored,
    unless it is forced.

    Removals never wait: two hostile peers must not stop an eviction.
    """
    return abs(ahead_s) > CLOCK_SECONDS and isinstance(variant, RoleGrant | KindChange)
