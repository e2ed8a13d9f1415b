"""Receiving files: offers to their person, accepted ones to the disk (spec 08 FE-9.20, FE-9.21, FE-9.24)."""

from __future__ import annotations

import contextlib
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from mesh_common.values import Value
from myownllm.client import CallRefusedError
from myownllm.client.threads import in_thread
from myownllm.features.files.arrival import Arrival
from myownllm.features.files.inbox import Inbox
from myownllm.refusals import HOST_BUSY_TEXT
from myownllm.transfer_files.notes import Incoming, key_of
from myownllm.transfer_files.part import PartFile, ReceiveError, check_space, write_error
from myownllm.transfers import intake, offer
from myownllm.transfers.index_set import all_of
from myownllm.transfers.offer import Reply, is_transfer_id, triage
from myownllm.transfers.outgoing import report_payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.client import InboundCall, MeshClient
    from myownllm.coerce import Json
    from myownllm.peers import PeerEntry
    from myownllm.transfer_files.notes import Notes
    from myownllm.transfer_files.settings import FileSettings
    from myownllm.transfers.offer import FileOffer

PER_PEER: Final = 4
TOTAL: Final = 8
"""Offers that wait and files that come, together (FE-9.10)."""
LINGER_S: Final = 60.0
"""An ended transfer waits so long for a `file_send` that was slower than its chunks (FE-9.21)."""


