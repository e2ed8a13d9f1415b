"""What features and screens ask of the mesh through the client: decide about peers, call them (spec 08 §5.10, §9.2).

Every operation belongs to the life that is running when it is called, and ends with it: a stop fails it with `stopped`,
a lost daemon with `connection_lost`. Without a connected daemon it fails at once (FE-2.3). A network that the daemon
does not know any more is joined again, once, before an operation fails for it (spec 08 §12 row 30).
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from mesh_common import answers
from mesh_common.client.errors import ControlError, ErrorKind, stream_failure
from mesh_common.client.inbox import Inbox
from mesh_common.client.streams import STREAM_FRAMES
from myownllm.client.bulk import Bulk
from myownllm.client.large import fitting
from myownllm.client.sleep import SLEEP_S
from myownllm.errors import FAILURES, NO_DATA_TEXT, PeerAwayError, PeerSelectorError
from myownllm.ids import select_peer
from myownllm.payloads import PayloadError
from myownllm.peers import away_entries
from myownllm.refusals import Meaning, meaning

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from myownllm.client.client import MeshClient
    from myownllm.client.session import Session
    from myownllm.coerce import Json
    from myownllm.peers import PeerEntry

AnswerT = TypeVar("AnswerT")

CALL_TIMEOUT_S: Final = 30.0
CALL_LIMITS_S: Final = {"file_offer": 305.0, "move_take": 60.0}
"""Of single calls that take longer (FE-9.4): a person decides, or a disk writes."""
STREAM_FIRST_S: Final = 180.0
"""A cold model needs this long before its first word (FE-9.4)."""
STREAM_IDLE_S: Final = 60.0
STREAM_TOTAL_S: Final = 1800.0
RESEND_AFTER_S: Final = (1.0, 2.0, 4.0)
"""Where the daemon has no reliable sends (FE-9.23)."""
RELIABLE_TTL_S: Final = 30.0


class Operations:
    """User operations and outgoing calls on the bound network. All raise ControlError or NoNetworkError."""

    def __init__(self, client: MeshClient) -> None:
        self._client = client

    async def named(self, text: str, *, also_away: bool = False) -> PeerEntry:
        """The device that a person means; `also_away`: one that is approved and away will do.

        Raises PeerSelectorError; PeerAwayError for an approved device that is away.
        """
        known = self._client.state.peers
        try:
            return select_peer(text, known)
        except PeerSelectorError as unknown:
            try:
                answer = await self._ask(answers.RosterAnswer, "roster_list")
                peer = select_peer(text, away_entries(answer.roster, known, self._client.state.device_id))
            except FAILURES:
                raise unknown from None
            if also_away:
                return peer
            raise PeerAwayError(peer.display, peer.label) from None

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def approve(self, pubkey: str) -> answers.DeviceApproved:
        """Let a device in, under the name that it announced. Approving twice is no error.

        On a closed network the answer says whether it is signed in or proposed, and who could decide.
        """
        peer = self._peer(pubkey)
        label = "" if peer is None else peer.announced_label
        done = await self._ask(answers.DeviceApproved, "roster_approve", device_id=pubkey, label=label)
        self._client.peers_changed()
        return done

    async def remove(self, pubkey: str) -> None:
        """Turn a device away, or take an approval back."""
        await self._ask(answers.DeviceRemoved, "roster_remove", device_id=pubkey)
        self._client.peers_changed()

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, pubkey: str, method: str, payload: Json, *, timeout_s: float | None = None) -> Json:
        """A single answer. TIMEOUT after `timeout_s` seconds, whatever the daemon does; None: the method's own limit.

        What no mesh frame holds travels in parts, there and back (FE-9.49). A call with a `stream_id` is taken back
        when the wait for its answer is given up.
        """
        stream_id = str(payload.get("stream_id") or "") if isinstance(payload, dict) else ""
        limit_s = CALL_LIMITS_S.get(method, CALL_TIMEOUT_S) if timeout_s is None else timeout_s

        async def once(session: Session) -> Json:
            fit = await self._fitting(session, pubkey, payload)
            try:
                answer = await session.ask(
                    answers.CallAnswer,
                    "rpc_call",
                    peer=pubkey,
                    method=method,
                    payload=fit,
                    timeout_ms=int(limit_s * 1000),
                    timeout_s=limit_s,
                )
            except (trio.Cancelled, ControlError) as error:
                has_ended = isinstance(error, ControlError) and error.refused and error.kind is not ErrorKind.TIMEOUT
                if stream_id and not has_ended:
                    self._client.take_back(session, pubkey, stream_id)
                raise
            try:
                return await self._client.arrivals.whole(pubkey, answer.response)
            except PayloadError as error:
                raise ControlError(ErrorKind.PROTOCOL, str(error)) from None

        try:
            return await self._on_network(once)
        except ControlError as error:
            raise (self._timed_out(pubkey) if error.kind is ErrorKind.TIMEOUT else self._told(pubkey, error)) from error

    async def call_stream(
        self,
        pubkey: str,
        method: str,
        payload: Json,
        *,
        first_s: float = STREAM_FIRST_S,
        idle_s: float = STREAM_IDLE_S,
        total_s: float = STREAM_TOTAL_S,
    ) -> AsyncGenerator[Json, None]:
        """Pieces of a streamed answer, in order, also those that overtook the daemon's answer to the call.

        Ends without an error only behind a clean end with at least one piece; an error chunk, an error end, silence
        and a reader that is too slow raise. Close the iterator to lose interest: the peer is told, also when the wait
        for a piece is cancelled or runs out (FE-9.7). An object as payload gets a `stream_id` unless it has one.
        """
        stream_id = ""
        if isinstance(payload, dict):
            stream_id = str(payload.get("stream_id") or secrets.token_hex(8))
            payload = {**payload, "stream_id": stream_id}
        until = trio.current_time() + total_s
        chunks: Inbox[Any] = Inbox(STREAM_FRAMES)
        is_over = not stream_id
        with ExitStack() as undo:
            session, request_id = await self._start_stream(pubkey, method, payload, stream_id)

            def lose_interest() -> None:
                session.streams.release(request_id)
                if not is_over:
                    self._client.take_back(session, pubkey, stream_id)

            undo.callback(lose_interest)
            session.streams.register(request_id, chunks, trio.current_time())
            undo.enter_context(session.errand(pubkey, chunks.end))
            pieces = 0
            while True:
                try:
                    piece = await self._next(chunks, session, pubkey, until, idle_s if pieces else first_s)
                except StopAsyncIteration:
                    is_over = True
                    if not pieces:
                        raise ControlError(ErrorKind.CLOSED, NO_DATA_TEXT) from None
                    return
                except ControlError as error:
                    is_over = is_over or error.refused
                    raise self._told(pubkey, error) from error
                if isinstance(piece, dict) and set(piece) == {"error"}:
                    is_over = True
                    raise stream_failure(str(piece["error"]))
                pieces += 1
                yield piece

    async def _start_stream(self, pubkey: str, method: str, payload: Json, stream_id: str) -> tuple[Session, str]:
        async def once(session: Session) -> tuple[Session, str]:
            fit = await self._fitting(session, pubkey, payload)
            try:
                started = await session.ask(
                    answers.StreamStarted,
                    "rpc_call_stream",
                    client_id=session.bridge.client_id,
                    peer=pubkey,
                    method=method,
                    payload=fit,
                )
            except (trio.Cancelled, ControlError) as error:  # the peer may have begun all the same
                if stream_id and not (isinstance(error, ControlError) and error.refused):
                    self._client.take_back(session, pubkey, stream_id)
                raise
            return session, started.request_id

        return await self._on_network(once)

    async def _next(self, chunks: Inbox[Any], session: Session, pubkey: str, until: float, limit_s: float) -> Json:
        """The next piece within `limit_s`; that time begins anew when this machine has slept meanwhile (§12 row 40)."""
        while True:
            began = trio.current_time()
            deadline = min(until, began + limit_s)
            with trio.move_on_at(deadline):
                return await anext(chunks)
            if session.woke_at <= began and trio.current_time() < deadline + SLEEP_S:
                raise self._timed_out(pubkey)

    # ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, pubkey: str, channel: str, payload: Json) -> None:
        """A message to one device; what no mesh frame holds travels in parts (FE-9.49)."""

        async def once(session: Session) -> None:
            await _send(session, pubkey, channel, await self._fitting(session, pubkey, payload))

        await self._on_network(once)

    async def send_reliable(self, pubkey: str, channel: str, payload: Json, *, ttl_s: float = RELIABLE_TTL_S) -> None:
        """A message that the peer's daemon confirms; one without that gets it again after 1, 2 and 4 s (FE-9.23)."""
        session = self._client.session()
        if not session.is_without_reliable:
            try:
                await session.ask(
                    answers.MessageDelivered,
                    "channel_send_reliable",
                    peer=pubkey,
                    channel=channel,
                    payload=payload,
                    ttl_ms=int(ttl_s * 1000),
                    timeout_s=ttl_s + 5,
                )
            except ControlError as error:
                if error.kind is not ErrorKind.UNSUPPORTED:
                    raise
                session.is_without_reliable = True
            else:
                return
        for pause_s in RESEND_AFTER_S:
            try:
                await _send(session, pubkey, channel, payload)
            except ControlError as error:
                if not error.refused or error.kind is ErrorKind.TOO_LARGE:
                    raise
                await trio.sleep(pause_s)
            else:
                return
        await _send(session, pubkey, channel, payload)

    async def bulk(self, pubkey: str, channel: str) -> Bulk:
        """A connection for many messages to one device; close it."""
        return await Bulk.open(self._client.session(), pubkey, channel)

    async def broadcast(self, channel: str, payload: Json) -> int:
        """A message to every connected device; returns to how many it went."""
        answer = await self._ask(answers.MessageDispatched, "channel_send_all", channel=channel, payload=payload)
        return answer.dispatched_to

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, cls: type[AnswerT], operation: str, **members: object) -> AnswerT:
        async def once(session: Session) -> AnswerT:
            return await session.ask(cls, operation, timeout_s=None, **members)

        return await self._on_network(once)

    async def _on_network(self, work: Callable[[Session], Awaitable[AnswerT]]) -> AnswerT:
        try:
            return await work(self._client.session())
        except ControlError as error:
            if error.kind is not ErrorKind.UNKNOWN_NETWORK:
                raise
        await self._client.converge()
        return await work(self._client.session())

    async def _fitting(self, session: Session, pubkey: str, payload: Json) -> Json:
        return await fitting(self._peer(pubkey), payload, lambda channel, part: _send(session, pubkey, channel, part))

    def _peer(self, pubkey: str) -> PeerEntry | None:
        return self._client.state.peer(pubkey)

    def _timed_out(self, pubkey: str) -> ControlError:
        return ControlError(ErrorKind.TIMEOUT, f"timed out waiting for {self._name(pubkey)}")

    def _told(self, pubkey: str, error: ControlError) -> ControlError:
        """The failure of a call, for a person."""
        match meaning(error):
            case Meaning.LINK_DROPPED:
                text = f"the link to {self._name(pubkey)} went down before the answer was whole"
            case Meaning.APP_GONE:
                text = f"the app on {self._name(pubkey)} ended before the answer was whole"
            case _:
                return error
        return ControlError(error.kind, text, refused=error.refused)

    def _name(self, pubkey: str) -> str:
        peer = self._peer(pubkey)
        return pubkey[:8] if peer is None else peer.label or pubkey[:8]


async def _send(session: Session, pubkey: str, channel: str, payload: Json) -> None:
    await session.ask(answers.MessageSent, "channel_send_to", peer=pubkey, channel=channel, payload=payload)
