"""Programs that are started with their own process group, so that nothing they leave behind outlives us."""

from __future__ import annotations

import os


def alive(pid: int) -> bool:
    """Whether a process of this number exists, be it ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
