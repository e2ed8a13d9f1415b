"""The remote screen's server and its site. What the extra brings is loaded with this module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from myownllm.remote.lan import is_local
from myownllm.ui import guard
from myownllm.ui.entrance import make_entrance, read_files
from myownllm.ui.remote import routes
from myownllm.ui.web_server import Limits, WebServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from myownllm.ui.entrance import Page
    from myownllm.ui.remote.routes import RemoteDesk

PAGE: Final = Path(__file__).parent / "page"
SHARED: Final = ("/api.js", "/icon.svg", "/parts.js", "/picker.js", "/said.js", "/style.css")
"""Files of the screen of this machine, and its library, that this page uses, too."""
LIBRARY: Final = "/vendor/"
PER_ADDRESS: Final = 16
"""Browsers open six."""
SEND_S: Final = 30.0
ANSWER_HEADERS: Final = tuple(header for header in guard.ANSWER_HEADERS if header[0] != b"cross-origin-opener-policy")
"""Browsers heed that one over TLS alone, and complain of it otherwise."""


def read_page() -> Page:
    """The files of the page. Blocking."""
    shared = read_files(PAGE.parent.parent / "page")
    return {
        **{path: file for path, file in shared.items() if path in SHARED or path.startswith(LIBRARY)},
        **read_files(PAGE),
    }


def is_of_the_lan(there: str, here: str) -> bool:
    """Both ends of a connection are addresses that the internet does not route."""
    return is_local(there) and is_local(here)


async def serve(desk: RemoteDesk, listener: socket.socket, began: Callable[[WebServer], None]) -> None:
    """Until cancelled. `began` is told the server, which closes the connections of a session that is ended."""
    page = await trio.to_thread.run_sync(read_page)

    def place_of(scope: Any) -> guard.Place:
        """The address that the connection came to: a name, or another address, was pointed here by somebody."""
        return guard.Place(desk.place.port, scope["server"][0])

    site = make_entrance(page, routes.all_of(desk), place_of, ANSWER_HEADERS)
    server = WebServer(site, Limits(admits=is_of_the_lan, per_address=PER_ADDRESS, send_s=SEND_S))
    began(server)
    await server.serve(listener)
