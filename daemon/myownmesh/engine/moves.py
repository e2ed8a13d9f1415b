"""What may happen to this machine's network, as far as links care (spec 04 §7.7)."""

from __future__ import annotations

from enum import Enum


class Move(Enum):
    OFFLINE = "offline"
    """No usable address and no route is left."""
    ONLINE = "back online"
    MOVED = "network changed"
    """Packets to the internet come from another address than before, or, where nothing leads there, any address is
    another one."""
    SHIFTED = "addresses changed"
    """Others than that came or went: links that live are asked, and only those that do not answer are restarted."""
