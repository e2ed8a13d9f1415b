"""A daemon that is older than the pin: said, and asked to update itself, once per run of the app (spec 08 FE-3.21)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import attrs
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
NOT_CONNECTED: Final = "no mesh daemon is connected"
GIVEN_UP: Final = "it was given up before its end: this app stops"


@attrs.define(eq=False)
class _Run:
    """One run of the updater, and whoever waits for it."""

    ended: trio.Event = attrs.field(factory=trio.Event)
    result: UpdateResult | None = None
    failure: AppError | None = None


class DaemonUpdate:
    """Made once per app. The updater runs for the app: whoever asked for it and leaves does not end it half way."""

    def __init__(
        self,
        client: MeshClient,
        supervisor: Supervisor,
        candidates: Callable[[], Sequence[Candidate]],
        own_home: Path,
    ) -> None:
        self._client, self._supervisor = client, supervisor
        self._candidates, self._own_home = candidates, own_home
        self._nursery: trio.Nursery | None = None
        self._under_way: _Run | None = None

    def install(self, door: Door) -> None:
        """Answer `update_to_pin`."""

        async def again(_: JsonObject) -> JsonObject:
            return (await self.update()).to_json()

        door.operation("update_to_pin", again)

    async def run(self) -> None:
        """Carry updates out, the first by itself as soon as a daemon is too old; the rest of the app goes on."""
        async with trio.open_nursery() as self._nursery:
            await self._client.watch.until(lambda state: not state.meets_pin)
            try:
                result = await self.update()
            except AppError as error:
                self._client.note("warn", str(error))
            else:
                self._client.note("info" if result.succeeded else "warn", result.detail)
            await trio.sleep_forever()

    async def update(self) -> UpdateResult:
        """Have the connected daemon's updater look, and put in what it found if the daemon is ours. Raises AppError.

        One that is under way answers all who ask meanwhile.
        """
        if self._nursery is None:
            raise AppError(NOT_CONNECTED)
        if self._under_way is None:
            self._under_way = _Run()
            self._nursery.start_soon(self._carry_out, self._under_way)
        run = self._under_way
        await run.ended.wait()
        if run.failure is not None:
            raise run.failure
        assert run.result is not None
        return run.result

    async def _carry_out(self, run: _Run) -> None:
        try:
            run.result = await self._update()
        except AppError as error:
            run.failure = error
        finally:
            self._under_way = None
            run.ended.set()

    async def _update(self) -> UpdateResult:
        connection = self._supervisor.connection
        if connection is None:
            raise AppError(NOT_CONNECTED)
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
