"""Calls over the mesh: our own pending ones and those that peers make here (spec 01 §11 with its rules for us).

Synchronous and without I/O: frames go out through the `send` it is given, `done` callbacks come back from there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from myownmesh.mesh.errors import DoesNotFit, MeshError, NotLinked
from myownmesh.mesh.link import NOT_OPEN
from myownmesh.mesh.refusals import no_handler, no_open_stream
from myownmesh.protocol.frames import RpcRequest, RpcResponse, RpcStreamChunk, RpcStreamEnd
from myownmesh.protocol.ids import random_request_ids

if TYPE_CHECKING:
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.ids import Rng

    class Sender(Protocol):
        """How frames leave."""

        def __call__(self, peer: str, frame: Frame, done: Callable[[str | None], None], *, urgent: bool = False) -> int:
            """Return the epoch of the link that took the frame; `urgent` ones go ahead of what waits.

            Raises `MeshError` before anything is queued; what is lost later is reported through `done`.
            """
            ...


T = TypeVar("T")

CALL_CEILING_S = 600.0
"""A call that waits for a person fits (spec 08 §9.2)."""

MAX_INBOUND_PER_PEER = 256
"""Calls of one peer that may be under way here at a time."""

MAX_PENDING = 4096
"""Our own calls under way per network."""

IDS_AT_ONCE = 32

NETWORK_DOWN = "network down"
STREAM_GAP = "stream chunk missing"
TIMED_OUT = "call timed out"
TOO_MANY = "too many calls under way"

_NULL = msgspec.Raw(b"null")


class _PendingCall(msgspec.Struct, eq=False):
    epoch: int
    deadline: float
    on_done: Callable[[msgspec.Raw | None, str | None], None]


class _PendingStream(msgspec.Struct, eq=False):
    epoch: int
    on_chunk: Callable[[msgspec.Raw], None]
    on_end: Callable[[str | None], None]
    next_seq: int = 1


class Handler(msgspec.Struct, eq=False):
    """A method that is served here. Its kind decides the shape of the reply, not the request's flag."""

    call: Callable[[InboundCall], None]
    streaming: bool


class InboundCall(msgspec.Struct, eq=False):
    """One call of a peer, until it is answered or its link drops."""

    peer: str
    request_id: str
    method: str
    payload: msgspec.Raw
    streaming: bool
    """The flag of the request."""
    epoch: int
    _rpc: Rpc
    closed: bool = False
    on_gone: Callable[[], None] | None = None
    """Called once when the caller's link drops before the call was answered."""
    _seq: int = 0

    def respond(self, ok: msgspec.Raw | None, error: str | None) -> None:
        """Answer a single call. Raises `MeshError` when the answer does not fit; the caller then gets that text."""
        self._rpc.finish(self)
        frame = RpcResponse(request_id=self.request_id, ok=None if error is not None else ok, error=error)
        self._rpc.reply(self, frame, lambda text: RpcResponse(request_id=self.request_id, ok=None, error=text))

    def post_chunk(self, payload: msgspec.Raw, done: Callable[[str | None], None]) -> None:
        """Send the next chunk. A chunk that cannot be sent ends the stream with an error (spec 01 §11.3)."""
        if self.closed:
            done(no_open_stream(self.request_id))
            return
        self._seq += 1
        frame = RpcStreamChunk(request_id=self.request_id, seq=self._seq, payload=payload)

        def sent(error: str | None) -> None:
            if error is not None and not self.closed:
                self.end(error)
            done(error)

        try:
            self._rpc.send(self.peer, frame, sent)
        except MeshError as error:
            if not self.closed:
                self.end(str(error))
            done(str(error))

    def end(self, error: str | None) -> None:
        """End a stream; `error` None is a clean end. A second end does nothing."""
        if self.closed:
            return
        self._rpc.finish(self)
        frame = RpcStreamEnd(request_id=self.request_id, error=error)
        self._rpc.reply(self, frame, lambda text: RpcStreamEnd(request_id=self.request_id, error=text))


def _ignore(_error: str | None) -> None:
    """A reply that is lost with its link needs no further word: the caller's side fails the call itself."""


