"""A relay's way to the others: channels and a stream of one Redis (or Valkey).

What a relay says it publishes on its own channel and then adds to the stream. All others hear the channel; the stream
is for whoever could not: when a relay is connected anew, it reads on from where it was while it hears already, and
works on what it hears when it has read all. A server that takes nothing, because its memory is full or it only copies
another one, is as good as away.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import trio
from coredis.exceptions import RedisError

from myownmesh.cluster.outbox import BATCH_BYTES
from myownmesh.relay.store import RETENTION_S, STORED_BYTES, STORED_EVENTS
from myownmesh.relay_worker.redis_server import ANSWER_BYTES, LIMIT_S, READ_AT_ONCE, Server, TooLong, connected, packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.cluster.cluster import Cluster
    from myownmesh.relay_worker.redis_server import Wire
    from myownmesh.worker.loop import Loop

_EMPTY: Final = b"$0\r\n\r\n"
STREAM: Final = b"myownmesh:relay"
CHANNELS: Final = STREAM + b":"
"""With the name of a relay."""
FIELD: Final = b"b"
RETRY_S: Final = 1.0
CONFIRM_S: Final = 1.0
"""So often the server is asked whether it took what was said: an answer each time wakes this process once more."""
SLICE_S: Final = 0.005
"""So long what was read is worked on before clients have their turn."""
KEPT_WHEN_FULL: Final = STORED_EVENTS // 8
ON_THE_WAY_BYTES: Final = 16 * BATCH_BYTES
"""Said, and not known to have been taken; the rest waits where it is bounded."""

_ADD: Final = packed(b"XADD", STREAM, b"MAXLEN", b"~", STORED_EVENTS, b"*", FIELD, b"").removesuffix(_EMPTY)
"""All but the last word, as in what is published: what is said most is not written anew each time."""

Place = tuple[int, int]
"""Of an entry in the stream: milliseconds of the server's clock, and a number within them."""


