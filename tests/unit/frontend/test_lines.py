"""Lines for a reader that may be slow, stopped or gone."""

from __future__ import annotations

import threading

import pytest
import trio

from myownllm.cli import lines
from myownllm.cli.lines import LineQueue


class Reader:
    """Takes what is written, unless it is stopped."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.reads = threading.Event()
        self.reads.set()
        self.is_asked = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def take(self, text: str) -> None:
        self._token.run_sync_soon(self.is_asked.set)
        self.reads.wait()
        self.said += text.splitlines()


async def test_a_stopped_reader_costs_the_oldest_lines_and_is_told_how_many() -> None:
    reader = Reader()
    queue = LineQueue(lambda n: f"{n} lost", reader.take)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.pass_on)
        reader.reads.clear()
        queue.put("first")
        await reader.is_asked.wait()
        for number in range(lines.KEPT_LINES + 3):
            queue.put(str(number))
        reader.reads.set()
        await queue.finish()
        nursery.cancel_scope.cancel()
    assert reader.said[:3] == ["first", "3 lost", "3"]
    assert reader.said[-1] == str(lines.KEPT_LINES + 2)
    assert len(reader.said) == lines.KEPT_LINES + 2


async def test_long_lines_are_bounded_in_bytes_and_one_of_any_length_is_said() -> None:
    reader = Reader()
    queue = LineQueue(lambda n: f"{n} lost", reader.take)
    for letter in "abc":
        queue.put(letter * (lines.KEPT_BYTES // 2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.pass_on)
        await queue.finish()
        queue.put("d" * 2 * lines.KEPT_BYTES)
        await queue.finish()
        nursery.cancel_scope.cancel()
    assert [line[:6] for line in reader.said] == ["1 lost", "bbbbbb", "cccccc", "dddddd"]


@pytest.mark.heavy
async def test_the_end_does_not_wait_for_who_takes_nothing() -> None:
    reader = Reader()
    queue = LineQueue(str, reader.take)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.pass_on)
        reader.reads.clear()
        queue.put("said")
        await reader.is_asked.wait()
        queue.put("left behind")
        with trio.fail_after(lines.FAREWELL_S + 5):
            await queue.finish()
        nursery.cancel_scope.cancel()
    reader.reads.set()
    assert reader.said in ([], ["said"])
