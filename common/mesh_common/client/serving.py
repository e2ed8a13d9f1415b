"""Methods that this program serves to peers: claims, and the calls that come in (spec 05 §13)."""

from __future__ import annotations

import logging
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any, Final

from anyio import create_task_group

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.inbox import Inbox
from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anyio.abc import TaskGroup

    from mesh_common.client.frames import HandlerDisplaced, RpcInbound
    from mesh_common.client.session import Session

    Handler = Callable[[str, Any], Awaitable[Any]]
    """`await handler(peer, payload)` returns the answer; what it raises becomes the caller's error."""
    StreamHandler = Callable[[str, Any], AsyncGenerator[Any, None]]
    """`handler(peer, payload)` is an async generator of chunks."""

log = logging.getLogger(__name__)

MAX_INBOUND: Final = 256
"""Handlers that run at once; further calls are refused as busy."""
MAX_REFUSALS: Final = 1024
"""Calls that wait to be refused; of more the oldest get no answer from here."""
BUSY_TEXT: Final = "busy: too many calls under way"


class Claim(Value, frozen=True):
    """One method of one network, served by one handler."""

    network: str
    method: str
    handler: Handler | StreamHandler
    streaming: bool


class RefusedClaim(Value, frozen=True):
    """A claim or subscription that a daemon did not take back after a reconnection; it is tried again at the next."""

    network: str
    name: str
    """Of the method or channel."""
    error: ControlError


class Serving:
    """All claims of a program. Those of the daemon's side end with a session; `run` makes them anew."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], Claim] = {}
        self._under_way = 0
        self._session: Session | None = None
        self._tasks: TaskGroup | None = None
        self._refusals: Inbox[RpcInbound] = Inbox(MAX_REFUSALS)

    async def claim(self, session: Session, claim: Claim) -> None:
        """Serve a method from now on. Raises `ControlError`; then nothing changed."""
        key = (claim.network, claim.method)
        with ExitStack() as refused:
            refused.callback(self._put_back, key, self._claims.get(key))
            self._claims[key] = claim  # the first call may come before the answer
            await _register(session, claim)
            refused.pop_all()

    def _put_back(self, key: tuple[str, str], before: Claim | None) -> None:
        if before is None:
            del self._claims[key]
        else:
            self._claims[key] = before

    async def release(self, session: Session, network: str, method: str) -> None:
        """Serve a method no longer; calls under way are still answered. Raises `ControlError`."""
        if self._claims.pop((network, method), None) is not None:
            await session.command("rpc_unregister", client_id=session.client_id, network=network, method=method)

    async def reclaim(self, session: Session) -> list[RefusedClaim]:
        """Claim everything for a new session. Raises `ControlError` only when the session is lost."""
        refused = []
        for claim in tuple(self._claims.values()):
            try:
                await _register(session, claim)
            except ControlError as error:
                if error.kind is ErrorKind.CONNECTION_LOST:
                    raise
                refused.append(RefusedClaim(claim.network, claim.method, error))
        return refused

    def displaced(self, frame: HandlerDisplaced) -> None:
        """Another client serves it now; claiming it back would make both fight."""
        self._claims.pop((frame.network, frame.method), None)

    async def run(self, session: Session) -> None:
        """Answer the calls of a session until it is lost, which cancels the handlers."""
        self._under_way = 0
        self._refusals = Inbox(MAX_REFUSALS)
        async with create_task_group() as tasks:
            self._session, self._tasks = session, tasks
            try:
                tasks.start_soon(self._refuse_all, session, self._refusals)
                await session.lost.wait()
            finally:
                self._session = self._tasks = None
                tasks.cancel_scope.cancel()

    def arrived(self, call: RpcInbound) -> None:
        """A peer calls. Runs within the reading of the stream."""
        claim = self._claims.get((call.network, call.method))
        if self._session is None or self._tasks is None:
            return
        if claim is None or self._under_way >= MAX_INBOUND:
            self._refusals.put(call)
            return
        self._under_way += 1
        self._tasks.start_soon(self._handle, self._session, claim, call)

    async def _handle(self, session: Session, claim: Claim, call: RpcInbound) -> None:
        try:
            if claim.streaming:
                await _answer_stream(session, claim.handler, call)
            else:
                await _answer(session, claim.handler, call)
        finally:
            self._under_way -= 1

    async def _refuse_all(self, session: Session, calls: Inbox[RpcInbound]) -> None:
        async for call in calls:
            known = (call.network, call.method) in self._claims
            text = BUSY_TEXT if known else f"no handler for '{call.method}'"
            await _finish(session, call, "rpc_stream_end" if call.streaming else "rpc_respond", error=text)


async def _register(session: Session, claim: Claim) -> None:
    await session.command(
        "rpc_register",
        client_id=session.client_id,
        network=claim.network,
        method=claim.method,
        streaming=claim.streaming,
    )


async def _answer(session: Session, handler: Any, call: RpcInbound) -> None:
    try:
        answer = await handler(call.peer, call.payload)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is the caller's answer
        await _finish(session, call, "rpc_respond", error=_words(error))
    else:
        await _finish(session, call, "rpc_respond", ok=answer)


async def _answer_stream(session: Session, handler: Any, call: RpcInbound) -> None:
    error: str | None = None
    try:
        async with aclosing(handler(call.peer, call.payload)) as chunks:
            async for chunk in chunks:
                await session.command("rpc_stream_chunk", request_id=call.request_id, payload=chunk)
    except Exception as problem:  # noqa: BLE001 - whatever a handler raises is the caller's answer
        if isinstance(problem, ControlError) and problem.kind is ErrorKind.NO_SUCH_CALL:
            return  # the caller is gone
        error = _words(problem)
    await _finish(session, call, "rpc_stream_end", error=error)


async def _finish(
    session: Session, call: RpcInbound, operation: str, *, ok: object = None, error: str | None = None
) -> None:
    """Send the last word on a call. Nobody can be told when that fails, except of an answer that cannot be sent."""
    answer: dict[str, Any] = {"ok": ok} if error is None and operation == "rpc_respond" else {"error": error}
    try:
        await session.command(operation, request_id=call.request_id, **answer)
    except ControlError as failure:
        log.debug("answer of `%s` to %s: %s", call.method, call.peer, failure)
        if not failure.refused and failure.kind in (ErrorKind.TOO_LARGE, ErrorKind.INVALID):
            await _finish(session, call, operation, error=failure.text)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
