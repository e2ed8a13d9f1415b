"""WebRTC, loaded once and late: a few hundred milliseconds of imports that nobody should wait for at the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from myownmesh.transport.loading import GuestFactory


class WebRtc:
    """The session factory of the daemon. Nothing is loaded before `allow`, nor before somebody asks."""

    def __init__(self, relay_sources: Callable[[], Collection[str]]) -> None:
        """`relay_sources` tells from which addresses of this machine the relays are reached (`load_webrtc`)."""
        self._relay_sources = relay_sources
        self._allowed = trio.Event()
        self._loading = trio.Lock()
        self._factory: GuestFactory | None = None

    def allow(self) -> None:
        """The control socket answers: the processor is free for imports now."""
        self._allowed.set()

    async def get(self) -> GuestFactory:
        """The factory, loading it if nobody has yet. Cancelling a waiter does not stop the import."""
        await self._allowed.wait()  # bounded by the rest of the start
        async with self._loading:
            if self._factory is None:
                # A relay is dialled as soon as its library is there, and answers while WebRTC loads.
                from mesh_common.switching import program_goes_on
                from myownmesh.transport.loading import load_webrtc

                with program_goes_on():
                    await trio.to_thread.run_sync(_what_comes_before, abandon_on_cancel=True)
                self._factory = await load_webrtc(self._relay_sources)
            return self._factory

    async def aclose(self) -> None:
        """Close whatever sessions are still open."""
        if self._factory is not None:
            await self._factory.aclose()


def _what_comes_before() -> None:
    """Import what is needed sooner than WebRTC: two imports at a time would only make both late."""
    import myownmesh.mesh.building
    import myownmesh.mesh.custody
    import myownmesh.mesh.offers
    import myownmesh.services.forwarding
    import myownmesh.signaling.client
    import myownmesh.signaling.preload
    import myownmesh.store.governance_files
    import myownmesh.store.invites_file

    myownmesh.signaling.preload.preload()
