"""How many files and sockets a process of ours may have open."""

from __future__ import annotations

import resource


def raise_limit(wanted: int) -> int:
    """Raise the limit to `wanted` as far as the system allows it, and never lower it; returns what it is now.

    What is unlimited counts as `wanted`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems allow less than they say
        return soft
    return wanted