class Bus:
    """The channels and the stream of one server, for as long as the relay runs."""

    def __init__(
        self,
        url: str,
        cluster: Cluster,
        loop: Loop,
        name: str,
        group: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is this relay's; with a `group` nobody is heard whose name begins so. Both of letters and digits."""
        self._others = _others(group or name)
        self._publish = packed(b"PUBLISH", CHANNELS + name.encode(), b"").removesuffix(_EMPTY)
        self._url = url
        self._cluster = cluster
        self._loop = loop
        self._now = now
        self._server: Server | None = None
        self._connecting: _Connecting | None = None
        self._retry_at = now()
        self._read_to: Place | None = None
        """All up to here has been heard; None before the first connection."""
        self._is_to_jump = False
        """What comes behind this place cannot be read."""
        self._past: Place = (0, 0)
        """What was there when this relay came up."""
        self._ahead_ms: float | None = None
        """Of the server's clock, before ours; None until it is known for this connection."""
        self._said: deque[bytes] = deque()
        """Batches of which nobody knows whether the server took them. Hearing them twice does no harm."""
        self._said_bytes = 0
        self._unconfirmed = 0
        """How many of them, the last ones, the server was not asked about."""
        self._confirm_at = now()
        self._hears_itself = False
        self._is_refused = False
        self._is_behind = True
        """What was missed has not been read and worked on."""
        self._is_reading = False
        self._read: deque[tuple[Place, bytes]] = deque()
        self._is_there_more = False
        self._held: deque[bytes] = deque()
        """What was heard while it was behind."""
        self._held_bytes = 0
        self._sizes: deque[tuple[Place, int]] = deque()
        self._bytes = 0
        logging.getLogger("coredis").setLevel(logging.CRITICAL)  # what it has to say is raised, and told by `problem`
        cluster.on_outgoing = partial(self._loop.soon, self._say)
        cluster.parted("it has not been reached yet")

    def next_timer(self) -> float:
        """When `tick` has something to do at the latest."""
        if self._server is None:
            return self._retry_at if self._connecting is None else float("inf")
        due = self._cluster.next_beat()
        if self._unconfirmed and self._confirm_at < due:
            due = self._confirm_at
        owed = self._server.due()
        return due if owed is None or due < owed else owed

    def tick(self, now: float) -> None:
        """Due at `next_timer`, and at any other time."""
        server = self._server
        if server is None:
            if self._connecting is None and now >= self._retry_at:
                self._connecting = _Connecting(self._url, self._loop, self._connected)
        elif server.is_late():
            server.close()
            self._is_away(trio.TooSlowError())
        elif not server.is_open:
            return
        elif self._ahead_ms is not None and self._cluster.is_beat_due(now):
            self._put(self._cluster.take_beat(), is_asked=True)
            self._trim(server)
            server.flush()
        elif self._unconfirmed and now >= self._confirm_at:
            self._put(self._cluster.take_beat(), is_asked=True)
            server.flush()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _connected(self, found: Wire | BaseException) -> None:
        self._connecting = None
        if isinstance(found, BaseException):
            self._is_away(found)
            return
        self._ahead_ms, self._is_refused = None, False
        self._is_behind = self._is_reading = True
        self._read.clear()
        self._held.clear()
        self._held_bytes = 0
        self._server = server = Server(found, self._loop, self._heard, self._is_away, self._now)
        self._hears_itself = False
        for channels in self._others:
            server.ask(self._subscribed, b"PSUBSCRIBE", channels)
        self._unconfirmed = 0
        if not self._said:
            self._put(self._cluster.take_beat(), is_asked=True)
        else:
            for batch in self._said:
                self._ask(server, batch, 1)
        server.flush()

    def _subscribed(self, answer: object) -> None:
        """An account may be allowed the channels of relays, and no choice among them."""
        if isinstance(answer, RedisError) and not self._hears_itself:
            assert self._server is not None
            self._hears_itself = True
            self._server.ask(self._should_be_done, b"PSUBSCRIBE", CHANNELS + b"*")
            self._server.flush()

    def _is_away(self, why: BaseException | str) -> None:
        self._server = None
        self._retry_at = self._now() + RETRY_S
        if isinstance(why, TooLong):
            self._is_to_jump = True
        self._cluster.parted(_reason(why))

    # ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _say(self) -> None:
        """What came up in one turn of the loop is said together."""
        if (server := self._server) is None or self._ahead_ms is None:
            return  # it is said as soon as they can hear
        now = self._now()
        while self._said_bytes < ON_THE_WAY_BYTES and (batch := self._cluster.take_batch(now)) is not None:
            is_much = self._said_bytes + len(batch) >= ON_THE_WAY_BYTES // 2
            self._put(batch, is_asked=is_much or now >= self._confirm_at)
        server.flush()

    def _put(self, batch: bytes, *, is_asked: bool) -> None:
        """`is_asked`: the server is to say that it took this, and all in front of it."""
        self._said.append(batch)
        self._said_bytes += len(batch)
        self._unconfirmed += 1
        assert self._server is not None
        if is_asked:
            self._ask(self._server, batch, self._unconfirmed)
            self._unconfirmed, self._confirm_at = 0, self._now() + CONFIRM_S
        else:
            self._server.tell_packed(b"".join(self._words(batch)))

    def _ask(self, server: Server, batch: bytes, count: int) -> None:
        published, added = self._words(batch)
        server.ask_packed(self._should_be_done, published)
        server.ask_packed(partial(self._added, count), added)

    def _words(self, batch: bytes) -> tuple[bytes, bytes]:
        """In this order whoever finds it in the stream, or adds something behind it, has been sent it before."""
        last = b"$%d\r\n%b\r\n" % (len(batch), batch)
        return self._publish + last, _ADD + last

    def _added(self, count: int, answer: bytes | RedisError) -> None:
        assert self._server is not None
        if self._is_refused:
            return
        if isinstance(answer, RedisError):
            # Nearly always for want of memory, of which the stream may be the cause.
            self._is_refused = True
            give_up = partial(self._give_up, f"it takes nothing: {answer}")
            self._server.ask(give_up, b"XTRIM", STREAM, b"MAXLEN", b"~", KEPT_WHEN_FULL)
            self._server.flush()
            return
        was_full = self._said_bytes >= ON_THE_WAY_BYTES
        for _ in range(count):
            self._said_bytes -= len(self._said.popleft())
        place = _place(answer)
        if self._ahead_ms is None:
            self._begin(self._server, place)
        elif not self._is_behind:
            # All that came before was published before, and has been heard.
            assert self._read_to is not None
            self._read_to = max(self._read_to, place)
        if was_full:
            self._say()

    def _give_up(self, why: str, _answer: object) -> None:
        assert self._server is not None
        self._server.close()
        self._is_away(why)

    def _should_be_done(self, answer: object) -> None:
        if isinstance(answer, RedisError):
            self._give_up(str(answer), answer)

    def _trim(self, server: Server) -> None:
        """No more bytes and no older ones than a relay keeps itself."""
        oldest_ms = int(self._server_ms() - RETENTION_S * 1000)
        while self._sizes and (self._sizes[0][0][0] < oldest_ms or self._bytes > STORED_BYTES):
            place, size = self._sizes.popleft()
            self._bytes -= size
            oldest_ms = max(oldest_ms, place[0])
        server.ask(self._should_be_done, b"XTRIM", STREAM, b"MINID", b"~", oldest_ms)

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, server: Server, place: Place) -> None:
        """They can be heard, and hear; `place` is where this relay's first words of this connection stand."""
        now = self._now()
        self._ahead_ms = place[0] - now * 1000
        if self._read_to is None:
            self._read_to, self._past = (0, 0), place
        elif place < self._read_to:  # another stream: the server lost this one, and its clock went back
            self._read_to, self._past = (0, 0), (0, 0)
        elif self._is_to_jump:
            self._read_to = place
            self._cluster.jumped(now)
        self._is_to_jump = False
        self._cluster.joined(now)
        self._ask_for_more(server)

    def _ask_for_more(self, server: Server) -> None:
        assert self._read_to is not None
        self._is_reading = True
        words = (b"COUNT", READ_AT_ONCE, b"STREAMS", STREAM, b"%d-%d" % self._read_to)
        server.ask(self._found, b"XREAD", *words)
        server.flush()

    def _found(self, answer: Any) -> None:
        if isinstance(answer, RedisError):
            self._give_up(str(answer), answer)
            return
        self._is_reading = False
        entries = next(iter(answer.values())) if answer else ()
        for name, fields in entries:
            self._read.append((_place(name), dict(zip(fields[::2], fields[1::2], strict=True)).get(FIELD, b"")))
        self._is_there_more = len(entries) == READ_AT_ONCE
        self._work()

    def _work(self) -> None:
        """On what was missed, then on what was heard meanwhile, in slices."""
        if (server := self._server) is None or self._is_reading:
            return
        until = self._now() + SLICE_S
        while self._read:
            place, data = self._read.popleft()
            self._read_to = place
            age_s = max(0.0, (self._server_ms() - place[0]) / 1000)
            self._take(place, data, age_s=age_s, is_past=place <= self._past)
            if self._now() > until:
                self._loop.soon(self._work)
                return
        if self._is_there_more:
            self._ask_for_more(server)
            return
        while self._held:
            data = self._held.popleft()
            self._held_bytes -= len(data)
            self._take_live(data)
            if self._now() > until:
                self._loop.soon(self._work)
                return
        self._is_behind = False

    def _heard(self, data: bytes) -> None:
        if not self._is_behind:
            self._take_live(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        while self._held_bytes > ANSWER_BYTES:  # whoever said it is asked: its next words have a later number
            self._held_bytes -= len(self._held.popleft())

    def _take_live(self, data: bytes) -> None:
        self._take((int(self._server_ms()), 0), data, age_s=0.0, is_past=False)

    def _take(self, place: Place, data: bytes, *, age_s: float, is_past: bool) -> None:
        self._sizes.append((place, len(data)))
        self._bytes += len(data)
        if len(self._sizes) > 2 * STORED_EVENTS:
            self._bytes -= self._sizes.popleft()[1]
        self._cluster.take(data, self._now(), age_s=age_s, is_past=is_past)

    def _server_ms(self) -> float:
        return self._now() * 1000 + (self._ahead_ms or 0.0)


class _Connecting:
    """A thread that connects, since that may wait: for names, for the server, for its password to be right."""

    def __init__(self, url: str, loop: Loop, then: Callable[[Wire | BaseException], None]) -> None:
        """`then` is called in the loop. Whatever goes wrong that is no trouble with a server is raised there."""
        self._loop = loop
        self._then = then
        self._done, theirs = socket.socketpair()
        self._found: Wire | BaseException | None = None
        loop.watch(self._done, self._ready)
        threading.Thread(target=self._connect, args=(url, theirs), daemon=True).start()

    def _connect(self, url: str, theirs: socket.socket) -> None:
        try:
            self._found = connected(url)
        except BaseException as error:  # noqa: BLE001  # `_ready` raises what is no trouble with a server
            self._found = error
        theirs.close()  # the other end can be read then

    def _ready(self, _events: int) -> None:
        self._loop.forget(self._done)
        self._done.close()
        assert self._found is not None
        if isinstance(self._found, BaseException) and not isinstance(_only(self._found), _TROUBLE):
            raise self._found
        self._then(self._found)


def _others(own: str) -> list[bytes]:
    """Patterns of channels: of each relay whose name does not begin with `own` one matches, and of others none.

    Whoever hears itself is woken by all that it says.
    """
    return [CHANNELS + f"{own[:at]}[^{each}]*".encode() for at, each in enumerate(own)]


def _place(found: bytes) -> Place:
    ms, _, number = found.partition(b"-")
    return int(ms), int(number or 0)


def _only(trouble: BaseException) -> BaseException:
    while isinstance(trouble, BaseExceptionGroup):
        trouble = trouble.exceptions[0]
    return trouble


def _reason(trouble: BaseException | str) -> str:
    if isinstance(trouble, str):
        return trouble
    trouble = _only(trouble)
    if isinstance(trouble, trio.TooSlowError):
        return f"it has not answered in {LIMIT_S:g} s"
    return str(trouble) or type(trouble).__name__


_BROKEN: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, TimeoutError)
"""What a connection that ends under coredis may raise besides its own errors."""
_TROUBLE: Final = (RedisError, OSError, ValueError, trio.TooSlowError, *_BROKEN)
"""`ValueError`: a URL that is none."""
