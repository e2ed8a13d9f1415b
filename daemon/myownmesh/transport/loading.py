"""Imports the WebRTC stack late and beside the running program.

Only this module knows which backend there is. The import takes a few hundred milliseconds, so it runs in a thread
while the control socket already answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import trio

from mesh_common.switching import program_goes_on
from myownmesh.transport.lean_imports import data_channels_only

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from myownmesh.transport.aiortc_factory import AiortcFactory


class GuestFactory:
    """The `SessionFactory` of a trio program that runs under `transport.guest.run`."""

    def __init__(self, inner: AiortcFactory) -> None:
        self._inner = inner
        self.open = inner.open

    async def aclose(self) -> None:
        """Close what is open, within 2 s."""
        self._inner.close_all()
        done = trio.Event()
        task = asyncio.ensure_future(self._inner.wait_closed())
        task.add_done_callback(lambda _: done.set())
        with trio.CancelScope(shield=True):
            await done.wait()


def import_backend() -> type[AiortcFactory]:
    """Import the backend now; any thread."""
    with data_channels_only():
        from myownmesh.transport.aiortc_factory import AiortcFactory
    return AiortcFactory


async def load_webrtc(relay_sources: Callable[[], Collection[str]] = tuple) -> GuestFactory:
    """Import WebRTC in a thread and return the session factory. Under `transport.guest.run` only.

    `relay_sources` tells which addresses of this machine the connections to the relays come from just now: they are
    offered to peers before others. The program goes on meanwhile.
    """
    with program_goes_on():
        factory_class = await trio.to_thread.run_sync(import_backend)
    return GuestFactory(factory_class(asyncio.get_running_loop(), relay_sources))
