"""Memory that was needed for a moment goes back to the system (Linux with glibc, which keeps it otherwise)."""

from __future__ import annotations

from typing import Final

_M_ARENA_MAX: Final = -8
"""Of glibc's malloc.h; others refuse a number that they do not know."""


def give_back() -> None:
    """Have the allocator return what is free: milliseconds, for a thread that has just dropped megabytes.

    Where there is no such call nothing happens.
    """
    import ctypes  # half a megabyte that a daemon without a large log does without

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_together() -> None:
    """Have threads from now on allocate from the heaps that there are: each of their own keeps megabytes of what they
    needed for a moment, wherever something small is left in it.

    Where there is no such call nothing happens.
    """
    import ctypes

    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_M_ARENA_MAX, 1)
