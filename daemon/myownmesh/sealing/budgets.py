"""How often opening a message may be tried: it costs an agreement each time (spec 11 §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from myownmesh.sealing.devices import Device

OTHERS_PER_S: Final = 100
"""Of one network: whoever is not known by the key of its event. A bare id has no budget, anybody could use it up."""
ALL_PER_S: Final = 500


class Allowance:
    """What all networks of a process may try in a second."""

    def __init__(self) -> None:
        self._all = TokenBucket(ALL_PER_S, ALL_PER_S, 0.0)

    def take(self, mono: float) -> bool:
        return self._all.take(mono)


class Budgets:
    """Those of one network."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._others = TokenBucket(OTHERS_PER_S, OTHERS_PER_S, 0.0)

    def allows(self, device: Device | None, key: str, mono: float) -> bool:
        """Whether one more message may be tried, which came in an event of this key."""
        is_known = device is not None and device.newest is not None and device.newest.key == key
        bucket = device.budget if is_known and device is not None else self._others
        return bucket.take(mono) and self._allowance.take(mono)
