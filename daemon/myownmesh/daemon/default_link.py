"""A second name for the control socket at the default place (spec 07 C14).

Stock graphical programs look there only. A daemon with another home puts a link there if its configuration asks for it
(``daemon.also_default_socket``) and nothing is there: what belongs to another daemon is never touched.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import trio

from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 10.0
"""The place may come to be free, its folder may come to exist, and a cleaner may take the link away."""


class DefaultLink:
    """The link of one daemon."""

    def __init__(self, socket: Path, environ: Mapping[str, str]) -> None:
        self._socket = socket.absolute()
        self._environ = environ
        self._link: Path | None = None
        self._told = ""
        self._scope = trio.CancelScope()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the link until `stop`, then take it away; started after the first attempt.

        That it cannot be made is a warning, once for each reason, and tried again.
        """
        try:
            with self._scope:
                while True:
                    self._make()
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await trio.sleep(LOOK_AGAIN_S)
        finally:
            self._remove()

    def stop(self) -> None:
        self._scope.cancel()

    def _make(self) -> None:
        try:
            home = Home.resolve({name: value for name, value in self._environ.items() if name != "MYOWNMESH_HOME"})
            link = home.socket()
            if link == self._socket or self._is_ours(link):
                return
            if link.is_symlink() and not link.exists():
                link.unlink()  # left behind by a daemon that was killed
            home.root.mkdir(mode=0o700, exist_ok=True)
            link.symlink_to(self._socket)
        except FileExistsError:
            self._warn("something is there already")
        except (StoreError, OSError) as error:
            self._warn(os_error_text(error) if isinstance(error, OSError) else str(error))
        else:
            self._link, self._told = link, ""
            log.info("control socket also at %s", os.fspath(link))

    def _warn(self, reason: str) -> None:
        if reason != self._told:
            log.warning("no link to the control socket at the default place: %s; looking again", reason)
        self._told = reason

    def _is_ours(self, link: Path) -> bool:
        return link.is_symlink() and link.readlink() == self._socket

    def _remove(self) -> None:
        if self._link is not None and self._is_ours(self._link):
            self._link.unlink(missing_ok=True)
