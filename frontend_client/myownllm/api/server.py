"""The local API's listener: opens its port, keeps trying while somebody else has it, serves connections."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.values import Value
from myownllm.api.settings import ApiSettings
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.api.backend import Backend
    from myownllm.api.talks import Talks
    from myownllm.effects import Level

RETRY_S: Final = 30.0
"""A port that is in use is tried again so often."""
_BACKLOG: Final = 64


class ApiState(Value, frozen=True):
    """Where the API is open, or why it is not."""

    url: str = ""
    reason: str = ""


class ApiServer:
    """Made once per app; `run` must be running. `note(level, text)` tells what a person should know."""

    def __init__(self, backend: Backend, note: Callable[[Level, str], None]) -> None:
        self.watch = Watch(ApiState())
        self._backend, self._note = backend, note
        self._settings = Watch(ApiSettings(enabled=False))

    def use(self, settings: ApiSettings) -> None:
        """The configuration says this now. Other settings than before end what is under way."""
        if settings != self._settings.value:
            self.watch.set(ApiState())
            self._settings.set(settings)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            settings = self._settings.value
            async with trio.open_nursery() as nursery:
                if settings.enabled:
                    nursery.start_soon(self._keep_open, settings)
                await self._settings.changed()
                nursery.cancel_scope.cancel()

    async def _keep_open(self, settings: ApiSettings) -> None:
        told = ""
        while True:
            reason = settings.problem
            if not reason:
                try:
                    listeners = await trio.open_tcp_listeners(settings.port, host=settings.host, backlog=_BACKLOG)
                except (OSError, ValueError) as error:  # the latter of names that no host has
                    reason = _why(error, settings)
                else:
                    await self._serve(listeners, settings)
            if reason != told:
                self._note("warn", reason)
                told = reason
            self.watch.set(ApiState(reason=reason))
            await trio.sleep(RETRY_S)

    async def _serve(self, listeners: list[trio.SocketListener], settings: ApiSettings) -> None:
        port = listeners[0].socket.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.watch.set(ApiState(url=f"http://{host}:{port}/v1"))
        self._note("info", f"the local API answers at http://{host}:{port}/v1")
        talks: list[Talks] = []

        async def handle(stream: trio.SocketStream) -> None:
            if not talks:
                from myownllm.api.talks import Talks  # HTTP is loaded when somebody uses it

                talks.append(Talks(self._backend, settings))
            await talks[0].serve(stream)

        await trio.serve_listeners(handle, listeners)


def _why(error: Exception, settings: ApiSettings) -> str:
    where = f"the local API cannot listen at {settings.host}:{settings.port}"
    cause: BaseException | None = error
    while cause is not None and not getattr(cause, "errno", None):
        cause = cause.__cause__ or cause.__context__
    if getattr(error, "errno", None) == errno.EADDRINUSE or getattr(cause, "errno", None) == errno.EADDRINUSE:
        return f"{where}: another program has this port; it is tried again every {RETRY_S:.0f} s (`api.port`)"
    return f"{where}: {getattr(error, 'strerror', None) or error}; it is tried again every {RETRY_S:.0f} s"
