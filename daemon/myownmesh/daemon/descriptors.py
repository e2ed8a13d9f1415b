"""How many files and sockets this process may have open, and how they are shared out."""

from __future__ import annotations

import resource

WANTED = 4096
"""Enough for all clients, relays and peers at once; some systems start programs with 256."""

CLIENTS_AT_MOST = 512
"""Programs keep one connection to a handful open."""


def raise_limit() -> int:
    """Raise the limit as far as is useful and allowed; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems allow less than they say
        return soft
    return wanted


def share_for_clients(limit: int) -> int:
    """Connections that local clients of one user may hold: never so many that the mesh has none left."""
    return max(1, min(CLIENTS_AT_MOST, limit // 2))
