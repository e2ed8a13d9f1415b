"""The daemon behind the running app, for what a command asks of it directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh_common.client.operations import Operations
from mesh_common.client.session import command
from myownllm.errors import not_connected

if TYPE_CHECKING:
    from myownllm.app import App


class Daemon(Operations):
    """Operations of whatever daemon is connected now. All raise ControlError."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def command(self, operation: str, /, *, timeout: float | None = None, **members: Any) -> object:
        connection = self._app.supervisor.connection
        if connection is None:
            raise not_connected()
        return await command(connection.socket, operation, timeout=timeout, **members)
