"""When the screen is loaded: once the mesh is on its way, in a thread, or at once for a command that asks for it.

A person waits for the mesh first, and loading the screen takes a thirtieth of the processor time of a start.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from myownllm.errors import DoorError
from myownllm.ui.settings import UiSettings
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.app import App
    from myownllm.coerce import JsonObject
    from myownllm.ui.launch import Screen

OPERATIONS: Final = ("ui_link", "ui_revoke", "remote", "remote_pair", "remote_kick")
"""What commands ask of it."""
AT_LATEST_S: Final = 1.0
"""A mesh that is not joined by then waits for something else than this processor: a relay, a daemon, a person."""
LOADING_S: Final = 15.0
"""A command that asks for a screen waits so long for it to be loaded."""


class Opening:
    """Made once per app; `run` must be running. `tell` is told as by `launch.Screen`."""

    def __init__(self, app: App, tell: Callable[[str, str], None]) -> None:
        self._app, self._tell = app, tell
        self._asked = trio.Event()
        self._screen: Watch[Screen | None] = Watch(None)
        for name in OPERATIONS:
            app.door.operation(name, partial(self._ask, name))

    @property
    def should_call(self) -> bool:
        """Whether a knock is for the desktop to tell: no tab is open, and a person has not turned that off."""
        screen = self._screen.value
        return UiSettings.read(self._app.live.sections).notifications if screen is None else screen.should_call

    async def run(self) -> None:
        """Load the screen and keep it, until cancelled."""
        with trio.move_on_after(AT_LATEST_S):
            await self._until_wanted()
        launch: Any = await trio.to_thread.run_sync(importlib.import_module, "myownllm.ui.launch")
        screen: Screen = launch.Screen(self._app, self._tell)
        self._screen.set(screen)
        await screen.run()

    async def _until_wanted(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_joined, nursery.cancel_scope)
            await self._asked.wait()
            nursery.cancel_scope.cancel()

    async def _until_joined(self, scope: trio.CancelScope) -> None:
        while self._app.client.state.status != "online":
            await self._app.client.watch.changed()
        scope.cancel()

    async def _ask(self, name: str, members: JsonObject) -> Any:
        self._asked.set()
        with trio.move_on_after(LOADING_S):
            await self._screen.until(lambda s: s is not None)
        if self._screen.value is None:
            raise DoorError("busy", "the screen is not loaded yet; try again in a moment")
        return await self._screen.value.operations[name](members)
