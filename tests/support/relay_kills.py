"""One relay, or two on a bus, with a crowd: a part is killed or stopped, and what that did to the members."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from myownmesh.relay.presence import LEAVE_DELAY_S
from support.relay_crowd import Crowd
from support.relay_workers import Redis, Relay, wait_until_joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.relay_workers import Process

RESTART_S: Final = 1.0
"""After which the daemon starts another one in place of a relay that has ended."""
BEFORE_S: Final = 2.0
SETTLED_S: Final = 3.0
"""All that is said for so long is heard by everybody: the rooms are whole."""
LIMIT_S: Final = 180.0


@define
class Outcome:
    """Of one kill or stop; all times in seconds from its beginning."""

    what: str
    back_s: float
    """Until every member was in again."""
    whole_s: float
    """When the last thing was said that somebody missed; what is said later reaches all within a second."""
    said: int
    missed: int
    """Deliveries to who was in all the time, from who was: nobody heard them, and never will."""
    unreplayed: int
    """Stored things that were said while somebody was cut off, and that it was not told afterwards."""
    cut: int
    """What else was lost with connections."""
    twice: int
    """How many heard the same thing twice over one connection."""
    told_left: int
    """How often somebody was told that one had left who was not gone for good."""
    wrong: int
    """How many believe at the end that somebody is away who is there."""
    slowest_s: float
    """From saying to hearing."""
    memory_mb: tuple[float, ...]
    problems: list[str]
    """What the relays said of it."""


@frozen
class Fault:
    part: str
    """`a`, `b` or `redis`."""
    how: int
    """A signal: SIGKILL, or SIGSTOP."""
    for_s: float
    """After which it is started or goes on."""

    def __str__(self) -> str:
        how = "kill -9" if self.how == signal.SIGKILL else "SIGSTOP"
        return f"{how} of {self.part}, {self.for_s:g} s"


class World:
    """Relays and their members. The second half of a room is at the second relay, if there is one."""

    def __init__(self, folder: Path, count: int, *, is_one: bool) -> None:
        self.redis = None if is_one else Redis(folder)
        url = None if self.redis is None else self.redis.url
        self.relays = [Relay(url)] if is_one else [Relay(url), Relay(url)]
        self.crowd = Crowd(count)
        if not is_one:
            wait_until_joined(*self.relays)
        self.memory_before = self.memory_mb
        ports = [each.port for each in self.relays]
        for member in self.crowd.members:
            self.crowd.comes(member, ports, member.number)

    def close(self) -> None:
        self.crowd.close()
        for each in (*self.relays, *filter(None, [self.redis])):
            each.send_signal(signal.SIGCONT)
            each.kill()

    @property
    def memory_mb(self) -> tuple[float, ...]:
        parts: list[Process] = [*self.relays, *filter(None, [self.redis])]
        return tuple(each.memory_kb / 1024 for each in parts)

    def all_come(self, limit_s: float = LIMIT_S) -> float:
        """Seconds until everybody is in."""
        began = time.monotonic()
        assert self.crowd.run(self.crowd.are_all_in, limit_s), f"{len(self.crowd.away)} members are not in"
        return time.monotonic() - began

    def all_go_home(self) -> None:
        assert self.crowd.go_home([each.port for each in self.relays], LIMIT_S)
        self.crowd.run_for(LEAVE_DELAY_S)

    def suffer(self, fault: Fault, rate: float) -> Outcome:
        """The rooms talk while it happens, until they are whole again. Raises AssertionError if they never are."""
        crowd = self.crowd
        self.all_go_home()
        crowd.forget()
        for each in self.relays:
            each.problems.clear()
        crowd.rate = rate
        crowd.run_for(BEFORE_S)
        began = time.monotonic()
        part = self.begin(fault)
        crowd.run_for(fault.for_s)
        self.end(fault, part)
        crowd.run(crowd.are_all_in, LIMIT_S)
        back_s = time.monotonic() - began
        whole_at = self._until_whole(began)
        crowd.rate = 0.0
        crowd.run(lambda: not crowd.missing(), 2 * SETTLED_S)
        missed, unreplayed, cut = crowd.losses()
        return Outcome(
            what=str(fault),
            back_s=back_s,
            whole_s=whole_at - began,
            said=len(crowd.sent),
            missed=missed,
            unreplayed=unreplayed,
            cut=cut,
            twice=sum(each.twice for each in crowd.members),
            told_left=sum(len(each.told_left) for each in crowd.members),
            wrong=crowd.wrongly_left(),
            slowest_s=max(crowd.delays, default=0.0),
            memory_mb=self.memory_mb,
            problems=[problem for each in self.relays for problem in each.problems],
        )

    def begin(self, fault: Fault) -> Process:
        part = self._part(fault.part)
        if fault.how == signal.SIGKILL:
            part.kill()
        else:
            part.send_signal(fault.how)
        return part

    def end(self, fault: Fault, part: Process) -> None:
        if fault.how != signal.SIGKILL:
            part.send_signal(signal.SIGCONT)
        elif isinstance(part, Redis):
            part.start()
        else:
            assert isinstance(part, Relay)
            self.relays[self.relays.index(part)] = Relay(part.bus, part.port)

    def _part(self, name: str) -> Process:
        if name == "redis":
            assert self.redis is not None
            return self.redis
        return self.relays[ord(name) - ord("a")]

    def _until_whole(self, began: float) -> float:
        """Everybody hears all that is said for a while; when that began."""
        crowd, end = self.crowd, time.monotonic() + LIMIT_S
        since = time.monotonic()
        while time.monotonic() < end:
            crowd.run_for(0.5)
            now = time.monotonic()
            due = [at for number in crowd.missing() if since <= (at := crowd.sent[number][0]) < now - 1.0]
            if due or not crowd.are_all_in():
                since = max(due, default=now) + 0.001
            elif now - since > SETTLED_S:
                return since
        raise AssertionError(f"rooms are not whole {time.monotonic() - began:.0f} s later: {crowd.losses()}")


def stay_away(world: World, count: int, fault: Fault | None = None) -> tuple[float, float]:
    """So many members of the first relay end for good; when everybody else hears of it, first and last, in seconds.

    They hang up, or do not come back after a fault of their relay.
    """
    crowd = world.crowd
    world.all_go_home()
    crowd.forget()
    going = [each for each in crowd.members if each.number % 2 == 0][:count]
    gone: dict[str, set[str]] = {each.room: set() for each in going}
    for each in going:
        gone[each.room].add(each.device)
    began = time.monotonic()
    part = None if fault is None else world.begin(fault)
    for each in going:
        crowd.goes(each)
    if fault is not None and part is not None:
        world.end(fault, part)
    others = [each for each in crowd.members if each.room in gone and not each.stays_away]
    assert crowd.run(lambda: all(gone[each.room] <= each.left.keys() for each in others), LIMIT_S), "somebody knows not"
    times = [at - began for each in others for who, at in each.told_left if who in gone[each.room]]
    return min(times), max(times)


@contextmanager
def world(folder: Path, count: int, *, is_one: bool) -> Iterator[World]:
    made = World(folder, count, is_one=is_one)
    try:
        yield made
    finally:
        made.close()
