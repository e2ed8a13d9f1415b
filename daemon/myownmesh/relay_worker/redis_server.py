"""A connection to the server of a bus. coredis makes it, with whatever its URL asks for, and writes and reads words.

What flows through it then is the business of the relay's own loop: coredis' requests pass three tasks of a scheduler
each way, which cost more than all that a relay does with an event (measured).
"""

from __future__ import annotations

import re
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import anyio
import trio
from anyio.abc import ByteStream, SocketAttribute
from coredis._packer import Packer
from coredis.connection import TCPConnection, UnixDomainSocketConnection
from coredis.constants.resp import DataType
from coredis.exceptions import RedisError
from coredis.parser import NotEnoughData, Parser
from coredis.pool import ConnectionPool

from myownmesh.cluster.entries import MAX_BATCH_BYTES
from myownmesh.worker.loop import READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.worker.loop import Loop

LIMIT_S: Final = 5.0
"""So long the server may owe an answer and say nothing at all: much of others may come before it."""
READ_AT_ONCE: Final = 16
ANSWER_BYTES: Final = READ_AT_ONCE * (MAX_BATCH_BYTES + 1024)
"""No answer to an honest relay is longer. Whatever somebody else has put into the stream, no more of it is read."""
_CHUNK: Final = 32768
_CHUNKS: Final = 8
"""Read at once, before clients have their turn: thousands of them may be ready."""
READ_MOST: Final = 2**20
"""What has been read of the parser's buffer, which coredis empties only when nothing is left in it."""


_packer: Final = Packer("utf-8")


class TooLong(RedisError):
    """An answer is longer than any that is for relays."""

    def __init__(self) -> None:
        super().__init__("something on it is longer than anything of ours")


class Wire(ByteStream):
    """A socket that never waits: coredis' while it shakes hands, then the loop's."""

    def __init__(self, made: socket.socket) -> None:
        self.socket = made
        self.is_ours = False
        """Whoever ends coredis' connection leaves it open."""
        self._left = ANSWER_BYTES

    def read(self) -> bytes | None:
        """What has come; None when nothing has, b"" when there is no more. Raises OSError."""
        try:
            data = self.socket.recv(_CHUNK)
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                data += self.socket.recv(_CHUNK)  # nobody would be told that it waits
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:
            return b""
        return data

    def write(self, data: bytes | bytearray) -> int:
        """How much of it was taken. Raises OSError."""
        try:
            return self.socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    # ── for coredis ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def receive(self, max_bytes: int = 65536) -> bytes:
        del max_bytes
        while (data := self.read()) is None:
            await trio.lowlevel.wait_readable(self.socket)
        self._left -= len(data)
        if self._left < 0:
            raise TooLong
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        while item := item[self.write(item) :]:
            await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        if not self.is_ours:
            self.socket.close()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {SocketAttribute.raw_socket: lambda: self.socket}


async def _wire(stream: ByteStream) -> Wire:
    made = stream.extra(SocketAttribute.raw_socket).dup()
    await stream.aclose()
    made.setblocking(False)
    return Wire(made)


class OverTcp(TCPConnection):
    async def _connect(self) -> ByteStream:
        context, self._ssl_context = self._ssl_context, None
        wire = await _wire(await super()._connect())
        if context is not None:
            host = self.location.host
            made = context.wrap_socket(wire.socket, do_handshake_on_connect=False, server_hostname=host)
            wire.socket = made
            await _shake_hands(made)
        return wire


class OverUnix(UnixDomainSocketConnection):
    async def _connect(self) -> ByteStream:
        return await _wire(await super()._connect())


async def _shake_hands(made: ssl.SSLSocket) -> None:
    while True:
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(made)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(made)
        else:
            return


def connected(url: str) -> Wire:
    """A connection that the server has let in, for a thread that may wait: ten seconds at most.

    Raises `RedisError`, `OSError`, `trio.TooSlowError`, alone or in groups.
    """
    return trio.run(_connected, url)


async def _connected(url: str) -> Wire:
    scheme, colon, rest = url.partition(":")
    url = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme) + colon + rest
    pool: ConnectionPool[Any] = ConnectionPool.from_url(
        url, connect_timeout=LIMIT_S, max_connections=1, client_name="myownmesh-relay"
    )
    pool.connection_class = OverUnix if pool.connection_class is UnixDomainSocketConnection else OverTcp
    async with pool:
        with trio.fail_after(2 * LIMIT_S):
            connection = await pool.get_connection()
        wire = connection.stream
        assert isinstance(wire, Wire)
        wire.is_ours = True
    return wire


def packed(command: bytes, *words: bytes | str | int) -> bytes:
    """A request as it is written (RESP)."""
    return b"".join(_packer.pack_command(command, *words))


_ANSWER: Final = packed(b"CLIENT", b"REPLY", b"ON")
_DO_NOT_ANSWER: Final = packed(b"CLIENT", b"REPLY", b"OFF")


_MESSAGE: Final = re.compile(
    rb">4\r\n\$8\r\npmessage\r\n\$[0-9]{1,3}\r\n[^\r]*\r\n\$([0-9]{1,3})\r\n([^\r]*)\r\n\$([0-9]{1,7})\r\n"
)
"""What others publish, up to its bytes: the pattern, which is one of ours, the channel's name, how long it is. The
parser takes ten times as long, and whatever is written otherwise is left to it."""


