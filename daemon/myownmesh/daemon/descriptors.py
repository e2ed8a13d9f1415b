"""How many files and sockets this process may have open, and how they are shared out."""

from __future__ import annotations

WANTED = 4096
"""Enough for all clients, relays and peers at once; some systems start programs with 256."""

CLIENTS_AT_MOST = 512
"""Programs keep one connection to a handful open."""


def share_for_clients(limit: int) -> int:
    """Connections that local clients of one user may hold: never so many that the mesh has none left."""
    return max(1, min(CLIENTS_AT_MOST, limit // 2))
