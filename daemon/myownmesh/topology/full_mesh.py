"""Full mesh: everybody prefers everybody (spec 04 §8.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Container


class _Everybody:
    """Contains whatever it is asked for, so that nothing grows with the room."""

    def __contains__(self, member: object) -> bool:
        return True


_EVERYBODY: Final = _Everybody()


def preferred(_me: str, _members: Collection[str]) -> Container[str]:
    return _EVERYBODY


def edge(_me: str, _peer: str, _members: Collection[str]) -> bool:
    return True
