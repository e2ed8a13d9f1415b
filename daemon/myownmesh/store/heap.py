"""Memory that was needed for a moment goes back to the system (Linux with glibc, which keeps it otherwise)."""

from __future__ import annotations


def give_back() -> None:
    """Have the allocator return what is free: milliseconds, for a thread that has just dropped megabytes.

    Where there is no such call nothing happens.
    """
    import ctypes  # half a megabyte that a daemon without a large log does without

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
