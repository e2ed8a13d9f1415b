"""Requests and answers of STUN over one UDP socket or one stream. Nothing here waits for longer than its caller."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import trio

from myownmesh.turn.framing import BadFrame, Frames
from myownmesh.turn.stun import A_ERROR, ERROR, Message, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from myownmesh.turn.stun import Address

AGAIN_S: Final = (0.25, 0.5, 1.0)
"""A datagram may be lost. Behind the last the caller's deadline comes."""
_CLASS: Final = 0x110
_MOST_BYTES: Final = 65_536
_READ_BYTES: Final = 4096


class Refused(Exception):
    """What a server said instead of what was asked for, or that it cannot be spoken with; for a row of the report."""


class Ask(Protocol):
    """Ask one server once; the answer, whatever it says, and the milliseconds that it took. Raises `Refused`."""

    async def __call__(
        self, kind: int, attributes: Sequence[tuple[int, bytes]] = (), *, key: bytes | None = None
    ) -> tuple[Message, float]: ...


class Datagrams:
    """A UDP socket that asks many servers at once; answers are told apart by their transaction and their sender."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket
        self._waiting: dict[tuple[Address, bytes], tuple[float, trio.MemorySendChannel[tuple[Message, float]]]] = {}

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def of(self, server: Address) -> Ask:
        """What asks this server, an IP literal and a port."""

        async def ask(
            kind: int, attributes: Sequence[tuple[int, bytes]] = (), *, key: bytes | None = None
        ) -> tuple[Message, float]:
            return await self._ask(server, kind, attributes, key)

        return ask

    async def _ask(
        self, server: Address, kind: int, attributes: Sequence[tuple[int, bytes]], key: bytes | None
    ) -> tuple[Message, float]:
        tell, answer = trio.open_memory_channel[tuple[Message, float]](len(AGAIN_S) + 1)
        mine: list[tuple[Address, bytes]] = []
        try:
            for pause_s in (*AGAIN_S, None):
                # Another transaction each time, so that an answer tells how long it took.
                place = server, secrets.token_bytes(12)
                mine.append(place)
                self._waiting[place] = trio.current_time(), tell
                try:
                    await self._socket.sendto(encode(kind, place[1], list(attributes), key=key), server)
                except OSError as error:
                    raise Refused(error.strerror or str(error)) from error
                if pause_s is None:
                    return await answer.receive()  # bounded by the caller's deadline
                with trio.move_on_after(pause_s):
                    return await answer.receive()
            raise AssertionError
        finally:
            for place in mine:
                self._waiting.pop(place, None)

    async def run(self) -> None:
        """Hand out what comes, until cancelled."""
        while True:
            try:
                data, sender = await self._socket.recvfrom(_MOST_BYTES)
            except OSError:
                continue  # an ICMP error of an earlier datagram; each is told once
            message = decode(data)
            if message is None:
                continue
            waiting = self._waiting.get(((sender[0], sender[1]), message.transaction))
            if waiting is not None:
                since, tell = waiting
                try:
                    tell.send_nowait((message, 1000 * (trio.current_time() - since)))
                except trio.WouldBlock:
                    continue  # it has its answer


@asynccontextmanager
async def datagrams(family: int) -> AsyncIterator[Datagrams]:
    """A socket of this address family, on a port of its own. Raises OSError."""
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as socket:
        await socket.bind(("::" if family == trio.socket.AF_INET6 else "0.0.0.0", 0))
        asker = Datagrams(socket)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker.run)
            yield asker
            nursery.cancel_scope.cancel()


def over_stream(stream: trio.abc.Stream) -> Ask:
    """One request after the other over TCP or TLS."""
    frames = Frames()

    async def ask(
        kind: int, attributes: Sequence[tuple[int, bytes]] = (), *, key: bytes | None = None
    ) -> tuple[Message, float]:
        transaction, since = secrets.token_bytes(12), trio.current_time()
        try:
            await stream.send_all(encode(kind, transaction, list(attributes), key=key))
            while data := await stream.receive_some(_READ_BYTES):
                for frame in frames.feed(bytes(data)):
                    message = decode(frame)
                    if message is not None and message.transaction == transaction:
                        return message, 1000 * (trio.current_time() - since)
        except (trio.BrokenResourceError, BadFrame) as error:
            raise Refused(f"it broke the connection: {error.__cause__ or error}") from error
        raise Refused("it closed the connection")

    return ask


def error_code(message: Message) -> int | None:
    """The number of an error answer; None for another one."""
    value = message.get(A_ERROR)
    if message.kind & _CLASS != ERROR or value is None or len(value) < 4:
        return None
    return (value[2] & 7) * 100 + value[3]


async def addresses_of(host: str, port: int) -> list[tuple[int, Address]]:
    """Family and address of a server, the first of each family. Raises `Refused`."""
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"the name {host} is not known: {getattr(error, 'strerror', None) or error}") from error
    first: dict[int, Address] = {}
    for family, _, _, _, where in found:
        if family in (trio.socket.AF_INET, trio.socket.AF_INET6):
            first.setdefault(int(family), (str(where[0]), int(where[1])))
    if not first:
        raise Refused(f"{host} has no address")
    return sorted(first.items())
