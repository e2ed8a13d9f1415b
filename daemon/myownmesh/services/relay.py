"""The hosted signaling relay: sockets around a `Hub` (spec 03 §19, spec 06 §1–2).

Plain WebSockets only; TLS is the business of a proxy in front. Any client may come; what it can cost is bounded.
"""

from __future__ import annotations

import ipaddress
import logging
import resource
from collections import Counter
from typing import TYPE_CHECKING

import trio

from mesh_common.addresses import authority, is_loopback, without_brackets
from myownmesh.protocol.strict_json import compact_json
from myownmesh.services.relay_hub import TOO_MANY_CONNECTIONS, Hub, Limits
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.pacing import seconds_until
from myownmesh.signaling.websocket import LINK_ERRORS, Socket, receive_upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mesh_common.views import RelayActivity
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.services.relay_hub import Client

log = logging.getLogger(__name__)

HANDSHAKE_LIMIT_S = 10.0
PING_INTERVAL_S = 30.0
PING_LIMIT_S = 10.0
HEARTBEAT_LOG_S = 300.0
HANDSHAKES_PER_ADDRESS = 64
"""Connections of one address that have not upgraded yet; a proxy on this machine may have any number."""
FLUSH_LIMIT_S = 1.0
GOING_AWAY = 1001


