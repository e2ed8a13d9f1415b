"""Names of STUN and TURN servers, resolved without holding up the end of the process.

The executors of asyncio and libuv are joined at exit, and a resolver without an answer takes half a minute. So a name
is looked up in a daemon thread of its own; names are few and remembered for a while.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading

REMEMBER_SECONDS = 60.0
MAX_NAMES = 64
"""More than the configuration can name; beyond them nothing is remembered."""


class Resolver:
    """Looks names up for one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[str, tuple[float, asyncio.Future[str | None]]] = {}

    async def address(self, host: str) -> str | None:
        """An address of the host, IPv4 if it has one; None if there is none. May take as long as the system wants."""
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            pass
        now = self._loop.time()
        known = self._known.get(host)
        if known is None or known[0] < now:
            known = now + REMEMBER_SECONDS, self._look_up(host)
            if len(self._known) >= MAX_NAMES:
                self._known.clear()
            self._known[host] = known
        return await asyncio.shield(known[1])

    def _look_up(self, host: str) -> asyncio.Future[str | None]:
        found: asyncio.Future[str | None] = self._loop.create_future()

        def work() -> None:
            try:
                infos = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError):
                infos = []
            infos.sort(key=lambda info: info[0] != socket.AF_INET)
            address = str(infos[0][4][0]) if infos else None
            try:
                self._loop.call_soon_threadsafe(tell, address)
            except RuntimeError:
                return  # the loop is gone

        def tell(address: str | None) -> None:
            if address is None:
                self._known.pop(host, None)  # ask again next time
            if not found.done():
                found.set_result(address)

        threading.Thread(target=work, name="myownmesh-resolver", daemon=True).start()
        return found
