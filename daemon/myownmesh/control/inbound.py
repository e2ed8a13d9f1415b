"""Calls of peers that a client has been handed and has not answered yet (spec 05 §13.1 with W9, W11, W12, W34)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.control.clients import Client
from myownmesh.control.pushed import RpcInbound
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.refusals import DROPPED, OWNER_GONE, given_up, no_open_call, no_open_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from myownmesh.control.claims import Claim
    from myownmesh.mesh.network import Network
    from myownmesh.mesh.rpc import InboundCall  # noqa: TC004 - msgspec asks for it only to decode, which nobody does

FORGOTTEN_AFTER_S = 6 * 3600.0
"""A call whose client neither answers nor leaves. Far above what any caller waits; only there so that nothing leaks."""


class _Pending(Struct, eq=False):
    handed_id: str
    """The id that clients use: the caller's own unless that was taken."""
    call: InboundCall
    client: Client
    streaming: bool
    """How the method was registered when the call came; it decides how to answer."""
    last_used_s: float


class InboundCalls:
    """The table of open calls. Any client may answer any id, once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` tells monotonic seconds."""
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._made_ids = count()

    def __len__(self) -> int:
        return len(self._pending)

    def arrived(self, claim: Claim | None, network: Network, call: InboundCall, last_claim: Claim) -> None:
        """Hand a call to the client that claims its method, or fail it."""
        if claim is None:
            text_for_peer = given_up(call.method, last_claim.alias, streaming=last_claim.streaming)
            _fail(call, last_claim.streaming, text_for_peer)
            return
        handed_id = call.request_id
        while handed_id in self._pending:
            # Request ids are made by peers: two may choose the same one, by accident or on purpose.
            handed_id = f"inbound-{next(self._made_ids)}"
        pending = _Pending(handed_id, call, claim.client, claim.streaming, self._clock())
        self._pending[handed_id] = pending
        call.on_gone = lambda: self._forget(pending)
        frame = RpcInbound(claim.alias, call.peer, handed_id, call.method, call.payload, call.streaming)
        claim.client.sink.direct(frame.line())

    def respond(self, request_id: str, ok: Raw | None, error: str | None) -> None:
        """Answer a single call. Raises `MeshError`; an id of a stream ends that stream (spec 05 §13.1)."""
        pending = self._take(request_id)
        if pending is not None and not pending.streaming:
            pending.call.respond(None if error is not None else ok, error)
            return
        if pending is not None:
            pending.call.end(None)
        raise MeshError(no_open_call(request_id))

    def chunk(self, request_id: str, payload: Raw, done: Callable[[str | None], None]) -> None:
        """Send the next chunk of a stream; `done(error)` is called once, mostly before this returns."""
        pending = self._pending.get(request_id)
        if pending is None or not pending.streaming:
            done(no_open_stream(request_id))
            return
        pending.last_used_s = self._clock()

        def sent(error: str | None) -> None:
            if error is not None and pending.call.closed:
                self._forget(pending)  # the mesh has ended the stream with this error
            done(error)

        pending.call.post_chunk(payload, sent)

    def end(self, request_id: str, error: str | None) -> bool:
        """End a stream; False when there is none. An id of a single call fails that call (spec 05 §13.1)."""
        pending = self._take(request_id)
        if pending is None:
            return False
        if pending.streaming:
            pending.call.end(error)
            return True
        _fail(pending.call, False, DROPPED)
        return False

    def client_gone(self, client: Client) -> None:
        """Nobody will answer what this client was handed: say so to the callers."""
        for pending in [each for each in self._pending.values() if each.client is client]:
            self._forget(pending)
            _fail(pending.call, pending.streaming, OWNER_GONE)

    def expire(self) -> None:
        """Fail what has been open for too long."""
        limit = self._clock() - FORGOTTEN_AFTER_S
        for pending in [each for each in self._pending.values() if each.last_used_s < limit]:
            self._forget(pending)
            _fail(pending.call, pending.streaming, f"not answered within {FORGOTTEN_AFTER_S:.0f} s")

    def _take(self, request_id: str) -> _Pending | None:
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            pending.call.on_gone = None
        return pending

    def _forget(self, pending: _Pending) -> None:
        if self._pending.get(pending.handed_id) is pending:
            del self._pending[pending.handed_id]


def _fail(call: InboundCall, streaming: bool, error: str) -> None:
    """End a call with an error; its caller being gone already is no matter."""
    try:
        if streaming:
            call.end(error)
        else:
            call.respond(None, error)
    except MeshError:
        return
