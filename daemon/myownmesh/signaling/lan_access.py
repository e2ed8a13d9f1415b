"""Whether this process may be heard in the local network, and since when. Loads nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.signaling.lan_responder import Responder

VARIABLE: Final = "MYOWNMESH_MDNS"
"""`off`: this process says and hears nothing in the local network, whatever its networks' records say."""


class LanAccess:
    """One per process, for all of its networks."""

    def __init__(self) -> None:
        self._allowed = trio.Event()
        self._responder: Responder | None = None

    def allow(self) -> None:
        """The control socket answers: the processor is free for imports now."""
        self._allowed.set()

    def responder(self) -> Responder:
        """The one of this process, made when the first network asks; it opens no socket before `allow`."""
        if self._responder is None:
            from myownmesh.signaling.lan_responder import Responder

            self._responder = Responder(self._allowed)
        return self._responder


def lan_access(environment: Mapping[str, str]) -> LanAccess | None:
    """None where whoever started the process wants nothing said in the local network."""
    return None if environment.get(VARIABLE, "").lower() == "off" else LanAccess()
