"""Sending files: a job for each, tried again when a receiver that can go on comes back (spec 08 §9.5, 10 §2.5)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.client.errors import ControlError
from myownllm import capabilities
from myownllm.client.threads import in_thread
from myownllm.errors import AppError
from myownllm.features.files.attempt import Attempt, BrokenError, SendError
from myownllm.features.files.job import Job
from myownllm.features.files.presence import knows, pause_s
from myownllm.features.files.withdrawals import Withdrawals
from myownllm.transfer_files.notes import NOTES_MAX, Sending
from myownllm.transfer_files.source import Source
from myownllm.transfers import offer
from myownllm.transfers.names import sanitize_filename
from myownllm.transfers.offer import FileOffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.client import MeshClient
    from myownllm.client.operations import Operations
    from myownllm.transfer_files.notes import Notes

PER_PEER: Final = 4
"""Files on their way to one device at once; more wait (FE-9.10)."""
JOBS_MAX: Final = NOTES_MAX


class Sender:
    """All files that this app sends. `on_begin` is told each new job before it moves."""

    def __init__(self, client: MeshClient, operations: Operations, notes: Notes, now_ms: Callable[[], int]) -> None:
        self.jobs: dict[str, Job] = {}
        self.on_begin: Callable[[Job], None] = lambda _: None
        self._client = client
        self._operations = operations
        self._notes = notes
        self._now_ms = now_ms
        self._withdrawals = Withdrawals(client, operations, notes)
        self._room: defaultdict[str, trio.Semaphore] = defaultdict(lambda: trio.Semaphore(PER_PEER))

    def send(self, path: Path, peer: str) -> Job:
        """Begin to send a file to a device. Raises SendError when too many are on their way."""
        if any(j.path == path and j.peer == peer for j in self.jobs.values()):
            raise SendError(f"{path} is on its way to that device already")
        if len(self.jobs) >= JOBS_MAX:
            raise SendError(f"{JOBS_MAX} files are on their way already; wait for some to end")
        name = sanitize_filename(path.name)
        network = self._client.state.network
        return self._begin(Job(secrets.token_hex(8), peer, network, path, name, 0, self._now_ms()))

    def go_on(self, noted: Sending) -> None:
        """Send a file on that was on its way when the app ended, or tell its receiver that it will not come."""
        if noted.withdrawn:
            self._withdrawals.go_on(noted)
            return
        what, path = noted.offer, Path(noted.path)
        job = Job(what.id, noted.peer, noted.network, path, what.filename, what.size_bytes, self._now_ms(), noted)
        self._begin(job)

    def _begin(self, job: Job) -> Job:
        self.jobs[job.id] = job
        self.on_begin(job)
        self._client.start_soon(lambda: self._run(job))
        return job

    async def _run(self, job: Job) -> None:
        try:
            with job.scope:
                async with self._room[job.peer]:
                    await self._send(job)
                job.say("sent", job.size)
            if job.scope.cancelled_caught:
                job.say("aborted", detail="cancelled")
        except (AppError, ControlError) as error:
            job.say("failed", detail=str(error))
        finally:
            del self.jobs[job.id]
        if job.noted is None:
            return
        if job.may_be_half_there and job.progress.status != "sent":
            await self._withdrawals.begin(job.noted)
        else:
            await trio.to_thread.run_sync(self._notes.forget, job.noted)

    async def _send(self, job: Job) -> None:
        resume = self._resumes(job) if job.noted is None else True
        with await trio.to_thread.run_sync(Source, job.path) as source:
            job.size = source.size
            problem = offer.check_size(source.size, resume=resume)
            if problem:
                raise SendError(problem)
            offered = await self._offer(job, source, resume=resume)
            breaks = 0
            while True:
                before = job.progress.bytes_sent
                try:
                    if breaks or job.progress.status == "waiting":
                        await self._present(job)
                    await Attempt(self._client, self._operations, job, source, offered, self._name(job)).run()
                except BrokenError as error:
                    if not resume:
                        raise SendError(str(error)) from None
                    breaks = 1 if job.progress.bytes_sent > before else breaks + 1
                    job.say("waiting", detail=str(error))
                    await trio.sleep(pause_s(breaks - 1))
                else:
                    return

    def _resumes(self, job: Job) -> bool:
        peer = self._client.state.peer(job.peer)
        if peer is None or not capabilities.supports(peer.capabilities, offer.TRANSFER_FEATURE):
            raise SendError(f"{self._name(job)} takes no files: its app is not running, or too old")
        return capabilities.supports(peer.capabilities, offer.RESUME_FEATURE)

    async def _offer(self, job: Job, source: Source, *, resume: bool) -> FileOffer:
        noted = job.noted
        if noted is not None and noted.stamp == source.stamp and noted.offer.size_bytes == source.size:
            job.say("waiting")
            return noted.offer
        digest = await in_thread(source.digest)
        offered = FileOffer(job.id, job.filename, source.size, digest, offer.CHUNK_BYTES, resume=resume)
        if noted is not None and noted.offer.sha256_b32 != digest:
            raise SendError(f"{job.path} has changed since it was offered; send it again")
        if resume:
            job.noted = Sending(job.peer, job.network, str(job.path), source.stamp, offered)
            try:
                await trio.to_thread.run_sync(self._notes.save, job.noted)
            except OSError as error:
                self._client.note("warn", f"{job.path} will not be sent on after a restart: {error.strerror}")
        return offered

    async def _present(self, job: Job) -> None:
        """Wait until the device is connected and says that it takes files."""

        where = (job.network, job.peer, offer.TRANSFER_FEATURE)
        if not knows(self._client.state, *where):
            job.say("waiting", detail=f"goes on when {self._name(job)} is back")
            await self._client.watch.until(lambda state: knows(state, *where))

    def _name(self, job: Job) -> str:
        peer = self._client.state.peer(job.peer)
        return job.peer[:8] if peer is None else peer.label
