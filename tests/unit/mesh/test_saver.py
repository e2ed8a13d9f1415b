"""Writes off the loop: newest value only, nobody told that it is on disk before it is."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.saver import Saver
from myownmesh.store import StoreError


class Disk:
    def __init__(self) -> None:
        self.value = 0
        self.written: list[int] = []
        self.error: str | None = None
        self.may_write = threading.Event()
        self.may_write.set()

    def write(self, value: int) -> None:
        assert self.may_write.wait(10)
        if self.error is not None:
            raise StoreError(self.error)
        self.written.append(value)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def saver(disk: Disk) -> Saver[int]:
    return Saver(lambda: disk.value, disk.write)


async def test_flush_returns_when_the_value_is_on_disk(saver: Saver[int], disk: Disk, nursery: trio.Nursery) -> None:
    nursery.start_soon(saver.run)
    disk.value = 5
    saver.request()
    with trio.fail_after(5):
        await saver.flush()
    assert disk.written == [5]


async def test_flush_without_a_request_returns_at_once(saver: Saver[int]) -> None:
    with trio.fail_after(5):
        await saver.flush()


async def test_requests_during_a_write_become_one(saver: Saver[int], disk: Disk, nursery: trio.Nursery) -> None:
    nursery.start_soon(saver.run)
    disk.may_write.clear()
    saver.request()
    await trio.testing.wait_all_tasks_blocked()
    for value in (1, 2, 3):
        disk.value = value
        saver.request()
    disk.may_write.set()
    with trio.fail_after(5):
        await saver.flush()
    assert disk.written == [0, 3]


async def test_a_write_that_fails_is_told_and_tried_again(saver: Saver[int], disk: Disk, nursery: trio.Nursery) -> None:
    nursery.start_soon(saver.run)
    disk.error = "roster: write roster.json: No space left on device (os error 28)"
    saver.request()
    with trio.fail_after(5), pytest.raises(MeshError, match="No space left"):
        await saver.flush()
    disk.error = None
    saver.request()
    with trio.fail_after(5):
        await saver.flush()
    assert disk.written == [0]


async def test_flush_after_a_failure_tries_again_by_itself(
    saver: Saver[int], disk: Disk, nursery: trio.Nursery
) -> None:
    nursery.start_soon(saver.run)
    disk.error = "full"
    saver.request()
    for _ in range(2):
        with trio.fail_after(5), pytest.raises(MeshError, match="full"):
            await saver.flush()
    disk.error = None
    with trio.fail_after(5):
        await saver.flush()
    assert disk.written == [0]


async def test_finish_writes_what_has_failed(saver: Saver[int], disk: Disk, nursery: trio.Nursery) -> None:
    nursery.start_soon(saver.run)
    disk.error = "full"
    saver.request()
    with trio.fail_after(5), pytest.raises(MeshError, match="full"):
        await saver.flush()
    disk.error = None
    saver.finish()
    assert disk.written == [0]


def test_finish_writes_what_is_outstanding(saver: Saver[int], disk: Disk) -> None:
    saver.finish()
    assert disk.written == []
    saver.request()
    saver.finish()
    assert disk.written == [0]
