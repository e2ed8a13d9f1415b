"""The packed daemon's updates while it runs: it shows that the version it is works, and looks for the next one."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

from mesh_common.client import blocking
from mesh_common.client.errors import ControlError
from mesh_common.version import VERSION
from myownmesh.mesh.errors import MeshError
from myownmesh.updates import probation, schedule
from myownmesh.updates.errors import UpdateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myownmesh.mesh.mesh import Mesh
    from myownmesh.updates.service import Updates

LOOK_AGAIN_S = 600.0
"""Between looks at configuration and clock: both may have changed, and a machine may have slept."""
ASK_S, ASK_AGAIN_S = 10.0, 2.0
"""For an answer of our own socket, and after none."""

log = logging.getLogger(__name__)


class Updating:
    """Runs beside the mesh of a packed daemon; one of a Python installation has none.

    `draw` is a number from 0 to 1.
    """

    def __init__(self, updates: Updates, mesh: Mesh, socket_path: Path, draw: Callable[[], float]) -> None:
        self._updates, self._mesh, self._socket_path = updates, mesh, socket_path
        self._draw = draw
        self._on_probation = False
        """Our own socket has answered, and the time that shows that it stays so is not over."""

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._prove)
            nursery.start_soon(self._look)

    def stopping(self) -> None:
        """This start ends in order, so it does not count against an unconfirmed version that has served."""
        if self._on_probation:
            self._note(probation.stopped_in_order)

    async def _prove(self) -> None:
        await self._until_it_answers()
        self._on_probation = True
        await trio.sleep(probation.CONFIRM_AFTER_S)
        self._on_probation = False
        if await trio.to_thread.run_sync(self._note, probation.confirm):
            log.info("version %s has shown that it works", VERSION)
        await trio.to_thread.run_sync(self._note, probation.forget_previous)

    async def _until_it_answers(self) -> None:
        while not await trio.to_thread.run_sync(self._answers):  # noqa: ASYNC110 - nobody tells us that we answer
            await trio.sleep(ASK_AGAIN_S)

    def _answers(self) -> bool:
        try:
            blocking.request(self._socket_path, "status", timeout=ASK_S)
        except ControlError:
            return False
        return True

    def _note(self, what: Callable[..., bool]) -> bool:
        try:
            return what(self._updates.place, self._updates.installation, VERSION)
        except OSError as error:
            log.warning("the state of the last update cannot be written down: %s", error)
            return False

    async def _look(self) -> None:
        await trio.sleep(schedule.first(self._draw))
        while True:
            try:
                await self._look_if_due()
            except (MeshError, UpdateError) as error:
                log.warning("no update could be looked for: %s", error)
            await trio.sleep(LOOK_AGAIN_S)

    async def _look_if_due(self) -> None:
        preferences = (await self._mesh.config_on_disk()).auto_update
        if not self._updates.may_look(preferences):
            return
        wait = await trio.to_thread.run_sync(partial(self._due_in, preferences.check_interval_hours))
        if wait > LOOK_AGAIN_S:
            return
        await trio.sleep(wait)
        found = await self._updates.check(preferences)
        if found.outcome == "staged":
            log.info("version %s is fetched and verified; %s", found.version, _what_next(auto=found.auto is True))
        await trio.to_thread.run_sync(self._note, probation.forget_previous)

    def _due_in(self, interval_h: int) -> float:
        place = self._updates.place
        return schedule.due_in(
            time.time(),
            last_check=place.last_check(),
            failures=place.failures(),
            interval_h=interval_h,
            draw=self._draw,
        )


def _what_next(*, auto: bool) -> str:
    return "it runs from the next start on" if auto else "`myownmesh update apply` puts it in"
