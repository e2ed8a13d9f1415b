"""A relay's loop beside its bus: trio waits for both, so that no thread takes the other one's turn.

A stream of a Redis (or Valkey) holds what the relays say. Each of them reads all of it, from where it was when it could
not be reached; what has been trimmed meanwhile is asked for anew. A server that takes nothing, because its memory is
full or it only copies another one, is as good as away.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import anyio
import trio
from coredis.exceptions import RedisError, ResponseError

from myownmesh.relay.store import RETENTION_S, STORED_BYTES, STORED_EVENTS
from myownmesh.relay_worker.redis_server import LIMIT_S, READ_AT_ONCE, TooLong, connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.cluster.cluster import Cluster
    from myownmesh.protocol.clock import Instant
    from myownmesh.relay_worker.redis_server import Server
    from myownmesh.worker.loop import Loop

STREAM: Final = b"myownmesh:relay"
FIELD: Final = b"b"
RETRY_S: Final = 1.0
BLOCK_MS: Final = 2000
SLICE_S: Final = 0.005
"""So long what was read is worked on before clients have their turn."""
KEPT_WHEN_FULL: Final = STORED_EVENTS // 8

Place = tuple[int, int]
"""Of an entry in the stream: milliseconds of the server's clock, and a number within them."""


class Away(Exception):
    """The bus cannot be used; the text says why."""


def run_on_bus(
    url: str, cluster: Cluster, loop: Loop, tick: Callable[[Instant], None], pause_s: Callable[[], float]
) -> None:
    """What `Loop.run` does, and the bus beside it."""
    logging.getLogger("coredis").setLevel(logging.CRITICAL)  # what it has to say is raised, and told by `problem`
    trio.run(_both, Bus(url, cluster), loop, tick, pause_s)


async def _both(bus: Bus, loop: Loop, tick: Callable[[Instant], None], pause_s: Callable[[], float]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bus.run)
        for seconds in loop.turns(tick, pause_s):
            with trio.move_on_after(seconds):
                await trio.lowlevel.wait_readable(loop)
            loop.turn(0.0)
        nursery.cancel_scope.cancel()


