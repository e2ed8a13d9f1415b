"""A daemon that is older than the pin: said, and asked to update itself, once per run of the app (spec 08 FE-3.21)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import trio

from myownllm.errors import AppError
from myownllm.supervisor.updating import runner, update_to_pin, updater_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from myownllm.client import MeshClient
    from myownllm.coerce import JsonObject
    from myownllm.door.server import Door
    from myownllm.supervisor import Supervisor
    from myownllm.supervisor.binaries import Candidate
    from myownllm.supervisor.updating import UpdateResult

NO_PROGRAM: Final = (
    "no program that this app may update: the daemon's is unknown, or a variable names it; update it where it came from"
)
GIVEN_UP: Final = "it was given up before its end, by whoever had asked for it"


class DaemonUpdate:
    """Made once per app."""

    def __init__(
        self,
        client: MeshClient,
        supervisor: Supervisor,
        candidates: Callable[[], Sequence[Candidate]],
        own_home: Path,
    ) -> None:
        self._client, self._supervisor = client, supervisor
        self._candidates, self._own_home = candidates, own_home
        self._one_at_a_time = trio.Lock()

    def install(self, door: Door) -> None:
        """Answer `update_to_pin`."""

        async def again(_: JsonObject) -> JsonObject:
            return (await self.update()).to_json()

        door.operation("update_to_pin", again)

    async def run(self) -> None:
        """Wait for a daemon that is too old; the rest of the app goes on meanwhile."""
        await self._client.watch.until(lambda state: not state.meets_pin)
        try:
            result = await self.update()
        except AppError as error:
            self._client.note("warn", str(error))
        else:
            self._client.note("info" if result.succeeded else "warn", result.detail)

    async def update(self) -> UpdateResult:
        """Have the connected daemon's updater look, and put in what it found if the daemon is ours. Raises AppError."""
        async with self._one_at_a_time:
            return await self._update()

    async def _update(self) -> UpdateResult:
        connection = self._supervisor.connection
        if connection is None:
            raise AppError("no mesh daemon is connected")
        binary = updater_of(connection.binary, self._candidates())
        if binary is None:
            self._client.show_update("failed", NO_PROGRAM)
            raise AppError(NO_PROGRAM)
        own = connection.mode == "own_llm"
        self._client.show_update("updating", str(binary))
        try:
            result = await update_to_pin(binary, runner(os.environ, self._own_home if own else None), own=own)
        except BaseException:  # also in a group, as processes are waited for
            self._client.show_update("failed", GIVEN_UP)
            raise
        self._client.show_update("done" if result.succeeded else "failed", result.detail)
        return result
