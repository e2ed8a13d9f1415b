"""The feature as a whole: what is served, what goes on after a restart, and what commands may ask (spec 08 §9.5)."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from myownllm.client import Method
from myownllm.client.registry import FILE_TRANSFERS, Limit
from myownllm.coerce import strings
from myownllm.errors import AppError
from myownllm.features.files.inbox import Decision
from myownllm.features.files.receiving import FileSend, Receiver
from myownllm.features.files.sending import Sender
from myownllm.features.releases import all_of
from myownllm.transfers import offer
from myownllm.transfers.offer import FileOffer
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from myownllm.client import MeshClient
    from myownllm.client.operations import Operations
    from myownllm.client.registry import Release
    from myownllm.client.work import FileWork
    from myownllm.coerce import Json, JsonObject
    from myownllm.door.server import Door
    from myownllm.features.files.arrival import Arrival
    from myownllm.features.files.job import Job
    from myownllm.transfer_files.notes import Notes
    from myownllm.transfer_files.settings import FileSettings

OFFERS: Final = Limit("file offers", 8)
OFFER_TIMEOUT_S: Final = 310.0
"""A person has 300 s; the rest is for the disk."""
SEND_TIMEOUT_S: Final = float("inf")
"""A file takes as long as it takes; silence ends it."""
HISTORY: Final = 100
TELL_S: Final = 0.2
"""So often a command hears how far a file is."""
PARTING_S: Final = 1.0
"""For the last words at the end of the app."""
FILES_MAX: Final = 64
"""In one command."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Files:
    """Sending and receiving, for the life of the app."""

    def __init__(self, client: MeshClient, operations: Operations, notes: Notes, settings: FileSettings) -> None:
        self.sender = Sender(client, operations, notes, wall_ms)
        self.receiver = Receiver(client, notes, settings, wall_ms)
        self.inbox = self.receiver.inbox
        self.changes: Watch[int] = Watch(0)
        """counts whatever happens to a transfer or an offer"""
        self._client, self._operations = client, operations
        self._notes = notes
        self._ended: deque[JsonObject] = deque(maxlen=HISTORY)
        self.sender.on_begin = self._began
        self.receiver.on_begin = self._began
        self.inbox.on_change.append(self._changed)

    def use(self, settings: FileSettings) -> None:
        """The configuration says this now; offers that wait are not asked anew."""
        self.receiver.settings = settings

    async def go_on(self) -> None:
        """After the start of the app: sweep what nobody goes on with, and send on what was on its way."""
        for part in await trio.to_thread.run_sync(self._notes.sweep, time.time()):
            self._client.note("info", f"gave up on {part}: nobody went on with it")
        for noted in await trio.to_thread.run_sync(self._notes.sending):
            self.sender.go_on(noted)

    async def close(self) -> None:
        """The app ends (FE-9.24): who waits for a decision or a file is told, and what is half stays half."""
        self.receiver.close()
        with trio.move_on_after(PARTING_S):
            for arrival in tuple(self.receiver.arrivals.values()):
                await arrival.told.wait()

    # ── for commands ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, members: JsonObject) -> AsyncGenerator[Json, None]:
        """`{paths, peer, detach?}`: begins, and tells how each file gets on; who stops listening cancels them."""
        paths = strings(members.get("paths"))[:FILES_MAX]
        peer = await self._operations.named(str(members.get("peer", "")))
        jobs = [self.sender.send(Path(path), peer.device_pubkey) for path in paths]
        told: dict[str, JsonObject] = {}
        try:
            while True:
                seen = self.changes.value  # what ends while a slow reader takes an item is a change, too
                running = not all(job.is_over for job in jobs)
                for job in jobs:
                    now = {**job.to_json(), "peer_label": peer.label}
                    if told.get(job.id) != now:
                        told[job.id] = now
                        yield now
                if not running:
                    return
                if members.get("detach") is True:
                    jobs.clear()
                    return
                await self._moved_on(seen)
        finally:
            for job in jobs:
                job.cancel()

    async def list_transfers(self, _: JsonObject) -> Json:
        """Everything that runs, and what has ended lately."""
        await trio.lowlevel.checkpoint()
        return [*self._ended, *(self._labelled(t.to_json()) for t in self._running())]

    async def watch_transfers(self, _: JsonObject) -> AsyncGenerator[Json, None]:
        """The list, again whenever it is another one."""
        while True:
            seen = self.changes.value
            yield await self.list_transfers({})
            await self._moved_on(seen)

    async def _moved_on(self, seen: int) -> None:
        """Until there is more to tell than `seen`, and it is time to."""
        await self.changes.until(lambda count: count != seen)
        await trio.sleep(TELL_S)

    async def cancel(self, members: JsonObject) -> Json:
        """`{id}`: a transfer in either direction. Raises AppError for one that does not run."""
        await trio.lowlevel.checkpoint()
        text = str(members.get("id", ""))
        found = [t for t in self._running() if text and t.id.startswith(text)]
        found = [t for t in found if t.id == text] or found
        if len(found) != 1:
            what = "several transfers have" if found else "no transfer runs with"
            raise AppError(f"{what} the id '{text}'; `myownllm transfers` lists them")
        found[0].cancel()
        return self._labelled(found[0].to_json())

    async def list_offers(self, _: JsonObject) -> Json:
        await trio.lowlevel.checkpoint()
        return [pending.to_json() for pending in self.inbox.pending.values()]

    async def accept(self, members: JsonObject) -> Json:
        """`{id, to?}`: take the file, into the folder `to` or the usual one."""
        await trio.lowlevel.checkpoint()
        pending = self.inbox.find(str(members.get("id", "")))
        to = members.get("to")
        folder = Path(to) if isinstance(to, str) and to else pending.folder
        if not folder.is_absolute():
            raise AppError(f"{folder} is no absolute path")
        pending.decide(Decision(folder))
        return {**pending.to_json(), "folder": str(folder)}

    async def decline(self, members: JsonObject) -> Json:
        """`{id}`"""
        await trio.lowlevel.checkpoint()
        pending = self.inbox.find(str(members.get("id", "")))
        pending.decide(Decision(reason=offer.DECLINED))
        return pending.to_json()

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _running(self) -> Iterator[Job | Arrival]:
        yield from (j for j in self.sender.jobs.values() if not j.is_over)
        yield from (a for a in self.receiver.arrivals.values() if not a.is_over)

    def _began(self, transfer: Job | Arrival) -> None:
        mark = _mark(transfer.to_json())
        self._ended = deque(
            (ended for ended in self._ended if _mark(ended) != mark), HISTORY
        )  # this one goes on with it
        handle = self._client.work.begin(self._entry(transfer), transfer.cancel)

        def moved() -> None:
            now, before = self._entry(transfer), handle.entry
            changes = {
                name: new
                for name in ("status", "bytes_done", "bytes_total")
                if (new := getattr(now, name)) != getattr(before, name)
            }
            if transfer.is_over:
                last = self._labelled(transfer.to_json())
                self._ended.append(last)
                handle.end(last["detail"], **changes)
            elif changes:
                handle.update(**changes)
            self._changed()

        transfer.on_change = moved
        self._changed()

    def _entry(self, transfer: Job | Arrival) -> FileWork:
        return transfer.entry(self._labelled(transfer.to_json())["peer_label"])

    def _labelled(self, transfer: JsonObject) -> JsonObject:
        peer = self._client.state.peer(transfer["peer_id"])
        return {**transfer, "peer_label": transfer["peer_id"][:8] if peer is None else peer.label}

    def _changed(self) -> None:
        self.changes.set(self.changes.value + 1)


