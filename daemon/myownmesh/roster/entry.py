"""One row of a roster (spec 01 §15.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import field

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.protocol.frames import Role

_NOTHING: Final[Mapping[str, Any]] = {}
"""Of thousands of entries hardly one has members of later versions."""


class Entry(Value, frozen=True):
    """One device that was let in."""

    device_id: str
    """Bare id."""
    label: str
    """What the device says of itself, or what gossip or the person said before it did."""
    approved_at: int
    """Unix seconds of the first approval."""
    role: Role = "member"
    user_label: str | None = None
    """The name that this device's user gave it; shown before `label` and never sent."""
    seals: bool = False
    """It was seen to seal its signaling (spec 11 §2.1)."""
    by_hand: bool = False
    """A person at this device let it in, or an invitation that was given or taken here: not gossip, not
    `auto_approve`."""
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """Members of later versions, kept when the file is written again."""

    @property
    def shown_label(self) -> str:
        return self.user_label or self.label