class Bus:
    """The stream of one server, for as long as the relay runs."""

    def __init__(self, url: str, cluster: Cluster, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._cluster = cluster
        self._now = now
        self._read_to: Place | None = None
        """The last entry that was read; None before the first connection."""
        self._run: bytes | None = None
        """Of the server, which is another one when it has been restarted."""
        self._is_to_jump = False
        """What stands at the place cannot be read."""
        self._past: Place = (0, 0)
        """What was there when this relay came up."""
        self._ahead_ms = 0.0
        """Of the server's clock, before ours."""
        self._unsaid: bytes | None = None
        """A batch of which nobody knows whether the server took it. Hearing it twice does no harm."""
        self._sizes: deque[tuple[Place, int]] = deque()
        self._bytes = 0
        self._news = trio.Event()
        cluster.on_outgoing = self._wake
        cluster.parted("it has not been reached yet")

    def _wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        """Speak and listen, and come back whenever the server has been away. Runs until cancelled."""
        while True:
            try:
                await self._session()
            except* (RedisError, OSError, Away, trio.TooSlowError, *_BROKEN) as trouble:
                self._cluster.parted(_reason(trouble))
            await trio.sleep(RETRY_S)

    async def _session(self) -> None:
        async with connected(self._url) as writer, connected(self._url) as reader:
            with trio.fail_after(2 * LIMIT_S):
                await self._find_place(reader)
                await self._add(writer, self._unsaid or self._cluster.take_beat())
            self._cluster.joined(self._now())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, reader)
                nursery.start_soon(self._write, writer)

    # ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self, server: Server) -> None:
        while True:
            self._news = trio.Event()
            while (batch := self._cluster.take_batch(self._now())) is not None:
                await self._add(server, batch)
            if self._cluster.is_beat_due(self._now()):
                await self._add(server, self._cluster.take_beat())
                await self._trim(server)
            with trio.move_on_after(max(0.0, self._cluster.next_beat() - self._now())):
                await self._news.wait()

    async def _add(self, server: Server, batch: bytes) -> None:
        self._unsaid = batch
        try:
            await server.ask(b"XADD", STREAM, b"MAXLEN", b"~", STORED_EVENTS, b"*", FIELD, batch)
        except ResponseError as error:
            # Nearly always for want of memory, of which the stream may be the cause.
            await server.ask(b"XTRIM", STREAM, b"MAXLEN", b"~", KEPT_WHEN_FULL)
            raise Away(f"it takes nothing: {error}") from error
        self._unsaid = None

    async def _trim(self, server: Server) -> None:
        """No more bytes and no older ones than a relay keeps itself."""
        oldest_ms = int(self._server_ms() - RETENTION_S * 1000)
        while self._sizes and (self._sizes[0][0][0] < oldest_ms or self._bytes > STORED_BYTES):
            place, size = self._sizes.popleft()
            self._bytes -= size
            oldest_ms = max(oldest_ms, place[0])
        await server.ask(b"XTRIM", STREAM, b"MINID", b"~", oldest_ms)

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _find_place(self, server: Server) -> None:
        """From where to read on."""
        asked_at = self._now()
        seconds, microseconds = await server.ask(b"TIME")
        self._ahead_ms = int(seconds) * 1000 + int(microseconds) / 1000 - asked_at * 1000
        newest, oldest = await _ends(server)
        run, self._run = self._run, await _run_of(server)
        if self._read_to is None:
            self._read_to, self._past = (0, 0), newest
        elif newest < self._read_to:  # another stream: the server lost this one
            self._read_to, self._past = (0, 0), (0, 0)
            self._sizes.clear()
            self._bytes = 0
            self._cluster.missed()
        elif self._is_to_jump:
            self._read_to = newest
            self._cluster.jumped(self._now())
        elif (newest > self._read_to and oldest > self._read_to) or run != self._run:
            self._cluster.missed()
        self._is_to_jump = False

    async def _read(self, server: Server) -> None:
        while True:
            assert self._read_to is not None
            words = (b"COUNT", READ_AT_ONCE, b"BLOCK", BLOCK_MS, b"STREAMS", STREAM, _written(self._read_to))
            try:
                found = await server.ask(b"XREAD", *words, limit_s=LIMIT_S + BLOCK_MS / 1000)
            except TooLong:
                self._is_to_jump = True
                raise
            read = list((found or {}).values())
            since = self._now()
            for entry in read[0] if read else ():
                self._take(_place(entry[0]), entry[1])
                if self._now() - since > SLICE_S:
                    await trio.lowlevel.checkpoint()
                    since = self._now()
            if read and len(read[0]) == READ_AT_ONCE:
                before = self._read_to
                _, oldest = await _ends(server)
                if oldest > before:  # it was trimmed faster than it was read
                    self._cluster.missed()

    def _take(self, place: Place, fields: list[bytes]) -> None:
        now = self._now()
        data = dict(zip(fields[::2], fields[1::2], strict=True)).get(FIELD, b"")
        self._read_to = place
        self._sizes.append((place, len(data)))
        self._bytes += len(data)
        if len(self._sizes) > 2 * STORED_EVENTS:
            self._bytes -= self._sizes.popleft()[1]
        age_s = max(0.0, (self._server_ms() - place[0]) / 1000)
        self._cluster.take(data, now, age_s=age_s, is_past=place <= self._past)

    def _server_ms(self) -> float:
        return self._now() * 1000 + self._ahead_ms


async def _ends(server: Server) -> tuple[Place, Place]:
    """The newest entry that there has been, and the oldest one still there: what is trimmed is noted nowhere."""
    if not await server.ask(b"EXISTS", STREAM):
        return (0, 0), (0, 0)
    found = await server.ask(b"XINFO STREAM", STREAM)
    newest = _place(found[b"last-generated-id"])
    return newest, _place(found[b"recorded-first-entry-id"]) if found[b"length"] else (newest[0], newest[1] + 1)


async def _run_of(server: Server) -> bytes:
    """Another one whenever the server has been started."""
    found = await server.ask(b"INFO", b"server")
    return bytes(found).partition(b"run_id:")[2].partition(b"\r")[0]


def _place(found: bytes) -> Place:
    ms, _, number = found.partition(b"-")
    return int(ms), int(number or 0)


def _written(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def _reason(trouble: BaseException) -> str:
    while isinstance(trouble, BaseExceptionGroup):
        trouble = trouble.exceptions[0]
    if isinstance(trouble, trio.TooSlowError):
        return f"it has not answered in {LIMIT_S:g} s"
    return str(trouble) or type(trouble).__name__


_BROKEN: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, TimeoutError)
"""What a connection that ends under coredis may raise besides its own errors."""