class Rpc:
    """Both sides of the calls of one network."""

    def __init__(self, send: Sender, rng: Rng) -> None:
        self.send = send
        self._rng = rng
        self._ids: list[str] = []
        self._calls: dict[tuple[str, str], _PendingCall] = {}
        self._deadlines: list[tuple[float, tuple[str, str]]] = []
        self._streams: dict[tuple[str, str], _PendingStream] = {}
        self._inbound: dict[tuple[str, str], InboundCall] = {}
        self._inbound_per_peer: dict[str, int] = {}
        self._handlers: dict[str, Handler] = {}

    @property
    def under_way(self) -> int:
        """Calls and streams, ours and those that peers make here, that are not over."""
        return len(self._calls) + len(self._streams) + len(self._inbound)

    # ── our calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def call(
        self,
        peer: str,
        method: str,
        payload: msgspec.Raw,
        on_done: Callable[[msgspec.Raw | None, str | None], None],
        *,
        now_s: float,
        timeout_s: float = CALL_CEILING_S,
    ) -> Callable[[], None]:
        """Start a single call; `on_done(ok, error)` is called exactly once unless the returned cancel is."""
        if len(self._calls) >= MAX_PENDING:
            on_done(None, TOO_MANY)
            return _nothing
        key = (peer, self._new_id())
        pending = _PendingCall(-1, now_s + min(timeout_s, CALL_CEILING_S), on_done)
        self._calls[key] = pending
        heapq.heappush(self._deadlines, (pending.deadline, key))
        if len(self._deadlines) > 2 * MAX_PENDING:
            self._deadlines = sorted((call.deadline, key) for key, call in self._calls.items())
        frame = RpcRequest(request_id=key[1], method=method, payload=payload, streaming=False)

        def sent(error: str | None) -> None:
            if error is not None and self._calls.pop(key, None) is not None:
                on_done(None, error)

        try:
            pending.epoch = self.send(peer, frame, sent)
        except MeshError as error:
            sent(_as_call_error(peer, error))
        return partial(_discard, self._calls, key)

    def call_stream(
        self,
        peer: str,
        method: str,
        payload: msgspec.Raw,
        on_chunk: Callable[[msgspec.Raw], None],
        on_end: Callable[[str | None], None],
    ) -> Callable[[], None]:
        """Start a stream call. Raises `MeshError` when the request cannot be sent; otherwise `on_end` comes once."""
        if len(self._streams) >= MAX_PENDING:
            raise MeshError(TOO_MANY)
        key = (peer, self._new_id())
        pending = _PendingStream(-1, on_chunk, on_end)
        self._streams[key] = pending
        frame = RpcRequest(request_id=key[1], method=method, payload=payload, streaming=True)

        def sent(error: str | None) -> None:
            if error is not None and self._streams.pop(key, None) is not None:
                on_end(error)

        try:
            pending.epoch = self.send(peer, frame, sent)
        except MeshError as error:
            self._streams.pop(key, None)
            raise MeshError(_as_call_error(peer, error)) from error
        return partial(_discard, self._streams, key)

    def _new_id(self) -> str:
        if not self._ids:
            self._ids = random_request_ids(self._rng, IDS_AT_ONCE)
        return self._ids.pop()

    # ── what is served here ───────────────────────────────────────────────────────────────────────────────────────────

    def serve(self, method: str, handler: Callable[[InboundCall], None], *, streaming: bool) -> None:
        """Serve `method`; an earlier handler is replaced."""
        self._handlers[method] = Handler(handler, streaming)

    def unserve(self, method: str) -> None:
        self._handlers.pop(method, None)

    # ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, peer: str, epoch: int, frame: RpcRequest | RpcResponse | RpcStreamChunk | RpcStreamEnd) -> None:
        """Take one frame of an admitted peer."""
        match frame:
            case RpcRequest():
                self._requested(peer, epoch, frame)
            case RpcResponse():
                self._responded(peer, frame)
            case RpcStreamChunk():
                self._chunk(peer, frame)
            case RpcStreamEnd():
                self._ended(peer, frame)

    def link_down(self, peer: str, epoch: int) -> None:
        """Fail whatever used this link: a late answer over the next one is not ours to take (spec 01 §11.3)."""
        for key in [k for k, call in self._calls.items() if k[0] == peer and call.epoch == epoch]:
            self._calls.pop(key).on_done(None, NETWORK_DOWN)
        for key in [k for k, stream in self._streams.items() if k[0] == peer and stream.epoch == epoch]:
            self._streams.pop(key).on_end(NETWORK_DOWN)
        for call in [c for c in self._inbound.values() if c.peer == peer and c.epoch == epoch]:
            self.finish(call)
            if call.on_gone is not None:
                call.on_gone()

    def shut_down(self) -> None:
        """The network goes: every call ends with `network down`."""
        links = {(k[0], c.epoch) for k, c in self._calls.items()} | {(k[0], s.epoch) for k, s in self._streams.items()}
        links |= {(c.peer, c.epoch) for c in self._inbound.values()}
        for peer, epoch in links:
            self.link_down(peer, epoch)

    @property
    def next_deadline(self) -> float | None:
        """Monotonic second of the next time-out; may belong to a call that has ended meanwhile."""
        return self._deadlines[0][0] if self._deadlines else None

    def expire(self, now_s: float) -> None:
        """Fail single calls whose time is up."""
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, key = heapq.heappop(self._deadlines)
            call = self._calls.get(key)
            if call is not None and call.deadline <= now_s:
                del self._calls[key]
                call.on_done(None, TIMED_OUT)

    # ── replies ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self, call: InboundCall) -> None:
        """Take a call out of the table; nothing more can be sent for it but the reply that follows."""
        if call.closed:
            return
        call.closed = True
        if self._inbound.get((call.peer, call.request_id)) is call:
            del self._inbound[call.peer, call.request_id]
            left = self._inbound_per_peer[call.peer] - 1
            if left:
                self._inbound_per_peer[call.peer] = left
            else:
                del self._inbound_per_peer[call.peer]

    def reply(self, call: InboundCall, frame: Frame, instead: Callable[[str], Frame]) -> None:
        """Send the last frame of a call; one that does not fit becomes an error frame and raises `MeshError`.

        One that is lost to a congested link is followed by a short error ahead of the queue: better late and wrong than
        a caller that waits for its own time limit.
        """

        def sent(error: str | None) -> None:
            if error is not None and error != NOT_OPEN:
                with suppress(MeshError):  # the link has gone meanwhile, and with it the call
                    self.send(call.peer, instead(error), _ignore, urgent=True)

        try:
            self.send(call.peer, frame, sent)
        except DoesNotFit as error:
            self.send(call.peer, instead(str(error)), _ignore)
            raise

    def _requested(self, peer: str, epoch: int, frame: RpcRequest) -> None:
        key = (peer, frame.request_id)
        handler = self._handlers.get(frame.method)
        if handler is None:
            self._refuse(peer, frame, no_handler(frame.method))
            return
        if key in self._inbound:
            return  # the id is taken by a call under way; an answer here would end that one at the caller
        if self._inbound_per_peer.get(peer, 0) >= MAX_INBOUND_PER_PEER:
            self._refuse(peer, frame, f"{TOO_MANY} ({MAX_INBOUND_PER_PEER})")
            return
        call = InboundCall(
            peer=peer,
            request_id=frame.request_id,
            method=frame.method,
            payload=frame.payload,
            streaming=frame.streaming,
            epoch=epoch,
            _rpc=self,
        )
        self._inbound[key] = call
        self._inbound_per_peer[peer] = self._inbound_per_peer.get(peer, 0) + 1
        handler.call(call)

    def _refuse(self, peer: str, frame: RpcRequest, text: str) -> None:
        try:
            self.send(peer, RpcResponse(request_id=frame.request_id, ok=None, error=text), _ignore)
        except MeshError as error:
            _ignore(str(error))

    def _responded(self, peer: str, frame: RpcResponse) -> None:
        key = (peer, frame.request_id)
        if (call := self._calls.pop(key, None)) is not None:
            if frame.error is not None:
                call.on_done(None, _handler_failed(frame.error))
            else:
                call.on_done(frame.ok, None)
        elif (stream := self._streams.pop(key, None)) is not None:
            if frame.error is None:
                stream.on_chunk(frame.ok if frame.ok is not None else _NULL)
            stream.on_end(frame.error)

    def _chunk(self, peer: str, frame: RpcStreamChunk) -> None:
        key = (peer, frame.request_id)
        stream = self._streams.get(key)
        if stream is None:
            return
        if frame.seq != stream.next_seq:
            del self._streams[key]
            stream.on_end(STREAM_GAP)
            return
        stream.next_seq += 1
        stream.on_chunk(frame.payload)

    def _ended(self, peer: str, frame: RpcStreamEnd) -> None:
        key = (peer, frame.request_id)
        if (stream := self._streams.pop(key, None)) is not None:
            stream.on_end(frame.error)
        elif (call := self._calls.pop(key, None)) is not None:
            call.on_done(None, _handler_failed(frame.error) if frame.error is not None else NETWORK_DOWN)


def _handler_failed(text: str) -> str:
    """Spec 05 §13.1: what our caller reads when the peer's side failed the call."""
    return f"handler returned error: {text}"


def _as_call_error(peer: str, error: MeshError) -> str:
    """The reference words an unknown peer differently for calls than for channel sends (spec 01 §11.1)."""
    return f"peer peer not found: {peer} not in active set" if isinstance(error, NotLinked) else str(error)


def _discard(table: dict[tuple[str, str], T], key: tuple[str, str]) -> None:
    table.pop(key, None)


def _nothing() -> None:
    pass