def _transfer_id(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not is_transfer_id(value):
        raise ValueError(f"{attribute.name} is no transfer id")


@attrs.frozen
class FileSend:
    """What `file_send` carries."""

    id: str = attrs.field(validator=_transfer_id)


class Claim(Value, frozen=True):
    """Whose offer it is, and of which content (`key_of`)."""

    peer: str
    key: str


class Receiver:
    """All files that come to this device. `on_begin` is told each one that is accepted."""

    def __init__(self, client: MeshClient, notes: Notes, settings: FileSettings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self.inbox = Inbox(client.work, now_ms)
        self.arrivals: dict[str, Arrival] = {}
        self.on_begin: Callable[[Arrival], None] = lambda _: None
        self._client = client
        self._notes = notes
        self._now_ms = now_ms
        self._busy: dict[str, Claim] = {}
        """by the ids of offers that wait and of files that come"""

    async def offered(self, call: InboundCall) -> Json:
        """`file_offer`: a person decides, or has decided already about this very content from this device."""
        wanted: FileOffer = call.payload
        if wanted.resume and await self._came_whole(call.peer.device_pubkey, wanted):
            return Reply(accepted=True, held=all_of(wanted.chunks)).to_json()
        await self._take_over(call.peer, wanted)
        refusal = triage(wanted, taken=wanted.id in self._busy, crowded=self._crowded(call.peer))
        if refusal is not None:
            if refusal.error:
                raise CallRefusedError(refusal.error)
            return Reply(accepted=False, reason=refusal.reason).to_json()
        self._busy[wanted.id] = Claim(call.peer.device_pubkey, key_of(call.peer.device_pubkey, wanted))
        accepted = False
        try:
            reply = await self._answer(call.peer, wanted)
            accepted = reply.accepted
            return reply.to_json()
        finally:
            if not accepted:
                del self._busy[wanted.id]

    async def stream(self, call: InboundCall) -> AsyncIterator[Json]:
        """`file_send`: its end tells the sender what became of the file."""
        arrival = self.arrivals.get(call.payload.id)
        if arrival is None or arrival.peer.device_pubkey != call.peer.device_pubkey:
            whole = await trio.to_thread.run_sync(self._notes.arrived, call.peer.device_pubkey, call.payload.id)
            if whole is None:
                raise CallRefusedError(offer.NO_OFFER)
            yield report_payload(all_of(whole.offer.chunks), done=True)
            return
        async with aclosing(arrival.stream()) as pieces:
            async for piece in pieces:
                yield piece

    async def withdrawn(self, call: InboundCall) -> Json:
        """`file_withdraw`: the sender has given it up, and nothing of it is kept (spec 10 §2.5)."""
        given_up: FileOffer = call.payload
        pubkey = call.peer.device_pubkey
        key = key_of(pubkey, given_up)
        arrival = self.arrivals.get(given_up.id)
        if arrival is not None and arrival.peer.device_pubkey == pubkey:
            arrival.end("aborted", intake.ABORTED)
            await arrival.over.wait()
        elif self._busy.get(given_up.id) == Claim(pubkey, key):
            raise CallRefusedError(HOST_BUSY_TEXT)  # somebody is asked about it, or its half is being opened
        note = await trio.to_thread.run_sync(self._notes.find, pubkey, given_up)
        goes_on = any(c.key == key and i != given_up.id for i, c in self._busy.items())
        if note is not None and note.offer.id == given_up.id and not goes_on:
            await trio.to_thread.run_sync(self._notes.drop, note)
        return {"ok": True}

    async def _came_whole(self, pubkey: str, wanted: FileOffer) -> bool:
        """Its sender has not heard that it is here: the link, or either app, ended with the last word under way."""
        noted = await trio.to_thread.run_sync(self._notes.arrived, pubkey, wanted.id)
        return noted is not None and noted.offer.same_file(wanted)

    def _crowded(self, peer: PeerEntry) -> bool:
        running = [c.peer for i, c in self._busy.items() if i not in self.arrivals or not self.arrivals[i].is_over]
        return len(running) >= TOTAL or running.count(peer.device_pubkey) >= PER_PEER

    async def _take_over(self, peer: PeerEntry, wanted: FileOffer) -> None:
        """A sender that offers again what it was sending begins anew: the attempt before ends, its chunks stay."""
        for arrival in tuple(self.arrivals.values()) if wanted.resume else ():
            theirs = arrival.peer.device_pubkey == peer.device_pubkey and arrival.offer.same_file(wanted)
            if theirs and (arrival.offer.id == wanted.id or not arrival.attended):
                arrival.end("broken", offer.INTERRUPTED)
                await arrival.over.wait()
                self._forget(arrival)

    async def _answer(self, peer: PeerEntry, wanted: FileOffer) -> Reply:
        pubkey = peer.device_pubkey
        note = await trio.to_thread.run_sync(self._notes.find, pubkey, wanted) if wanted.resume else None
        if note is None:
            folder = self.settings.folder
            if pubkey not in self.settings.accept_from:
                decision = await self.inbox.ask(peer, wanted, folder)
                if decision.folder is None:
                    return Reply(accepted=False, reason=decision.reason)
                folder = decision.folder
        else:
            folder = Path(note.folder)
        twins = (a for a in self.arrivals.values() if a.peer.device_pubkey == pubkey and not a.is_over)
        if wanted.resume and any(a.offer.same_file(wanted) for a in twins):
            return Reply(accepted=False, reason="the same file is on its way already")
        try:
            part, note = await self._open(pubkey, wanted, note, folder)
        except ReceiveError as error:
            return Reply(accepted=False, reason=str(error))
        try:
            inflow = await self._client.inflow(pubkey, f"file_chunks/{wanted.id}")
        except BaseException:
            self._leave(part, note)
            raise
        arrival = self.arrivals[wanted.id] = Arrival(
            peer, wanted, part, inflow, note, self._now_ms(), self._notes.has_arrived
        )
        self.on_begin(arrival)
        self._client.start_soon(lambda: self._run(arrival))
        return Reply(accepted=True, held=part.intake.held if wanted.resume else None)

    async def _open(
        self, pubkey: str, wanted: FileOffer, note: Incoming | None, folder: Path
    ) -> tuple[PartFile, Incoming]:
        """The half file that is there, or a new one. Raises ReceiveError."""
        opened: list[tuple[PartFile, Incoming]] = []
        try:
            await in_thread(lambda given_up: opened.append(self._opened(pubkey, wanted, note, folder, given_up)))
        except BaseException:
            for part, noted in opened:  # the call has been cancelled meanwhile
                self._leave(part, noted)
            raise
        return opened[0]

    def _leave(self, part: PartFile, note: Incoming) -> None:
        """It will not be received now. Where nothing has come yet, nothing is kept."""
        if note.offer.resume and part.intake.held.count:
            part.close()
        else:
            part.discard()
            self._notes.forget(note)

    def _opened(
        self, pubkey: str, wanted: FileOffer, note: Incoming | None, folder: Path, given_up: Callable[[], bool]
    ) -> tuple[PartFile, Incoming]:
        """Blocking. Raises ReceiveError."""
        try:
            self._notes.prepare()
            if note is not None:
                with contextlib.suppress(FileNotFoundError):
                    part = PartFile.reopen(Path(note.part), note.offer, self._notes.sums(note.key), given_up)
                    renewed = attrs.evolve(note, offer=attrs.evolve(note.offer, id=wanted.id))  # what may withdraw it
                    return self._noted(part, renewed)
            sums = self._notes.sums(key_of(pubkey, wanted)) if wanted.resume else None
            try:
                part = PartFile.create(folder, wanted, sums)
                try:
                    return self._noted(part, Incoming(pubkey, wanted, str(part.part), str(folder)))
                except BaseException:
                    part.discard()
                    raise
            except BaseException:
                if sums is not None:
                    sums.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise write_error(error) from None

    def _noted(self, part: PartFile, note: Incoming) -> tuple[PartFile, Incoming]:
        """With a fresh note; room for what is still to come is looked for again."""
        try:
            check_space(Path(note.folder), part.offer.size_bytes - part.intake.bytes_held)
            self._notes.save(note)
        except BaseException:
            part.close()
            raise
        return part, note

    async def _run(self, arrival: Arrival) -> None:
        try:
            await arrival.run()
        finally:
            if arrival.ending != "broken" or not arrival.offer.resume:
                self._notes.forget(arrival.note)
        with trio.move_on_after(LINGER_S):
            await arrival.told.wait()
        self._forget(arrival)

    def _forget(self, arrival: Arrival) -> None:
        if self.arrivals.get(arrival.offer.id) is arrival:
            del self.arrivals[arrival.offer.id]
            del self._busy[arrival.offer.id]

    def close(self) -> None:
        """The app ends: who waits is told, what is half stays half."""
        self.inbox.decline_all(offer.SHUTTING_DOWN)
        for arrival in tuple(self.arrivals.values()):
            arrival.end("broken", offer.SHUTTING_DOWN)
