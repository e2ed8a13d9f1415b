"""Writes a value to disk off the event loop, the newest version only, one write at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from mesh_common.switching import program_goes_on
from myownmesh.mesh.errors import MeshError
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

T = TypeVar("T")


class Saver(Generic[T]):
    """Coalesces `request`s into writes; `flush` waits for the one that covers everything requested before."""

    def __init__(self, current: Callable[[], T], write: Callable[[T], None]) -> None:
        self._current = current
        self._write = write
        self._requested = 0
        self._written = 0
        self._error: str | None = None
        self._wake = trio.Event()
        self._cycle_done = trio.Event()

    def request(self) -> None:
        """Ask for the current value to be written soon."""
        self._requested += 1
        self._wake.set()

    async def run(self) -> None:
        """Write whenever asked, until cancelled. A write that has begun is finished."""
        while True:
            await self._wake.wait()  # no deadline: there may be nothing to write for days
            self._wake = trio.Event()
            covers, value = self._requested, self._current()
            # A torn save would be retried in `finish`, and a thread cannot be stopped.
            with trio.CancelScope(shield=True), program_goes_on():
                self._error = await trio.to_thread.run_sync(self._try_write, value)
            self._done(covers)

    async def flush(self) -> None:
        """Wait until everything requested so far is written. Raises `MeshError` with the reason when it failed.

        After a failure this tries again: the disk may have room by now.
        """
        if self._error is not None and self._written == self._requested:
            self.request()
        goal = self._requested
        while self._written < goal:
            await self._cycle_done.wait()  # bounded by one file write; `run` ends only with the network
        if self._error is not None:
            raise MeshError(self._error)

    def finish(self) -> None:
        """Write what is still outstanding or has failed, now."""
        if self._written < self._requested or self._error is not None:
            self._error = self._try_write(self._current())
            self._done(self._requested)

    def _done(self, covers: int) -> None:
        self._written = covers
        self._cycle_done.set()
        self._cycle_done = trio.Event()

    def _try_write(self, value: T) -> str | None:
        try:
            self._write(value)
        except StoreError as error:
            log.error("%s", error)
            return str(error)
        return None
