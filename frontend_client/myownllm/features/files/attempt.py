"""One attempt to bring a file to a device: the offer, the chunks, the receiver's last word (spec 08 §9.5)."""

from __future__ import annotations

import base64
import math
import secrets
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm import capabilities
from myownllm.client.host import CANCEL_CHANNEL, CANCEL_FEATURE
from myownllm.errors import FAILURES, AppError, NoNetworkError
from myownllm.features.files.presence import refusal
from myownllm.peers import CONNECTED
from myownllm.refusals import words
from myownllm.transfers import intake, offer, outgoing
from myownllm.transfers.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from myownllm.client import MeshClient
    from myownllm.client.bulk import Bulk
    from myownllm.client.operations import Operations
    from myownllm.client.state import ClientState
    from myownllm.coerce import Json, JsonObject
    from myownllm.features.files.job import Job
    from myownllm.transfer_files.source import Source
    from myownllm.transfers.offer import FileOffer

OFFER_S: Final = 305.0
"""The person at the other device has 300 s (FE-9.4)."""
STALL_S: Final = 60.0
"""Without a chunk that the daemon took, or a report (FE-9.4)."""
BACK_S: Final = 5.0
"""A receiver that was away and is back reports within so long. One that was started anew knows nothing of this attempt,
and v0.3.8's daemon ends no stream when its peer is gone."""
BATCH: Final = 16
"""Chunks read and written at a time: 0.7 MB with one hand-over to a worker thread."""
COLLECT_S: Final = 0.02
"""Between looks at what the daemon has confirmed; it works through the window in ten times that."""
TELL_S: Final = 0.1
"""So often progress is told."""
PARTING_S: Final = 2.0
"""For the word that a transfer is cancelled."""


class SendError(AppError):
    """The file will not arrive; the text says why."""


class BrokenError(AppError):
    """This attempt is over. A receiver that can go on keeps what it has."""