class RelayServer:
    """One relay on one port. `serve` may be run once."""

    def __init__(
        self,
        bind: str,
        port: int,
        limits: Limits | None = None,
        *,
        now: Callable[[], Instant],
        rng: Rng,
        any_filter: bool = False,
    ) -> None:
        """`bind` is an address or name, IPv6 in brackets; port 0 takes a free one, see `listen`.

        `any_filter` is the compatibility switch `relay_any_filter`.
        """
        self._bind = bind
        self._configured_port = port
        self._now = now
        self._hub = Hub(limits or Limits(), NostrKey.generate(rng), any_filter=any_filter)
        self._sockets = 0
        self._max_sockets = _max_sockets()
        self._handshakes: Counter[str] = Counter()
        self._timers_changed = trio.Event()
        self._address: tuple[str, int] | None = None

    @property
    def listen(self) -> str | None:
        """`address:port` while it serves, as `services_status` shows it."""
        return None if self._address is None else authority(*self._address)

    @property
    def port(self) -> int:
        """The port in use; the configured one while it does not serve."""
        return self._configured_port if self._address is None else self._address[1]

    @property
    def activity(self) -> RelayActivity:
        return self._hub.activity

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then every client gets Close 1001. Raises OSError when it cannot listen."""
        host = without_brackets(self._bind)
        try:
            listener, *others = await trio.open_tcp_listeners(self._configured_port, host=host)
        except UnicodeError as error:
            raise OSError(f"'{self._bind}' is neither an address nor a name") from error
        for other in others:
            # A name with several addresses: the first one is it, as with every other service.
            await other.aclose()
        try:
            address = listener.socket.getsockname()
            self._address = (str(address[0]), int(address[1]))
            log.info("signaling relay on %s", self.listen)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_timers)
                nursery.start_soon(self._run_heartbeat_log)
                task_status.started()
                await trio.serve_listeners(self._serve_socket, [listener])
        finally:
            self._address = None
            await trio.aclose_forcefully(listener)

    async def _run_timers(self) -> None:
        while True:
            self._timers_changed = trio.Event()
            now = self._now()
            self._hub.handle_timer(now.mono, now.wall_ms // 1000)
            due = self._hub.next_timer()
            with trio.move_on_after(seconds_until(due, now.mono)):
                await self._timers_changed.wait()

    async def _run_heartbeat_log(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_LOG_S)
            seen = self.activity
            log.info(
                "signaling relay: %d connections (%d in all), %d rooms, %d events",
                seen.connections,
                seen.connections_total,
                seen.rooms,
                seen.events_relayed,
            )

    async def _serve_socket(self, stream: trio.SocketStream) -> None:
        if self._sockets >= self._max_sockets:
            await trio.aclose_forcefully(stream)
            return
        self._sockets += 1
        try:
            peer = str(stream.socket.getpeername()[0])
            async with trio.open_nursery() as nursery:
                accepted = await self._shake_hands(nursery, stream, peer)
                if accepted is not None:
                    await self._attend(*accepted)
                nursery.cancel_scope.cancel()
        except* LINK_ERRORS as group:
            log.debug("relay client gone: %r", group.exceptions)
        finally:
            self._sockets -= 1
            await trio.aclose_forcefully(stream)

    async def _shake_hands(
        self, nursery: trio.Nursery, stream: trio.SocketStream, peer: str
    ) -> tuple[Socket, str] | None:
        """The open WebSocket and the address that it counts for; None when its address has too many unfinished ones."""
        if self._handshakes[peer] >= HANDSHAKES_PER_ADDRESS and not is_loopback(peer):
            return None
        self._handshakes[peer] += 1
        try:
            with trio.fail_after(HANDSHAKE_LIMIT_S):
                request, guard = await receive_upgrade(nursery, stream)
                headers = request.headers
                return Socket(await request.accept(), guard), client_address(peer, _forwarded_for(headers))
        finally:
            self._handshakes[peer] -= 1
            if not self._handshakes[peer]:
                del self._handshakes[peer]

    async def _attend(self, socket: Socket, address: str) -> None:
        client = self._hub.connect(address, self._now().mono)
        if client is None:
            await socket.send(compact_json(["NOTICE", TOO_MANY_CONNECTIONS]))
            await socket.close()
            return
        code: int | None = None
        reason: str | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_keep_alive, socket)
                nursery.start_soon(self._read, socket, client)
                flushed = trio.Event()
                ejected = trio.Event()
                client.on_ended = ejected.set
                nursery.start_soon(_write, socket, client, flushed)
                await ejected.wait()
                # It may hear why; but whoever is ejected for not reading does not keep us waiting.
                with trio.move_on_after(FLUSH_LIMIT_S):
                    await flushed.wait()
                nursery.cancel_scope.cancel()
            if client.ended is not None:
                code, reason = client.ended
        finally:
            if trio.current_effective_deadline() == float("-inf"):
                code = GOING_AWAY
            self._hub.disconnect(client, self._now().mono)
            self._timers_changed.set()
            await socket.close(code, reason)

    async def _read(self, socket: Socket, client: Client) -> None:
        while True:
            message = await socket.receive()
            # Binary is not part of the protocol; it costs what any useless text costs.
            self._hub.receive(client, message if isinstance(message, str) else "", self._now().mono)


async def _write(socket: Socket, client: Client, flushed: trio.Event) -> None:
    while True:
        wake = trio.Event()
        client.on_output = wake.set
        for text in client.take_output():
            await socket.send(text)
        if client.has_output:
            continue
        if client.ended is not None:
            flushed.set()
        await wake.wait()


async def _keep_alive(socket: Socket) -> None:
    while True:
        await trio.sleep(PING_INTERVAL_S)
        await socket.ping(PING_LIMIT_S)


def client_address(tcp_peer: str, forwarded_for: Iterable[str]) -> str:
    """The address that the connection limit counts.

    Behind a proxy on this machine that is the last address of `X-Forwarded-For` that parses; a remote peer's header
    is never believed. `forwarded_for` holds the header's lines in order.
    """
    if is_loopback(tcp_peer):
        for line in reversed(list(forwarded_for)):
            for entry in reversed(line.split(",")):
                try:
                    return str(ipaddress.ip_address(entry.strip()))
                except ValueError:
                    continue
    return tcp_peer


def _forwarded_for(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    return [value.decode("ascii", "replace") for name, value in headers if name.lower() == b"x-forwarded-for"]


def _max_sockets() -> int:
    """Half of the descriptors that this process may have: strangers must not starve the rest of the daemon."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(4096, soft // 2) if soft > 0 else 4096
