"""Limits of an idle machine on one that other programs use, too.

Six workers share two cores in the whole suite, and a limit in seconds would then judge the other five. So a limit is
stretched by as much as everybody on the machine was slowed down meanwhile: not at all where nobody stands in line.
"""

from __future__ import annotations

import glob
from pathlib import Path

from attrs import define, field


def thread_times() -> dict[str, tuple[int, int]]:
    """Each thread of this machine: nanoseconds that it ran, and that it stood in line for a processor."""
    found = {}
    # `Path.glob` raises for a process that ends meanwhile, before Python 3.13; this one passes it over.
    for path in glob.iglob("/proc/[0-9]*/task/*/schedstat"):  # noqa: PTH207
        try:
            ran, queued, _turns = Path(path).read_text("ascii").split()
        except (OSError, ValueError):
            continue  # it has ended
        found[path] = (int(ran), int(queued))
    return found


@define
class Contention:
    """What stands in line for a processor from when this is made. Linux tells it; elsewhere limits stay as they are."""

    _began: dict[str, tuple[int, int]] = field(init=False, factory=lambda: thread_times())  # looked up when it is made

    def stretched(self, seconds: float) -> float:
        """A limit of an idle machine, in seconds of this one since then."""
        ran = queued = 0
        for thread, now in thread_times().items():
            then = self._began.get(thread, (0, 0))
            ran += max(0, now[0] - then[0])
            queued += max(0, now[1] - then[1])
        return seconds * (ran + queued) / ran if ran else seconds