class Attempt:
    """Runs once. `peer_name` is for messages."""

    def __init__(
        self, client: MeshClient, operations: Operations, job: Job, source: Source, offered: FileOffer, peer_name: str
    ) -> None:
        self._client = client
        self._operations = operations
        self._job = job
        self._source = source
        self._offer = offered
        self._name = peer_name
        self._channel = f"file_chunks/{offered.id}"
        self._unconfirmed: deque[int] = deque()
        self._refused: deque[int] = deque()
        self._news = trio.Event()
        self._reports = 0
        self._stall = trio.CancelScope()
        self._told_at = -math.inf
        self._failure: AppError | ControlError | None = None

    async def run(self) -> None:
        """Returns when the receiver has the file. Raises SendError, BrokenError, SourceError."""
        try:
            self._job.say("offered")
            self._job.may_be_half_there = True
            reply = await self._ask()
            if not reply.accepted:
                raise SendError(f"peer declined: {reply.reason or '(no reason)'}")
            await self._transfer(Outgoing(self._offer, reply.held if self._offer.resume else None))
        except ControlError as error:
            raise self._classified(error) from error
        except NoNetworkError as error:
            raise BrokenError(str(error)) from None
        except outgoing.TooOftenError as error:
            raise SendError(str(error)) from None

    def _classified(self, error: ControlError) -> AppError:
        if (last_word := refusal(error)) is not None:
            return SendError(last_word)
        text = words(error)
        if error.kind is ErrorKind.NO_HANDLER:
            text = f"{self._name} takes no files now: its app is not running, or too old"
        return BrokenError(text)

    async def _ask(self) -> offer.Reply:
        payload = self._offer.to_json()
        peer = self._client.state.peer(self._job.peer)
        stream_id = secrets.token_hex(8)
        withdrawable = peer is not None and capabilities.supports(peer.capabilities, CANCEL_FEATURE)
        if withdrawable:
            payload["stream_id"] = stream_id
        answered = False
        try:
            answer = await self._operations.call(self._job.peer, "file_offer", payload, timeout_s=OFFER_S)
            answered = True
        except ControlError:
            answered = True
            raise
        finally:
            if withdrawable and not answered:  # given up here while a person there is still being asked
                await self._part(CANCEL_CHANNEL, {"stream_id": stream_id})
        return offer.read_reply(answer, self._offer)

    async def _part(self, channel: str, payload: JsonObject) -> None:
        """One last message of a cancelled transfer; when it does not arrive, the receiver notices the silence."""
        with trio.move_on_after(PARTING_S, shield=True):
            try:
                await self._operations.send(self._job.peer, channel, payload)
            except FAILURES:
                return

    # ── the chunks ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _transfer(self, going: Outgoing) -> None:
        self._stall.deadline = trio.current_time() + STALL_S
        self._tell(going)
        bulk = await self._operations.bulk(self._job.peer, self._channel)
        async with bulk, trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            for task in (lambda: self._pump(bulk, going), lambda: self._collect(bulk, going), self._watch):
                nursery.start_soon(self._until_failure, scope, task)
            await self._until_failure(scope, lambda: self._listen(going))
            scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _until_failure(self, scope: trio.CancelScope, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except FAILURES as error:
            self._failure = self._failure or error
            scope.cancel()

    async def _pump(self, bulk: Bulk, going: Outgoing) -> None:
        """Send what is to be sent, as fast as the daemon takes it and the receiver keeps up."""
        while True:
            news = self._news
            if self._refused:
                if not self._unconfirmed:
                    await self._send_refused(going)
                    continue
            elif len(self._unconfirmed) <= outgoing.WINDOW - BATCH and (indices := going.take(BATCH)):
                payloads = await trio.to_thread.run_sync(self._read, indices)
                self._unconfirmed.extend(indices)
                await bulk.send(payloads)
                continue
            await news.wait()

    def _read(self, indices: list[int]) -> list[bytes]:
        self._source.check()
        return [self._payload(index) for index in indices]

    def _payload(self, index: int) -> bytes:
        data = self._source.read(index * self._offer.chunk_size, self._offer.length(index))
        is_final = b"true" if index == self._offer.chunks - 1 else b"false"
        return b'{"index":%d,"bytes_b64":"%s","is_final":%s}' % (index, base64.b64encode(data), is_final)

    async def _send_refused(self, going: Outgoing) -> None:
        """What the daemon could not hand to the link is sent once more, with patience (FE-9.23)."""
        index = self._refused[0]
        payload = await trio.to_thread.run_sync(self._payload, index)
        await self._operations.send_reliable(self._job.peer, self._channel, msgspec.json.decode(payload))
        self._refused.popleft()
        self._confirmed(going, index)

    async def _collect(self, bulk: Bulk, going: Outgoing) -> None:
        """Take the daemon's confirmations in, where the receiver reports some at a time: waking up costs the most."""
        while True:
            if going.reports and not bulk.has_news:
                await trio.sleep(COLLECT_S)
            error = await bulk.confirmed()
            if not self._unconfirmed:
                raise ControlError(ErrorKind.PROTOCOL, "the daemon confirmed a chunk that it was not given")
            index = self._unconfirmed.popleft()
            if error is None:
                self._confirmed(going, index)
            else:
                self._refused.append(index)
                self._tell_news()

    async def _listen(self, going: Outgoing) -> None:
        """Hear the receiver until it has the file (FE-9.21)."""
        pieces = self._operations.call_stream(
            self._job.peer, "file_send", {"id": self._offer.id}, first_s=math.inf, idle_s=math.inf, total_s=math.inf
        )
        async with aclosing(pieces) as stream:
            try:
                async for piece in stream:
                    if self._report(going, piece):
                        return
            except ControlError as error:
                if error.kind is not ErrorKind.CLOSED or error.refused:
                    raise  # an end without a word is all that older receivers say
            finally:
                if self._job.cancelled:
                    await self._part(self._channel, intake.abort_payload())
        if going.reports or not going.all_sent:
            raise BrokenError(f"{self._name} ended the transfer before it was complete")

    def _report(self, going: Outgoing, piece: Json) -> bool:
        """Take in what the receiver tells; True when it has the whole file."""
        report = outgoing.read_report(piece, self._offer.chunks)
        if report is None or not going.reports:
            return False
        going.report(report)
        self._reports += 1
        self._stall.deadline = trio.current_time() + STALL_S
        self._tell(going)
        self._tell_news()
        return report.done

    async def _watch(self) -> None:
        with self._stall:
            await self._lose_touch()
            raise BrokenError(f"the link to {self._name} was lost")
        raise BrokenError(f"timed out waiting for {self._name}")

    async def _lose_touch(self) -> None:
        """Until the receiver has been away, and says nothing when it is back."""
        while True:
            await self._client.watch.until(lambda state: not self._is_there(state))
            await self._client.watch.until(self._is_there)
            before = self._reports
            await trio.sleep(BACK_S)
            if self._reports == before:
                return

    def _is_there(self, state: ClientState) -> bool:
        peer = state.peer(self._job.peer)
        return peer is not None and peer.status in CONNECTED

    def _confirmed(self, going: Outgoing, index: int) -> None:
        going.confirmed(index)
        self._stall.deadline = trio.current_time() + STALL_S
        self._tell(going)
        if len(self._unconfirmed) % BATCH == 0:  # more are read when there is room for a batch
            self._tell_news()

    def _tell_news(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()

    def _tell(self, going: Outgoing) -> None:
        now = trio.current_time()
        if now - self._told_at >= TELL_S or going.all_sent:
            self._told_at = now
            self._job.say("sending", going.bytes_sent)
