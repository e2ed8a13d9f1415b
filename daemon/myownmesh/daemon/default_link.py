"""A second name for the control socket at the default place (spec 07 C14).

Stock graphical programs look there only. A daemon with another home puts a link there if its configuration asks for it
(``daemon.also_default_socket``) and nothing is there: what belongs to another daemon is never touched.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.paths import Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def default_link(socket: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Keep the link while the daemon runs. That it cannot be made is a warning."""
    link = _make(socket.absolute(), environ)
    try:
        yield
    finally:
        if link is not None and link.is_symlink() and link.readlink() == socket.absolute():
            link.unlink(missing_ok=True)


def _make(socket: Path, environ: Mapping[str, str]) -> Path | None:
    try:
        home = Home.resolve({name: value for name, value in environ.items() if name != "MYOWNMESH_HOME"})
        link = home.socket()
        if link == socket:
            return None
        if link.is_symlink() and not link.exists():
            link.unlink()  # left behind by a daemon that was killed
        home.root.mkdir(mode=0o700, exist_ok=True)
        link.symlink_to(socket)
    except FileExistsError:
        log.warning("no link to the control socket at the default place: something is there already")
        return None
    except (StoreError, OSError) as error:
        reason = os_error_text(error) if isinstance(error, OSError) else str(error)
        log.warning("no link to the control socket at the default place: %s", reason)
        return None
    log.info("control socket also at %s", os.fspath(link))
    return link
