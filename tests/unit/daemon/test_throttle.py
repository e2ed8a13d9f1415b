"""A flood of one kind of line stays small and is counted (field report 9)."""

from __future__ import annotations

import json
import logging
import os
import re

from attrs import define

from myownmesh.daemon.logs import Background, JsonLines, Text
from myownmesh.daemon.throttle import BURST, LINES_PER_S, TELL_AFTER_S, Throttle, left_out


@define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def record(place: int = 1, level: int = logging.INFO, text: str = "joined network n") -> logging.LogRecord:
    return logging.LogRecord("myownmesh.x", level, "mesh.py", place, text, (), None)


def test_a_burst_passes_whole_and_a_flood_does_not() -> None:
    throttle = Throttle(Clock())
    assert [throttle.filter(record()) for _ in range(BURST + 100)] == [True] * BURST + [False] * 100


def test_a_line_that_passes_again_carries_the_count() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(BURST + 100):
        throttle.filter(record())
    clock.now += 1 / LINES_PER_S
    passed = record()
    assert throttle.filter(passed)
    assert left_out(passed) == 100
    assert not throttle.is_holding_back


def test_a_flood_of_one_place_hides_no_other_and_no_debug_line() -> None:
    throttle = Throttle(Clock())
    for _ in range(BURST + 1):
        throttle.filter(record(place=1))
    assert throttle.filter(record(place=2))
    assert all(throttle.filter(record(place=1, level=logging.DEBUG)) for _ in range(10 * BURST))


def test_an_hour_of_flood_is_bounded_by_the_rate() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    passed = 0
    for _ in range(36_000):
        clock.now += 0.1
        passed += throttle.filter(record())
    assert passed <= BURST + 3600 * LINES_PER_S


def test_the_count_is_told_when_the_flood_has_ended() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for number in range(BURST + 7):
        throttle.filter(record(text=f"line {number}"))
    assert throttle.overdue() == []
    clock.now += TELL_AFTER_S
    [last] = throttle.overdue()
    assert (last.getMessage(), left_out(last)) == (f"line {BURST + 6}", 6)
    assert throttle.overdue() == []


def test_the_background_writer_tells_the_count_by_itself_and_at_the_end() -> None:
    reader, writer = os.pipe()
    handler = Background(writer)
    handler.setFormatter(Text(colour=False))
    for _ in range(BURST + 1000):
        handler.emit(record())
    handler.flush()
    lines = os.read(reader, 1 << 20).decode().splitlines()
    assert len(lines) == BURST + 1
    assert lines[-1].endswith("joined network n (left out before it: 999 more of these)")
    os.close(reader)
    handler.emit(record(place=2))
    handler.flush()
    os.close(writer)


def test_what_somebody_asked_for_is_whole() -> None:
    throttle = Throttle(Clock())
    asked = record()
    asked.name = "conn_trace"
    assert all(throttle.filter(asked) for _ in range(10 * BURST))


def test_json_lines_carry_the_count_as_a_field() -> None:
    told = record()
    vars(told)["left_out"] = 12
    assert json.loads(JsonLines().format(told))["fields"] == {"message": "joined network n", "left_out": 12}
    assert re.search(r"12 more", Text(colour=False).format(told))
