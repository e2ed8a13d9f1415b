"""Receivers hear what was given up here, also when either side was away or was killed meanwhile (spec 10 §2.5)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import attrs
import trio

from mesh_common.client.errors import ControlError
from myownllm.errors import FAILURES
from myownllm.features.files.presence import knows, pause_s, refusal
from myownllm.transfer_files.notes import NOTES_MAX
from myownllm.transfers import offer

if TYPE_CHECKING:
    from myownllm.client import MeshClient
    from myownllm.client.operations import Operations
    from myownllm.transfer_files.notes import Notes, Sending

CALL_S: Final = 30.0
"""A receiver ends what runs and removes a file."""
WAITING_MAX: Final = NOTES_MAX
"""Of more than these a receiver keeps its half for a week, as it does when a sender never comes back."""


class Withdrawals:
    """Each is told when its receiver is there. What the app could not tell before it ended, the next one tells."""

    def __init__(self, client: MeshClient, operations: Operations, notes: Notes) -> None:
        self._client = client
        self._operations = operations
        self._notes = notes
        self._waiting = 0

    async def begin(self, noted: Sending) -> None:
        """A file whose receiver may hold a part of it will not come."""
        if self._waiting >= WAITING_MAX:
            await trio.to_thread.run_sync(self._notes.forget, noted)
            return
        self._waiting += 1
        withdrawn = attrs.evolve(noted, withdrawn=True)
        try:
            await trio.to_thread.run_sync(self._notes.save, withdrawn)
        except OSError as error:
            self._client.note("warn", f"that {noted.path} will not come is told until this app ends: {error.strerror}")
        self._client.start_soon(lambda: self._run(withdrawn))

    def go_on(self, withdrawn: Sending) -> None:
        """As `begin`, for one that is noted."""
        self._waiting += 1
        self._client.start_soon(lambda: self._run(withdrawn))

    async def _run(self, withdrawn: Sending) -> None:
        where = (withdrawn.network, withdrawn.peer, offer.WITHDRAW_FEATURE)
        try:
            for number in count():
                await self._client.watch.until(lambda state: knows(state, *where))
                if await self._tell(withdrawn):
                    break
                await trio.sleep(pause_s(number))
        finally:
            self._waiting -= 1
        await trio.to_thread.run_sync(self._notes.forget, withdrawn)

    async def _tell(self, withdrawn: Sending) -> bool:
        """Does the receiver know, or will it never?"""
        try:
            payload = withdrawn.offer.to_json()
            await self._operations.call(withdrawn.peer, offer.WITHDRAW, payload, timeout_s=CALL_S)
        except FAILURES as error:
            return isinstance(error, ControlError) and refusal(error) is not None
        return True
