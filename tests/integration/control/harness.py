"""A control server on a real socket, and clients for it."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from anyio.abc import SocketAttribute
from attrs import define, field

from mesh_common.client.connection import Connection
from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import parse_object
from myownmesh.control.server import ControlServer
from unit.control.fake_mesh import FakeMesh, as_mesh, office

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 10.0
"""Far more than anything here takes; a hang ends with its stack."""


@define
class Server:
    mesh: FakeMesh
    server: ControlServer
    path: Path
    scope: trio.CancelScope
    clients: list[Client] = field(factory=list)

    async def connect(self) -> Client:
        """A client; closed at the end of the test."""
        client = Client(await Connection.open(self.path))
        self.clients.append(client)
        return client

    async def subscribe(self) -> tuple[Client, str]:
        """An event connection and its client id."""
        client = await self.connect()
        answer = await client.ask({"op": "events_subscribe"})
        return client, answer["data"]["client_id"]


@define
class Client:
    connection: Connection

    async def send(self, *requests: object) -> None:
        """Send requests (objects or raw bytes) in one write."""
        await self.connection.send(
            b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in requests)
        )

    async def ask(self, request: object) -> Any:
        await self.send(request)
        return await self.receive()

    async def receive(self) -> Any:
        """The next line, decoded. Raises `ControlError` CLOSED at the end of the stream."""
        with trio.fail_after(PATIENCE_S):
            return parse_object(await self.connection.receive())

    async def rest(self) -> list[Any]:
        """Everything up to the end of the stream."""
        seen = []
        with contextlib.suppress(ControlError):
            while True:
                seen.append(await self.receive())
        return seen

    async def is_open(self) -> bool:
        """True when the connection still answers."""
        answer = await self.ask({"op": "status"})
        return bool(answer["ok"])

    def close(self) -> None:
        self.connection.stream.extra(SocketAttribute.raw_socket).close()


@contextlib.asynccontextmanager
async def serving(mesh: FakeMesh | None = None, **options: Any) -> AsyncIterator[Server]:
    """A server with one network, `office-mesh`, unless a mesh is given."""
    if mesh is None:
        mesh = FakeMesh()
        mesh.join(office())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "home" / "daemon.sock"
        server = ControlServer(
            as_mesh(mesh), path, version="0.3.8", instance="0123456789abcdef", home=path.parent, **options
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            running = Server(mesh, server, path, nursery.cancel_scope)
            try:
                yield running
            finally:
                for client in running.clients:
                    client.close()
                nursery.cancel_scope.cancel()


def connect_blocking(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(path))
    return sock
