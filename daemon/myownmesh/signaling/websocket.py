"""WebSockets that no peer can stall, flood or crash: trio-websocket behind our limits (spec 03 §8, §19.1, §23-T).

The library bounds messages and queues. It does not bound the time of a write, empty fragments, or a handshake whose TCP
connection ends; a `GuardedStream` under it does. Everything that can go wrong on a link is one of `LINK_ERRORS`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import h11
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    wrap_client_stream,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from myownmesh.signaling.tls import OutOfDate, secured, secured_at_any_time
from myownmesh.signaling.trouble import Kind, Trouble, http_refusal, printable, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_websocket import (
        WebSocketConnection,
    )

    from mesh_common.addresses import RelayAddress
    from myownmesh.signaling.timepiece import Timepiece
    from myownmesh.signaling.validity import Period

MAX_MESSAGE_BYTES: Final = 2**20
"""Largest message in either direction; signaling needs a few kilobytes."""
DIAL_LIMIT_S: Final = 12.0
"""Name, TCP, TLS and upgrade together."""
WRITE_LIMIT_S: Final = 10.0
"""A socket that takes nothing for this long has a dead or hostile other end."""
CLOSE_LIMIT_S: Final = 0.5
_RECEIVE_BYTES: Final = 8192
"""Read at a time: the most tiny frames that can be worked on before other tasks get their turn."""
_RAW_BYTES_PER_MESSAGE: Final = MAX_MESSAGE_BYTES + 65536
_RAW_BYTES_PER_S: Final = 1024
"""What pings may add to that while no message comes."""
_MAX_FRAGMENTS: Final = 1024


class LinkLost(Exception):
    """The link broke, or its other end went beyond a limit; the message says which."""

    kind = Kind.CLOSED


class TlsFailed(LinkLost):
    """No TLS connection comes about: an unknown certificate, another name in it, or no TLS at all."""

    kind = Kind.TLS


class NotHttp(LinkLost):
    """What answers is no WebSocket server, or hangs up before it has answered."""

    kind = Kind.HTTP


class Unreachable(LinkLost):
    """No connection to the address."""

    kind = Kind.UNREACHABLE


LINK_ERRORS: Final = (
    LinkLost,
    ConnectionClosed,
    HandshakeError,
    ProtocolError,
    h11.ProtocolError,  # wsproto lets those of its HTTP parser through
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
    UnicodeError,  # names and headers that are no ASCII
)


class GuardedStream(trio.abc.Stream):
    """A byte stream with a time limit on writes and a byte limit on what is read without becoming a message."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self._allowance = float(_RAW_BYTES_PER_MESSAGE)
        self._counted_at = trio.current_time()
        self._connection: WebSocketConnection | None = None
        self._last_send: trio.CancelScope | None = None

    def upgraded(self, connection: WebSocketConnection) -> None:
        """The handshake is over: an end of the stream is now an ordinary end."""
        self._connection = connection

    def message_received(self) -> None:
        self._allowance = float(_RAW_BYTES_PER_MESSAGE)

    def end_after_next_send(self, scope: trio.CancelScope) -> None:
        """Cancel `scope` as soon as the next write is out."""
        self._last_send = scope

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(WRITE_LIMIT_S) as limit:
            try:
                await self._inner.send_all(data)
            except trio.BrokenResourceError as error:
                if self._connection is None:
                    # trio-websocket would wait for the answer to this request for ever.
                    raise LinkLost(f"the connection broke during the handshake: {error.__cause__ or error}") from error
                raise
        if limit.cancelled_caught:
            await trio.aclose_forcefully(self._inner)
            raise LinkLost(f"the other end took no data for {WRITE_LIMIT_S:g} s")
        if self._last_send is not None:
            self._last_send.cancel()

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = bytes(await self._inner.receive_some(max_bytes))
        except trio.ClosedResourceError:
            if self._connection is not None:
                raise
            raise trio.TooSlowError from None  # whoever dials has given up
        except trio.BrokenResourceError:
            if self._connection is not None:
                raise
            data = b""
        if self._connection is None and not data:
            # trio-websocket would wait for the rest of the handshake for ever; it also closes what is no HTTP.
            raise NotHttp("the connection ended during the handshake, or the other end speaks no HTTP")
        now = trio.current_time()
        earned = (now - self._counted_at) * _RAW_BYTES_PER_S
        self._allowance = min(_RAW_BYTES_PER_MESSAGE, self._allowance + earned) - len(data)
        self._counted_at = now
        if self._allowance < 0:
            raise LinkLost(f"{_RAW_BYTES_PER_MESSAGE} bytes came without a message in them")
        # The library counts the bytes of a message, and an empty fragment has none.
        if self._connection is not None and len(self._connection._message_parts) > _MAX_FRAGMENTS:
            raise LinkLost(f"a message came in more than {_MAX_FRAGMENTS} pieces")
        return data

    async def aclose(self) -> None:
        await self._inner.aclose()


