"""The remote screen for the life of an app: off unless the configuration says so; a port that is taken is tried again.

What serves it is loaded for the first browser that comes, so an app whose remote screen nobody uses pays for a port.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import time
from typing import TYPE_CHECKING, Any, Final

import trio
from msgspec.structs import replace

from mesh_common.installation import how_to_add
from myownllm.catalog.file import wall_ms
from myownllm.errors import DoorError
from myownllm.remote.lan import own_addresses
from myownllm.remote.pairing import Pairing
from myownllm.remote.settings import RemoteSettings
from myownllm.remote.state import RemoteState
from myownllm.ui.port import listen
from myownllm.ui.remote.guests import Guests
from myownllm.ui.sessions import Sessions
from myownllm.watch import Watch

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from myownllm.app import App
    from myownllm.coerce import JsonObject

PARTS: Final = ("anycorn", "starlette")
ADDRESS: Final = "0.0.0.0"
RETRY_S: Final = 30.0
"""A port that is taken is tried again so often."""
OPENING_S: Final = 15.0
"""A command waits so long for the port to open."""
ADDRESSES_S: Final = 30.0
"""How often it is looked which addresses this machine has."""


class Remote:
    """Made once per app; `run` must be running. `watch` is what screens show."""

    def __init__(self, app: App) -> None:
        settings = RemoteSettings.read(app.live.sections)
        self.watch = Watch(RemoteState(enabled=settings.enabled, port=settings.port))
        self._app, self._settings = app, Watch(settings)
        self._pairing = Pairing()
        self._sessions: Sessions | None = None
        self._guests: Guests | None = None
        self._server: Any = None
        app.live.on_sections.append(self._use)
        self.operations: dict[str, Callable[[JsonObject], Awaitable[JsonObject]]] = {
            "remote": self._look,
            "remote_pair": self._pair,
            "remote_kick": self._kick,
        }
        """what commands ask of it, by name"""

    def _use(self, sections: JsonObject) -> None:
        settings = RemoteSettings.read(sections)
        if settings != self._settings.value:
            self._say(enabled=settings.enabled, port=settings.port, running=False, reason="")
            self._settings.set(settings)

    async def run(self) -> None:
        """Keep it open as the configuration says, until cancelled."""
        while True:
            settings = self._settings.value
            self._say(
                enabled=settings.enabled,
                port=settings.port,
                running=False,
                reason="",
                addresses=(),
                guests=(),
            )
            async with trio.open_nursery() as nursery:
                if settings.enabled:
                    nursery.start_soon(self._keep_open, settings)
                await self._settings.changed()
                nursery.cancel_scope.cancel()

    async def _keep_open(self, settings: RemoteSettings) -> None:
        told = ""
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                if any(importlib.util.find_spec(part) is None for part in PARTS):
                    reason = f"the remote screen is not installed: {how_to_add('ui')}"
                else:
                    await self._serve(listen(settings.port, ADDRESS))
                    reason = "the remote screen has ended"
            except OSError as error:
                reason = _why(error, settings.port)
            if reason != told:
                self._app.client.note("warn", reason)
                told = reason
            self._say(running=False, reason=reason, addresses=(), guests=())
            await trio.sleep(RETRY_S)

    async def _serve(self, listener: socket.socket) -> None:
        try:
            port = listener.getsockname()[1]
            guests = self._guests = Guests(await self._kept_sessions(), self._changed)
            self._pairing.forget()
            self._say(running=True, reason="", port=port, addresses=_urls(port), guests=guests.rows())
            self._app.client.note("info", f"the remote screen is open to the local network at port {port}")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(guests.run)
                nursery.start_soon(self._follow_addresses, port)
                await trio.lowlevel.wait_readable(listener)
                serving, desk = await trio.to_thread.run_sync(self._load, port, guests)
                await serving.serve(desk, listener, self._began)
        finally:
            listener.close()
            self._guests = self._server = None
            self._pairing.forget()

    def _load(self, port: int, guests: Guests) -> tuple[Any, Any]:
        """What serves, and from what. Blocking: it imports."""
        serving = importlib.import_module("myownllm.ui.remote.serving")
        place = serving.guard.Place(port)
        assert self._sessions is not None
        talk = serving.routes.Talk()
        return serving, serving.routes.RemoteDesk(
            self._app, place, self._sessions, guests, self._pairing, self._tried, talk
        )

    def _began(self, server: Any) -> None:
        self._server = server

    async def _kept_sessions(self) -> Sessions:
        if self._sessions is None:
            self._sessions = await trio.to_thread.run_sync(Sessions, self._app.home.remote_sessions_file, time.time)
        return self._sessions

    async def _follow_addresses(self, port: int) -> None:
        while True:
            await trio.sleep(ADDRESSES_S)
            self._say(addresses=_urls(port))

    def _changed(self) -> None:
        if self._guests is not None:
            self._say(guests=self._guests.rows())

    def _tried(self, outcome: str, address: str) -> None:
        """Somebody has typed a code."""
        if outcome == "right":
            self._app.client.note("info", f"a browser at {address} was paired with the remote screen")
        elif outcome == "wrong":
            self._app.client.note("warn", f"a wrong pairing code came from {address}")
        self._say()

    def _say(self, **members: Any) -> None:
        """Tell who watches, if anything is different."""
        until = self._pairing.until(_now())
        code = None if until is None else wall_ms() + round((until - _now()) * 1000)
        before = self.watch.value
        if code is not None and before.code_until_ms is not None and abs(code - before.code_until_ms) < 1000:
            code = before.code_until_ms  # the same code, by a clock that was read a moment later
        state = replace(before, code_until_ms=code, code_voided=self._pairing.voided, **members)
        if state != before:
            self.watch.set(state)

    # ── what commands and the screen of this machine ask ──────────────────────────────────────────────────────────────

    async def _look(self, _: JsonObject) -> JsonObject:
        """`RemoteState`, when it is clear whether the port could be opened."""
        with trio.move_on_after(OPENING_S):
            await self.watch.until(lambda s: not s.enabled or s.running or bool(s.reason))
        return self.watch.value.to_json()

    async def _pair(self, _: JsonObject) -> JsonObject:
        """`RemoteState` and a `code` that lets one browser in."""
        state = await self._look({})
        if not state["running"]:
            raise DoorError("conflict", state["reason"] or "the remote screen is off: `myownllm settings remote on`")
        code, _until = self._pairing.show(_now())
        self._say()
        return {**self.watch.value.to_json(), "code": code}

    async def _kick(self, members: JsonObject) -> JsonObject:
        """`{ended}`: put out the browser `id`, or with null all of them."""
        guest = members.get("id")
        sessions = await self._kept_sessions()
        guests = self._guests or Guests(sessions, self._changed)
        ended = guests.kick(None if guest is None else str(guest))
        if guest is not None and not ended:
            raise DoorError("not_found", f"no paired browser is called '{str(guest)[:40]}'")
        for session in ended if self._server is not None else ():
            self._server.end(session)
        await trio.to_thread.run_sync(sessions.save)
        return {"ended": len(ended)}


def _now() -> float:
    """Seconds, of a clock that nobody sets: a code must not live longer for that."""
    return trio.current_time()


def _urls(port: int) -> tuple[str, ...]:
    return tuple(f"http://{address}:{port}" for address in own_addresses())


def _why(error: OSError, port: int) -> str:
    where = f"the remote screen cannot listen at port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: another program has this port; it is tried again every {RETRY_S:.0f} s (`remote_ui.port`)"
    return f"{where}: {error.strerror or error}; it is tried again every {RETRY_S:.0f} s"
