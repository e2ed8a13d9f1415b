"""The screen for the life of an app: loaded when its extra is installed, opened, and its links handed out.

What the extra brings takes 10 MB and a sixth of a second of a processor, so it is loaded for the first browser that
comes: the port is open before, and a connection waits in its backlog.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from typing import TYPE_CHECKING, Any, Final

import trio

from mesh_common.installation import how_to_add
from myownllm.errors import DoorError
from myownllm.ui.guard import Place
from myownllm.ui.port import open_port
from myownllm.ui.remote.launch import Remote
from myownllm.ui.sessions import Sessions
from myownllm.ui.settings import UiSettings
from myownllm.ui.uploads import tidy
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from myownllm.app import App
    from myownllm.coerce import JsonObject

    Operation = Callable[[JsonObject], Awaitable[JsonObject]]

PARTS: Final = ("anycorn", "starlette")
OPENING_S: Final = 15.0
"""A command that asks for a link waits so long for the screen to open."""


class Screen:
    """Made once per app; `run` must be running.

    `tell(url, note)` is told a link once the screen is open, and what a person should know of it; no link: why not.
    """

    def __init__(self, app: App, tell: Callable[[str, str], None]) -> None:
        self._app, self._tell = app, tell
        self._place: Watch[Place | None] = Watch(None)
        self._sessions = Sessions(app.home.sessions_file, time.time)
        self._settings = Watch(UiSettings.read(app.live.sections))
        self._problem = ""
        self._remote = Remote(app)
        app.live.on_sections.append(self._use)
        self.operations: dict[str, Operation] = {
            "ui_link": self._link,
            "ui_revoke": self._revoke,
            **self._remote.operations,
        }
        """what commands ask of it, by name"""

    def _use(self, sections: JsonObject) -> None:
        settings = UiSettings.read(sections)
        if settings != self._settings.value:
            self._problem = ""  # whoever asks for a link from now on waits for what comes of these settings
            self._settings.set(settings)

    @property
    def should_call(self) -> bool:
        """Whether a knock is for the desktop to tell: no tab is open, and a person has not turned that off."""
        return self._settings.value.notifications and self._sessions.tabs == 0

    async def run(self) -> None:
        """Keep the screen, and the remote one, open as the configuration says, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._remote.run)
            nursery.start_soon(self._run)

    async def _run(self) -> None:
        while True:
            settings = self._settings.value
            async with trio.open_nursery() as nursery:
                if settings.enabled:
                    nursery.start_soon(self._keep_open, settings)
                else:
                    self._problem = "the screen is off (`ui.enabled` in config.json)"
                await self._settings.changed()
                nursery.cancel_scope.cancel()

    async def _keep_open(self, settings: UiSettings) -> None:
        if any(importlib.util.find_spec(part) is None for part in PARTS):
            self._problem = f"the screen is not installed: {how_to_add('ui')}"
            self._tell("", self._problem)
            return
        await trio.lowlevel.checkpoint_if_cancelled()  # an app that is being stopped announces no screen any more
        try:
            listener = open_port(settings.port)
        except OSError as error:
            self._problem = f"the screen cannot listen on this machine: {error.strerror}"
            self._tell("", self._problem)
            return
        place = Place(listener.getsockname()[1])
        taken = settings.port not in (0, place.port)
        note = f"port {settings.port} is taken by another program" if taken else ""
        try:
            async with trio.open_nursery() as nursery:
                await tidy(self._app, nursery)
                self._place.set(place)
                self._tell(self._url(place), note)
                await trio.lowlevel.wait_readable(listener)
                serving: Any = await trio.to_thread.run_sync(importlib.import_module, "myownllm.ui.serving")
                await serving.serve(self._app, place, self._sessions, self._remote.watch, listener)
        finally:
            listener.close()
            self._place.set(None)

    def _url(self, place: Place) -> str:
        """A link that works once. What is behind `#` never leaves the browser."""
        return f"{place.origin}/#key={self._sessions.link_token()}"

    async def _link(self, _: JsonObject) -> JsonObject:
        """`{url}`: a new link to this app's screen."""
        with trio.move_on_after(0 if self._problem else OPENING_S):
            place = await self._place.until(lambda p: p is not None)
            assert place is not None
            return {"url": self._url(place)}
        raise DoorError("unsupported", self._problem or "the screen does not open; `myownllm status` shows the app")

    async def _revoke(self, _: JsonObject) -> JsonObject:
        """`{ended}`: every browser needs a new link."""
        ended = self._sessions.revoke()
        await trio.to_thread.run_sync(self._sessions.save)
        return {"ended": ended}
