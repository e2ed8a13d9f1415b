"""The screen's site: the page's files, the routes, and the socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import WebSocketRoute

from myownllm.ui import routes
from myownllm.ui.entrance import make_entrance, read_files
from myownllm.ui.socket import serve_tab

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from myownllm.ui.desk import ScreenDesk
    from myownllm.ui.entrance import Page

PAGE: Final = Path(__file__).parent / "page"


def read_page() -> Page:
    """The files of the page. Blocking."""
    return read_files(PAGE)


def make_site(desk: ScreenDesk, page: Page) -> Any:
    """The ASGI application."""

    async def tab(socket: WebSocket) -> None:
        await serve_tab(desk, socket)

    return make_entrance(page, [*routes.all_of(desk), WebSocketRoute("/api/mesh/events", tab)], lambda _: desk.place)
