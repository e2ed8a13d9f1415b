"""A daemon in memory: what it answers is what the test says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Answer = Callable[[dict[str, Any]], object]


@define(eq=False)
class Pipe:
    """One end of a connection."""

    incoming: MemoryObjectReceiveStream[bytes]
    outgoing: MemoryObjectSendStream[bytes]

    async def receive(self) -> bytes:
        return await self.incoming.receive()

    async def send(self, data: bytes) -> None:
        await self.outgoing.send(data)

    async def aclose(self) -> None:
        self.incoming.close()
        self.outgoing.close()


def pipe() -> tuple[Pipe, Pipe]:
    to_daemon, at_daemon = anyio.create_memory_object_stream[bytes](64)
    to_client, at_client = anyio.create_memory_object_stream[bytes](2048)
    return Pipe(at_client, to_daemon), Pipe(at_daemon, to_client)


class Silence:
    """The answer of a daemon that never answers."""


class HangUp:
    """The answer of a daemon that closes the connection."""


@define
class FakeDaemon:
    """Answers every operation with an empty object unless `answers` says something else."""

    tasks: TaskGroup
    answers: dict[str, Any] = field(factory=dict)
    """Per operation: the data, a refusal as `{"error": …}`, `Silence`, `HangUp`, or a function of the request."""
    asked: list[dict[str, Any]] = field(factory=list)
    listening: bool = True
    connections: int = 0
    most_connections: int = 0
    _events: list[Pipe] = field(factory=list)
    _clients: int = 0

    async def connect(self, address: Path | str) -> Pipe:
        await anyio.lowlevel.checkpoint()
        if not self.listening:
            raise FileNotFoundError(2, "No such file or directory", str(address))
        client, daemon = pipe()
        self.tasks.start_soon(self._serve, daemon)
        return client

    async def push(self, **frame: Any) -> None:
        """Push a frame to every event connection."""
        await self.push_bytes(json.dumps(frame).encode() + b"\n")

    async def push_bytes(self, data: bytes) -> None:
        for pipe in self._events:
            await pipe.send(data)

    async def die(self) -> None:
        """Every event connection ends."""
        events, self._events = self._events, []
        for pipe in events:
            await pipe.aclose()

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [request for request in self.asked if request["op"] == operation]

    async def _serve(self, pipe: Pipe) -> None:
        self.connections += 1
        self.most_connections = max(self.connections, self.most_connections)
        try:
            async for line in pipe.incoming:
                request = json.loads(line)
                self.asked.append(request)
                if request["op"] == "events_subscribe" and "events_subscribe" not in self.answers:
                    data: Any = {"subscribed": True, "client_id": f"c{self._clients}"}
                    self._clients += 1
                    self._events.append(pipe)
                else:
                    data = self.answers.get(request["op"], {})
                if callable(data) and not isinstance(data, type):
                    data = data(request)
                if data is Silence:
                    continue
                if data is HangUp:
                    await pipe.aclose()
                    return
                refused = isinstance(data, dict) and "error" in data
                answer = {"ok": False, **data} if refused else {"ok": True, "data": data}
                await pipe.send(json.dumps(answer).encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        finally:
            self.connections -= 1
            await pipe.aclose()