def _mark(transfer: JsonObject) -> tuple[Json, ...]:
    """What stays the same while a file is broken off and goes on."""
    return transfer["id"], transfer["peer_id"], transfer["direction"]


def install(client: MeshClient, files: Files, door: Door) -> Release:
    """Serve `file_offer` and `file_send`, and the commands that come through the door."""
    offers = Method(
        "file_offer",
        answer=files.receiver.offered,
        request=FileOffer,
        invalid=offer.INVALID_OFFER,
        limit=OFFERS,
        timeout_s=OFFER_TIMEOUT_S,
    )
    sends = Method(
        "file_send", stream=files.receiver.stream, request=FileSend, limit=FILE_TRANSFERS, timeout_s=SEND_TIMEOUT_S
    )
    withdrawals = Method(offer.WITHDRAW, answer=files.receiver.withdrawn, request=FileOffer)
    for name, handler in (
        ("files_send", files.send),
        ("files_list", files.list_transfers),
        ("files_watch", files.watch_transfers),
        ("files_cancel", files.cancel),
        ("inbox_list", files.list_offers),
        ("inbox_accept", files.accept),
        ("inbox_decline", files.decline),
    ):
        door.operation(name, handler)
    return all_of(
        client.serve(offers),
        client.serve(sends),
        client.serve(withdrawals),
        client.add_features(offer.TRANSFER_FEATURE, offer.RESUME_FEATURE, offer.WITHDRAW_FEATURE),
    )
