"""The devices that a network has let in, as this device remembers them."""

from __future__ import annotations

from myownmesh.roster.entry import Entry
from myownmesh.roster.roster import MAX_ENTRIES, Roster

__all__ = ["MAX_ENTRIES", "Entry", "Roster"]