class Socket:
    """One open WebSocket. Its nursery must be cancelled when it ends."""

    def __init__(self, connection: WebSocketConnection, stream: GuardedStream, local_address: str) -> None:
        self.local_address = local_address
        """The address of this machine that it goes from."""
        self._connection = connection
        self._stream = stream
        stream.upgraded(connection)

    async def send(self, text: str) -> None:
        """Raises one of LINK_ERRORS when the link is gone or takes nothing for 10 s."""
        await self._connection.send_message(text)

    async def receive(self) -> str | bytes:
        """The next message, at most 1 MiB. Raises one of LINK_ERRORS at the end."""
        message: str | bytes = await self._connection.get_message()
        self._stream.message_received()
        return message

    async def ping(self, limit_s: float) -> None:
        """Returns when the other end answered; raises one of LINK_ERRORS when it does not within `limit_s`."""
        with trio.fail_after(limit_s):
            await self._connection.ping()

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a Close and end the connection without waiting for the answer; at most 0.5 s, also when cancelled."""
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_LIMIT_S, shield=True) as scope:
            self._stream.end_after_next_send(scope)
            with suppress(*LINK_ERRORS):
                await self._connection.aclose(CloseReason.NO_STATUS_RCVD if code is None else code, reason)
        await self.abort()

    async def abort(self) -> None:
        """End the connection without a word."""
        await trio.aclose_forcefully(self._stream)


async def dial(
    nursery: trio.Nursery, address: RelayAddress, timepiece: Timepiece, connect_limit_s: float | None = None
) -> Socket:
    """Open a client WebSocket whose reader runs in `nursery`.

    The time that the other end tells goes to `timepiece`, which has a say when a certificate is out of date by our
    clock. Raises one of LINK_ERRORS, directly or through the nursery; a dial takes 12 s at most, its first packets
    `connect_limit_s`.
    """
    limit_s = DIAL_LIMIT_S if connect_limit_s is None else connect_limit_s
    with trio.fail_after(DIAL_LIMIT_S):
        try:
            return await _dial(nursery, address, timepiece, limit_s)
        except OutOfDate:
            return await _dial(nursery, address, timepiece, limit_s, at_any_time=True)


async def _dial(
    nursery: trio.Nursery, address: RelayAddress, timepiece: Timepiece, limit_s: float, *, at_any_time: bool = False
) -> Socket:
    with trio.fail_after(limit_s):
        stream = await _connected(address)
    guard = GuardedStream(stream)
    chain: list[Period] = []
    try:
        if address.tls:
            secure: trio.abc.Stream
            try:
                if at_any_time:
                    secure, chain = await secured_at_any_time(stream, address.host)
                else:
                    secure = await secured(stream, address.host)
            except trio.BrokenResourceError as error:
                raise TlsFailed(f"TLS with {address.host} failed: {error.__cause__ or error}") from error
            guard = GuardedStream(secure)
        # The request says nothing but the address, and an old key is good enough to hear what its owner calls the time.
        connection = await wrap_client_stream(
            nursery,
            guard,  # type: ignore[arg-type]  # any trio stream does
            address.authority,
            address.resource,
            max_message_size=MAX_MESSAGE_BYTES,
            receive_buffer_size=_RECEIVE_BYTES,
        )
        socket = Socket(connection, guard, stream.socket.getsockname()[0])
        date_s = date_of(connection.handshake_headers)
        if chain and (problem := timepiece.doubts(address.host, chain, date_s)):
            raise TlsFailed(f"TLS with {address.host} failed: {problem}")
    except BaseException:
        # Whatever ends the dial, cancellation too, must not leave the socket open.
        await trio.aclose_forcefully(guard)
        raise
    if date_s is not None:
        # Before the first word: what we ask for and what we write carry times that this relay judges.
        timepiece.relay_said(address.host, date_s)
    return socket


async def _connected(address: RelayAddress) -> trio.SocketStream:
    try:
        return await trio.open_tcp_stream(address.host, address.port)
    except ValueError as error:
        raise Unreachable(f"cannot dial {address.host}: {error}") from error
    except OSError as error:
        raise Unreachable(f"{address.host}:{address.port}: {connect_reasons(error)}") from error


def date_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The Unix time of an HTTP head's `Date`; None without a readable one."""
    for name, value in headers:
        if name.lower() == b"date":
            try:
                told = parsedate_to_datetime(value.decode("ascii"))
                return int(told.replace(tzinfo=told.tzinfo or UTC).timestamp())
            except (ValueError, OverflowError):
                return None
    return None


def connect_reasons(error: OSError) -> str:
    """Why none of a name's addresses can be connected to; `trio.open_tcp_stream` hides it in a group."""
    cause = error.__cause__
    causes = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause,)
    told = [each.strerror or str(each) for each in causes if isinstance(each, OSError)]
    return ", ".join(dict.fromkeys(told)) or error.strerror or str(error)


def trouble(error: BaseException) -> Trouble:
    """One of LINK_ERRORS as what it tells of the relay."""
    text = describe(error)
    match error:
        case LinkLost(kind=kind):
            return Trouble(kind, text)
        case trio.TooSlowError():
            return Trouble(Kind.SILENT, text)
        case ConnectionRejected(status_code=int() as status):
            return http_refusal(status)
        case ConnectionClosed(reason=reason) if reason is not None and reason.reason:
            said = refusal(reason.reason)
            return Trouble(Kind.CLOSED if said.kind is Kind.ERROR else said.kind, text)
        case ConnectionClosed():
            return Trouble(Kind.CLOSED, text)
        case HandshakeError() | ProtocolError() | h11.ProtocolError():
            return Trouble(Kind.HTTP, text)
        case OSError():
            return Trouble(Kind.UNREACHABLE, text)
        case _:
            return Trouble(Kind.CLOSED, text)


def describe(error: BaseException) -> str:
    """One of LINK_ERRORS in words for a log line."""
    match error:
        case trio.TooSlowError():
            return "no answer in time"
        case h11.ProtocolError():
            return "the other end speaks no HTTP"
        case ConnectionRejected():
            return http_refusal(error.status_code).text
        case ConnectionClosed(reason=reason) if reason is not None:
            told = f": {printable(reason.reason)}" if reason.reason else ""
            return f"the connection was closed ({reason.code}{told})"
        case _:
            return str(error) or str(error.__cause__ or "") or type(error).__name__
