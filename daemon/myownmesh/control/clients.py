"""Event connections as addressees: who has which id (spec 05 §5)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from myownmesh.control.client_id import client_name
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STREAMS_PER_CLIENT = 1024
"""Stream calls that one client may have under way."""


class Sink(Protocol):
    """The writing half of an event connection. Neither method blocks; both may end the connection."""

    def direct(self, line: bytes) -> None:
        """Deliver a frame for this client alone."""
        ...

    def event(self, line: bytes) -> None:
        """Deliver a mesh event, or count it as missed."""
        ...


class Client(Struct, eq=False):
    """One event connection."""

    number: int
    sink: Sink
    streams: dict[str, Callable[[], None]] = field(default_factory=dict)
    """Stream calls under way: request id → what ends them when the client is gone."""
    gone: bool = False

    @property
    def name(self) -> str:
        return client_name(self.number)


class Clients:
    """All event connections. Numbers count up for the life of the process and are never used again."""

    def __init__(self) -> None:
        self._numbers = count()
        self._clients: dict[int, Client] = {}

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._clients.values()))

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, sink: Sink) -> Client:
        client = Client(next(self._numbers), sink)
        self._clients[client.number] = client
        return client

    def remove(self, client: Client) -> None:
        self._clients.pop(client.number, None)

    def get(self, number: int) -> Client | None:
        return self._clients.get(number)

    def find(self, number: int) -> Client:
        """Raises `MeshError` for an id that is not connected."""
        try:
            return self._clients[number]
        except KeyError:
            raise MeshError(f"unknown client_id: {client_name(number)}") from None
