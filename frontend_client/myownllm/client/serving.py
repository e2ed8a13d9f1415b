"""Answering peers: a feature's function runs, and what it gives goes to the caller (spec 08 §9.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client.blobs import stream_id_of
from myownllm.client.large import fitting
from myownllm.client.messages import Served
from myownllm.client.pieces import Gatherer
from myownllm.client.registry import InboundCall
from myownllm.errors import FAILURES, AppError
from myownllm.payloads import PayloadError, structure
from myownllm.refusals import CANCELLED_TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh_common.client.session import Session as Bridge
    from myownllm.client.lanes import Spawn
    from myownllm.client.large import Arrivals
    from myownllm.client.messages import Serve
    from myownllm.coerce import Json

TAKEN_BACK_KEPT: Final = 64
"""Streams that were taken back lately: the call of one may still be on its way."""
PIECES_AHEAD: Final = 16
"""Pieces that a feature may have ready while the daemon takes one."""
LEAVE_S: Final = 5.0
"""For the end of a stream whose caller does not want it any more."""


@attrs.define(eq=False)
class _Running:
    order: Serve
    call: InboundCall
    scope: trio.CancelScope
    refusal: str | None = None
    """what its caller is told when it is ended from here; None while it is not"""


class Serving:
    """The calls that are being answered. Each ends with `Served`, unless its life ends before."""

    def __init__(self, spawn: Spawn, arrivals: Arrivals, feed: Callable[[Served], None]) -> None:
        self._spawn = spawn
        self._arrivals = arrivals
        self._feed = feed
        self._running: dict[str, _Running] = {}
        self._taken_back: deque[tuple[str, str]] = deque(maxlen=TAKEN_BACK_KEPT)

    def begin(self, bridge: Bridge, order: Serve) -> None:
        """Answer an admitted call; from now on it can be cancelled."""
        raw = order.call.payload
        call = InboundCall(order.peer, order.call.method, raw, stream_id_of(raw), trio.Event())
        running = self._running[order.call.request_id] = _Running(order, call, trio.CancelScope())
        self._spawn(order.life, lambda: self._run(bridge, running))

    def cancel_stream(self, peer: str, stream_id: str) -> None:
        """Its caller takes it back (FE-9.7), perhaps before the call is here."""
        self._taken_back.append((peer, stream_id))
        self._end(lambda r: r.order.call.peer == peer and stream_id != "" and r.call.stream_id == stream_id, "")

    def end_peer(self, peer: str, text: str) -> None:
        """The caller is gone for good."""
        self._end(lambda r: r.order.call.peer == peer, text)

    def end_method(self, method: object, text: str) -> None:
        """The method is served no longer."""
        self._end(lambda r: r.order.method is method, text)

    def _end(self, which: Callable[[_Running], bool], refusal: str) -> None:
        for running in tuple(self._running.values()):
            if running.refusal is None and which(running):
                running.refusal = refusal
                if running.call.cancelled is not None:
                    running.call.cancelled.set()
                running.scope.cancel()

    async def _run(self, bridge: Bridge, running: _Running) -> None:
        order = running.order
        refusal = ""
        try:
            with running.scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                refusal = await self._answer(bridge, running)
            if running.scope.cancelled_caught:
                refusal = running.refusal or CANCELLED_TEXT
                if not running.refusal and order.method.streaming:
                    await _leave(bridge, order.call.request_id)
                    refusal = ""
        finally:
            del self._running[order.call.request_id]
        self._feed(Served(order, refusal))

    async def _answer(self, bridge: Bridge, running: _Running) -> str:
        """Returns why the caller must still be refused."""
        order = running.order
        await self._end_if_taken_back(running)
        try:
            whole = await self._arrivals.whole(order.call.peer, order.call.payload)
        except PayloadError as error:
            return str(error)
        if whole is not order.call.payload:
            running.call = attrs.evolve(running.call, payload=whole, stream_id=stream_id_of(whole))
            await self._end_if_taken_back(running)  # the parts of an older app do not say whose they are
        return await serve(bridge, order, running.call)

    async def _end_if_taken_back(self, running: _Running) -> None:
        if (running.order.call.peer, running.call.stream_id) in self._taken_back:
            self._end(lambda r: r is running, "")
        await trio.lowlevel.checkpoint_if_cancelled()


async def _leave(bridge: Bridge, request_id: str) -> None:
    try:
        await bridge.command("rpc_stream_end", request_id=request_id, error=CANCELLED_TEXT, timeout=LEAVE_S)
    except ControlError:
        return  # the caller has gone, or the daemon


async def serve(bridge: Bridge, order: Serve, call: InboundCall) -> str:
    """Run the method for an admitted call and send what comes.

    Returns why the caller must still be refused; empty when it has its answer, or when nothing can reach it.
    """
    request_id, method = order.call.request_id, order.method
    try:
        with trio.fail_after(method.timeout_s):
            if method.request is not None:
                try:
                    call = attrs.evolve(call, payload=structure(method.request, call.payload))
                except PayloadError:
                    return method.invalid_text
            if method.stream is not None:
                await _send_stream(bridge, request_id, method.stream(call), gathers=method.cumulates)
            elif method.answer is not None:
                result = await _fitting(bridge, order, await method.answer(call))
                await bridge.command("rpc_respond", request_id=request_id, ok=result)
    except AppError as error:
        return str(error)
    except trio.TooSlowError:
        return f"{method.name} took too long"
    except ControlError as error:
        return "" if error.refused or error.kind is ErrorKind.CONNECTION_LOST else error.text
    return ""


async def _fitting(bridge: Bridge, order: Serve, result: Json) -> Json:
    """An answer that no frame holds goes ahead in parts (FE-9.49). Raises ControlError."""

    async def send(channel: str, part: Json) -> None:
        peer, network = order.call.peer, order.call.network
        await bridge.command("channel_send_to", network=network, peer=peer, channel=channel, payload=part)

    return await fitting(order.peer, result, send)


async def _send_stream(bridge: Bridge, request_id: str, pieces: AsyncIterator[Any], *, gathers: bool) -> None:
    """One task sends everything and awaits each answer, so the order holds and the end is last (FE-9.9)."""

    async def send(piece: Json) -> None:
        await bridge.command("rpc_stream_chunk", request_id=request_id, payload=piece)

    try:
        if gathers:
            await _gather(pieces, send)
        else:
            async for piece in pieces:
                await send(piece)
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]  # generators have it; plain iterators are not used
    await bridge.command("rpc_stream_end", request_id=request_id)


async def _gather(pieces: AsyncIterator[Any], send: Callable[[Json], Awaitable[None]]) -> None:
    gatherer = Gatherer()
    into, out = trio.open_memory_channel[Any](PIECES_AHEAD)
    failure: list[AppError | ControlError] = []

    async def read() -> None:
        async with into:
            try:
                async for piece in pieces:
                    await into.send(piece)
            except FAILURES as error:  # what was said before it goes out first
                failure.append(error)

    async def write() -> None:
        while True:
            try:
                with trio.move_on_at(gatherer.deadline) as wait:
                    piece = await out.receive()
            except trio.EndOfChannel:
                break
            now = trio.current_time()
            for ready in gatherer.due(now) if wait.cancelled_caught else gatherer.add(piece, now):
                await send(ready)
        for ready in gatherer.flush(trio.current_time()):
            await send(ready)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        try:
            await write()
        except ControlError as error:
            failure.insert(0, error)
            nursery.cancel_scope.cancel()
    if failure:
        raise failure[0]
