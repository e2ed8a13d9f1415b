"""The screen's parts, wired together. What the extra brings is loaded with this module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from myownllm.ui.desk import ScreenDesk
from myownllm.ui.publisher import Publisher
from myownllm.ui.site import make_site, read_page
from myownllm.ui.web_server import WebServer

if TYPE_CHECKING:
    import socket

    from myownllm.app import App
    from myownllm.remote.state import RemoteState
    from myownllm.ui.guard import Place
    from myownllm.ui.sessions import Sessions
    from myownllm.watch import Watch


async def serve(
    app: App, place: Place, sessions: Sessions, remote: Watch[RemoteState], listener: socket.socket
) -> None:
    """Until cancelled."""
    page = await trio.to_thread.run_sync(read_page)
    publisher = Publisher(app, remote)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        server = WebServer(make_site(ScreenDesk(app, place, sessions, publisher, nursery), page))
        await server.serve(listener)