def _nothing(_answer: object) -> None:
    """It is in the order of answers."""


class Server:
    """The connection in a relay's loop: requests one behind the other, none of which waits for an answer."""

    def __init__(
        self,
        wire: Wire,
        loop: Loop,
        heard: Callable[[bytes], None],
        broken: Callable[[BaseException | str], None],
        now: Callable[[], float],
    ) -> None:
        """`heard` takes what others publish, `broken` why the connection is over: it is closed by then."""
        self._wire = wire
        self._loop = loop
        self._heard = heard
        self._broken = broken
        self._now = now
        self._parser = Parser()
        self._unread = 0
        """Bytes since the last whole answer began, or before."""
        self._out = bytearray()
        self._is_stuck = False
        """The socket takes no more, and says when it does."""
        self._asked: deque[tuple[float, Callable[[Any], None]]] = deque()
        self._read_at = now()
        self._is_quiet = False
        """The server answers nothing; what others publish it says nevertheless."""
        self.is_open = True
        loop.watch(wire.socket, self._ready)

    def ask(self, then: Callable[[Any], None], command: bytes, *words: bytes | str | int) -> None:
        """It goes with the next `flush`; `then` is handed the answer, which may be a `RedisError`."""
        self.ask_packed(then, packed(command, *words))

    def ask_packed(self, then: Callable[[Any], None], text: bytes) -> None:
        """The same as it is written."""
        if self._is_quiet:
            self._is_quiet = False
            self.ask_packed(_nothing, _ANSWER)
        self._out += text
        self._asked.append((self._now(), then))

    def tell_packed(self, text: bytes) -> None:
        """The same, and nobody hears whether it was done: an answer to each costs more than all that is told."""
        if not self._is_quiet:
            self._is_quiet = True
            self._out += _DO_NOT_ANSWER
        self._out += text

    def flush(self) -> None:
        if self.is_open and not self._is_stuck:
            self._write()

    def due(self) -> float | None:
        """When it should have answered what it was asked first, unless it says something before that."""
        return max(self._asked[0][0], self._read_at) + LIMIT_S if self._asked else None

    def is_late(self) -> bool:
        """It owes an answer, and nothing of it is there: also if this process stood still, or had no time to read."""
        if not self._is_overdue():
            return False
        self._ready(READ)
        return self._is_overdue()

    def _is_overdue(self) -> bool:
        due = self.due()
        return self.is_open and due is not None and self._now() >= due

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.forget(self._wire.socket)
            self._wire.socket.close()

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE and self._is_stuck:
                self._write()
            if events & READ:
                self._read()
        except (OSError, RedisError, ValueError, IndexError) as error:  # the last two: it speaks something else
            self._fail(error)

    def _read(self) -> None:
        for _ in range(_CHUNKS):
            if not self.is_open or (data := self._wire.read()) is None:
                return
            if not data:
                self._fail("it has hung up")
                return
            self._read_at = self._now()
            self._take(data)
            if len(data) < _CHUNK:
                return

    def _write(self) -> None:
        try:
            del self._out[: self._wire.write(self._out)]
        except OSError as error:
            self._fail(error)
            return
        if self._is_stuck is not bool(self._out):
            self._is_stuck = bool(self._out)
            self._loop.change(self._wire.socket, READ | WRITE if self._is_stuck else READ)

    def _take(self, data: bytes) -> None:
        if not self._unread:
            data = self._taken(data)
            if not data:
                return
        parser = self._parser
        parser.feed(data)
        self._unread += len(data)
        while self.is_open:
            found = parser.parse()
            if isinstance(found, NotEnoughData):
                if self._unread > ANSWER_BYTES:
                    raise TooLong
                if parser.bytes_read > READ_MOST:
                    _forget_what_was_read(parser)
                return
            self._unread = parser.bytes_written - parser.bytes_read
            kind, value = found
            if kind is DataType.PUSH and isinstance(value, list) and value[0] == b"pmessage":
                self._heard(value[3])  # type: ignore[arg-type]  # whoever publishes, publishes bytes
            elif self._asked:  # also that it has subscribed, which is said so
                self._asked.popleft()[1](value)

    def _taken(self, data: bytes) -> bytes:
        """What comes behind the messages that stand whole in front, which is what most comes as; they are heard."""
        at = 0
        while self.is_open and (found := _MESSAGE.match(data, at)) is not None:
            end = found.end() + int(found[3])
            if len(found[2]) != int(found[1]) or data[end : end + 2] != b"\r\n":
                break
            self._heard(data[found.end() : end])
            at = end + 2
        return data[at:] if self.is_open else b""

    def _fail(self, reason: BaseException | str) -> None:
        self.close()
        self._broken(reason)


def _forget_what_was_read(parser: Parser) -> None:
    buffer = parser.localbuffer
    buffer.seek(parser.bytes_read)
    rest = buffer.read()
    buffer.seek(0)
    buffer.truncate()
    parser.bytes_read = parser.bytes_written = 0
    parser.feed(rest)
