"""One accepted file while it comes: chunks in, reports out, and the one ending that counts (spec 08 §9.5)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import trio

from mesh_common.client.errors import ControlError
from myownllm.client import CallRefusedError
from myownllm.client.threads import in_thread
from myownllm.client.work import FileWork
from myownllm.errors import AppError
from myownllm.transfers import intake, offer, outgoing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from myownllm.client.bulk import Inflow
    from myownllm.coerce import Json, JsonObject
    from myownllm.peers import PeerEntry
    from myownllm.transfer_files.notes import Incoming
    from myownllm.transfer_files.part import PartFile
    from myownllm.transfers.offer import FileOffer

IDLE_S: Final = 60.0
"""Without a chunk that counts (FE-9.4)."""
AGAIN_S: Final = 2.0
"""Of silence while chunks are missing: what was sent until then has been lost."""
REPORT_CHUNKS: Final = 32
REPORT_S: Final = 10.0
"""So often a sender that waits for the last word hears that we are still at it."""
BATCH: Final = 32
"""Chunks stored with one hand-over to a worker thread."""
LOOK_S: Final = 0.5
"""So often it is looked at, while nothing comes, who still waits."""
TELL_S: Final = 0.1
"""So often screens hear how far it is."""
PARTING_S: Final = 2.0
"""An ended `file_send` may be overtaken by nothing but the word that the sender has cancelled."""
Ending = Literal["received", "aborted", "failed", "broken"]


class Arrival:
    """A file from one device. `run` is its one task; it alone touches the part file."""

    def __init__(
        self,
        peer: PeerEntry,
        offered: FileOffer,
        part: PartFile,
        inflow: Inflow,
        note: Incoming,
        started_at_ms: int,
        remember: Callable[[Incoming], None],
    ) -> None:
        """`remember` is told in a worker thread that the file is there, before anybody else is."""
        self.peer = peer
        self.offer = offered
        self.note = note
        self.started_at_ms = started_at_ms
        self.bytes_received = part.intake.bytes_held
        self.on_change: Callable[[], None] = lambda: None
        """told when it has moved or ended"""
        self.ending: Ending | None = None
        self.detail = ""
        """why it failed, or the path where the file is"""
        self.over = trio.Event()
        """the part file is closed, gone, or has its name"""
        self.told = trio.Event()
        """the sender has heard the ending, as far as we can know"""
        self._part = part
        self._inflow = inflow
        self._remember = remember
        self._told_at = -math.inf
        self._scope = trio.CancelScope()
        self._target: Path | None = None
        self._streams = 0
        self._left_at = math.inf
        self._unreported = 0
        self._report: JsonObject | None = None
        self._report_news = trio.Event()

    @property
    def id(self) -> str:
        return self.offer.id

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    @property
    def attended(self) -> bool:
        """Does a sender wait for the end of it?"""
        return self._streams > 0

    def end(self, ending: Ending, detail: str) -> None:
        """End it from outside: a person cancels, the app ends, the sender begins anew. The first ending counts."""
        if self.ending is None:
            self.ending, self.detail = ending, detail
            self._scope.cancel()

    def cancel(self) -> None:
        """A person here has given it up; the sender is told, and nothing is kept."""
        self.end("aborted", offer.CANCELLED)

    async def run(self) -> None:
        """Until the file is there, or will not be."""
        try:
            with self._scope:
                await self._receive()
                await in_thread(self._finish)
        except intake.AbortedError as error:
            self.end("aborted", str(error))
        except AppError as error:
            self.end("failed", str(error))
        except ControlError:
            self.end("broken", offer.INTERRUPTED if self.offer.resume else intake.MISSING)
        finally:
            self._inflow.close()
            self._part.close()
            if self._target is not None:
                self.ending, self.detail = "received", str(self._target)
            elif self.ending is None:
                self.end("broken", offer.SHUTTING_DOWN)
            if self.ending in ("aborted", "failed") or (self.ending == "broken" and not self.offer.resume):
                self._part.discard()
            self.over.set()
            self._report_news.set()
            self.on_change()

    async def _receive(self) -> None:
        intaken = self._part.intake
        counted_at = heard_at = trio.current_time()
        while not intaken.complete:
            before = intaken.held.count
            most = min(BATCH, self.offer.chunks - before)
            ends_at = min(counted_at + IDLE_S, self._left_at + PARTING_S)
            left_s = max(0.0, min(ends_at, heard_at + AGAIN_S) - trio.current_time())
            heard = await self._inflow.take(self._part.take, most, min(left_s, LOOK_S))
            now = trio.current_time()
            if heard:
                heard_at = now
            if intaken.held.count > before:
                counted_at = now
                self._count(intaken.held.count - before)
            elif now >= counted_at + IDLE_S or (not heard and now >= self._left_at + PARTING_S):
                self.end("broken", offer.INTERRUPTED if self.offer.resume else intake.MISSING)
                await trio.lowlevel.checkpoint()
            elif not heard and now >= heard_at + AGAIN_S:
                heard_at = now
                self._tell_report(again=True)

    def _finish(self, given_up: Callable[[], bool]) -> None:
        self._target = self._part.finish(Path(self.note.folder), given_up)
        if self.offer.resume:
            self._remember(self.note)

    def _count(self, stored: int) -> None:
        self.bytes_received = self._part.intake.bytes_held
        if (now := trio.current_time()) - self._told_at >= TELL_S:
            self._told_at = now
            self.on_change()
        self._unreported += stored
        if self._unreported >= REPORT_CHUNKS or self._part.intake.complete:
            self._tell_report()

    def _tell_report(self, *, again: bool = False) -> None:
        """Only between batches: a worker thread changes what is held."""
        again = again or (self._report is not None and "again" in self._report)
        self._report = outgoing.report_payload(self._part.intake.held, again=again)
        self._unreported = 0
        news, self._report_news = self._report_news, trio.Event()
        news.set()

    async def stream(self) -> AsyncGenerator[Json, None]:
        """What the sender's `file_send` hears: reports where it understands them, then the end (FE-9.21).

        Raises CallRefusedError for every ending but a whole file.
        """
        self._streams += 1
        self._left_at = math.inf
        last: JsonObject | None = None
        try:
            while not self.over.is_set():
                report, self._report = self._report, None
                if report is not None and self.offer.resume:
                    last = report
                    yield report
                    continue
                with trio.move_on_after(REPORT_S) as wait:
                    await self._report_news.wait()
                if wait.cancelled_caught and last is not None:
                    yield last
        finally:
            self._streams -= 1
            if not self._streams:
                self._left_at = trio.current_time()
        self.told.set()
        if self.ending != "received":
            raise CallRefusedError(self.detail)
        if self.offer.resume:
            yield outgoing.report_payload(self._part.intake.held, done=True)

    def entry(self, label: str) -> FileWork:
        """As every screen shows it (spec 08 §5.1)."""
        return FileWork(
            self.id,
            self.peer.device_pubkey,
            label,
            direction="inbound",
            filename=self.offer.name,
            bytes_total=self.offer.size_bytes,
            status="receiving" if self.ending is None else "received" if self.ending == "received" else "aborted",
            bytes_done=self.bytes_received,
        )

    def to_json(self) -> JsonObject:
        status = "receiving" if self.ending is None else self.ending
        return {
            "id": self.offer.id,
            "direction": "inbound",
            "peer_id": self.peer.device_pubkey,
            "filename": self.offer.name,
            "path": self.detail if self.ending == "received" else self.note.part,
            "status": status,
            "bytes_received": self.bytes_received,
            "bytes_total": self.offer.size_bytes,
            "started_at_ms": self.started_at_ms,
            "detail": "" if self.ending == "received" else self.detail,
        }
