"""What becomes of thousands of members when a part is killed or stopped: the rows of `bench_services.py --kills`.

One relay, then two on a Redis of their own, each with the same members in rooms of ten; rooms say a hundred things in
a second meanwhile. Two must be no worse than one.
"""

from __future__ import annotations

import resource
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.relay_kills import Fault, stay_away, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.relay_kills import Outcome, World

RATE: Final = 100.0
GOING: Final = 100
STOPS_S: Final = (5.0, 20.0)
"""Shorter and longer than a relay may be silent."""
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


def faults(*, is_one: bool) -> Iterator[Fault]:
    for part in ("a",) if is_one else ("a", "b", "redis"):
        yield Fault(part, KILL, 1.0)
        for seconds in STOPS_S:
            yield Fault(part, STOP, seconds)


def kill_rows(count: int) -> Iterator[str]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for is_one in (True, False):
        folder = Path(tempfile.mkdtemp())
        try:
            with world(folder, count, is_one=is_one) as made:
                yield from _rows("one relay" if is_one else "two relays", made, is_one=is_one)
        finally:
            shutil.rmtree(folder)


def _rows(name: str, made: World, *, is_one: bool) -> Iterator[str]:
    before, taken = made.memory_before, made.all_come()
    made.crowd.run_for(2.0)
    memory = f"{_mb(before)} -> {_mb(made.memory_mb)}"
    yield f"{name}: {len(made.crowd.members):,} members are in after {taken:.1f} s; {memory}"
    for fault in faults(is_one=is_one):
        yield f"{name}: {told(made.suffer(fault, RATE))}"
    first, last = stay_away(made, GOING)
    yield f"{name}: {GOING} hang up: all others know after {first:.1f} to {last:.1f} s (6)"
    if not is_one:
        first, last = stay_away(made, 2 * GOING, Fault("a", KILL, 1.0))
        yield f"{name}: {GOING} of a killed one stay away: all others know after {first:.1f} to {last:.1f} s (15)"


def told(seen: Outcome) -> str:
    return (
        f"{seen.what}: all in after {seen.back_s:.1f} s, rooms whole after {seen.whole_s:.1f} s; of {seen.said} said "
        f"{seen.missed} deliveries missed, {seen.unreplayed} not replayed, {seen.cut} cut off, "
        f"{seen.twice} twice, the slowest {seen.slowest_s:.1f} s; told of leaves "
        f"{seen.told_left}, wrong at the end {seen.wrong}; {_mb(seen.memory_mb)}"
        + "".join(f"; '{each.rpartition(': ')[2]}'" for each in seen.problems)
    )


def _mb(each: tuple[float, ...]) -> str:
    return " + ".join(f"{one:.0f}" for one in each) + " MB"
