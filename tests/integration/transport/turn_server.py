"""A STUN and TURN server of a hundred lines for tests: long-term credentials, channels, UDP."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from aioice.stun import Class, Message, Method, parse_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Address = tuple[str, int]

REALM = "test"
MAPPED: Address = ("198.51.100.7", 4321)
"""What every STUN answer says; nobody can reach it."""


class TurnServer(asyncio.DatagramProtocol):
    """Serves one user. `silent` makes it deaf."""

    def __init__(self, host: str, username: str, password: str) -> None:
        self.host = host
        self.username = username
        self.key = hashlib.md5(f"{username}:{REALM}:{password}".encode()).digest()
        self.silent = False
        self.relayed = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.allocations: dict[Address, Relay] = {}
        self.transport: asyncio.DatagramTransport

    @property
    def address(self) -> Address:
        name = self.transport.get_extra_info("sockname")
        return name[0], name[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        client = (addr[0], addr[1])
        if self.silent:
            return
        if data[0] & 0xC0 == 0x40:
            relay = self.allocations.get(client)
            if relay is not None:
                self.relayed += 1
                relay.from_client(data)
            return
        try:
            message = parse_message(data)
        except ValueError:
            return
        task = asyncio.ensure_future(self.serve(message, client))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, request: Message, client: Address) -> None:
        response = Message(request.message_method, Class.RESPONSE, transaction_id=request.transaction_id)
        if request.message_method == Method.BINDING:
            response.attributes["XOR-MAPPED-ADDRESS"] = MAPPED
            self.transport.sendto(bytes(response), client)
            return
        if request.attributes.get("USERNAME") != self.username or not request.check_message_integrity(self.key):
            response.message_class = Class.ERROR
            response.attributes["ERROR-CODE"] = (401, "Unauthorized")
            response.attributes["REALM"] = REALM
            response.attributes["NONCE"] = b"nonce"
            self.transport.sendto(bytes(response), client)
            return
        if request.message_method == Method.ALLOCATE:
            relay = Relay(self, client)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: relay, local_addr=(self.host, 0))
            self.allocations[client] = relay
            response.attributes["XOR-RELAYED-ADDRESS"] = relay.address
            response.attributes["XOR-MAPPED-ADDRESS"] = client
            response.attributes["LIFETIME"] = 600
        elif request.message_method == Method.CHANNEL_BIND:
            self.allocations[client].bind(request.attributes["CHANNEL-NUMBER"], request.attributes["XOR-PEER-ADDRESS"])
        elif request.message_method == Method.REFRESH:
            response.attributes["LIFETIME"] = request.attributes["LIFETIME"]
            if request.attributes["LIFETIME"] == 0:
                self.allocations.pop(client).transport.close()
        response.add_message_integrity(self.key)
        self.transport.sendto(bytes(response), client)

    def close(self) -> None:
        for relay in self.allocations.values():
            relay.transport.close()
        self.transport.close()


class Relay(asyncio.DatagramProtocol):
    """One allocation."""

    def __init__(self, server: TurnServer, client: Address) -> None:
        self.server = server
        self.client = client
        self.channels: dict[int, Address] = {}
        self.transport: asyncio.DatagramTransport

    @property
    def address(self) -> Address:
        name = self.transport.get_extra_info("sockname")
        return name[0], name[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def bind(self, channel: int, peer: Address) -> None:
        self.channels[channel] = peer

    def from_client(self, data: bytes) -> None:
        channel, length = struct.unpack("!HH", data[:4])
        peer = self.channels.get(channel)
        if peer is not None:
            self.transport.sendto(data[4 : 4 + length], peer)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for channel, peer in self.channels.items():
            if peer == (addr[0], addr[1]):
                self.server.transport.sendto(struct.pack("!HH", channel, len(data)) + data, self.client)


@asynccontextmanager
async def turn_server(host: str, username: str = "user", password: str = "secret") -> AsyncIterator[TurnServer]:
    """asyncio: a server on a free port of the host. Enter and leave it with `on_loop`."""
    server = TurnServer(host, username, password)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=(host, 0))
    try:
        yield server
    finally:
        server.close()
