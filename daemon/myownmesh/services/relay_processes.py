"""Several processes of one hosted relay: all wait at one listening socket, and one that ends is started again.

The daemon holds the socket and takes no connection from it, so that whoever connects is served by whichever process
has its hands free: one that hangs or was killed keeps nobody waiting.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from mesh_common.views import RelayActivity
from myownmesh.relay_worker.messages import Report, Siblings, read_said
from myownmesh.services.own_folder import own_folder
from myownmesh.services.service import CannotServe
from myownmesh.services.worker_process import worker
from myownmesh.worker.messages import Listening
from myownmesh.worker.sockets import CannotListen, open_stream_listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from myownmesh.relay_worker.messages import Job

log = logging.getLogger(__name__)

RESTART_S = 1.0
RESTART_CEILING_S = 30.0
"""Of one that ends again and again."""
SETTLED_S = 60.0
"""One that has run for so long did not end for what is wrong at its start."""
_NOTHING = RelayActivity(0, 0, 0, 0)


class RelayProcesses:
    """All processes of one relay, for as long as it is hosted."""

    def __init__(self, job: Job, count: int, report: Callable[[Report], None]) -> None:
        """`report` takes what all of them together do, whenever that changes."""
        self._job = job
        self._count = count
        self._report = report
        self._reports: dict[int, Report] = {}
        self._down: dict[int, str] = {}
        self._up: set[int] = set()
        self._before = _NOTHING
        """What those did that have ended."""

    async def serve(self, *, task_status: trio.TaskStatus[Listening]) -> None:
        """Serve until cancelled; started with the first of them. Raises `CannotServe` when that one does not come."""
        try:
            listener = open_stream_listener(self._job.bind, self._job.port)
        except CannotListen as error:
            raise CannotServe(error.strerror) from error
        failed = None
        with listener, ExitStack() as entered:
            try:
                folder = entered.enter_context(own_folder("myownmesh-relay-"))
            except OSError as error:
                raise CannotServe(f"its processes have no folder to meet in: {error.strerror or error}") from error
            group = secrets.token_hex(8)
            async with trio.open_nursery() as nursery:
                try:
                    for own in range(self._count):  # one after another: each takes a core while it starts
                        siblings = Siblings(folder, group, own, self._count, listener.fileno())
                        await nursery.start(self._keep, msgspec.structs.replace(self._job, siblings=siblings))
                        if own == 0:
                            address = listener.getsockname()
                            task_status.started(Listening(str(address[0]), int(address[1])))
                except CannotServe as error:
                    failed = error
                    nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed

    @property
    def serving(self) -> int:
        """How many of them serve now."""
        return len(self._up)

    async def _keep(self, job: Job, *, task_status: trio.TaskStatus[None]) -> None:
        """One of them, and another one in its place when it has ended, or did not come up.

        Raises `CannotServe` when none of all has come up yet.
        """
        assert job.siblings is not None
        own, pause_s, is_first = job.siblings.own, RESTART_S, True
        while True:
            began = trio.current_time()
            try:
                async with worker("relay-worker", job, read_said, (job.siblings.listener,)) as process:
                    await process.listens()
                    self._down.pop(own, None)
                    self._up.add(own)
                    self._tell()
                    if is_first:
                        task_status.started()
                        is_first = False
                    ended = await process.listen(partial(self._take, own))
            except CannotServe as error:
                if is_first and own == 0:
                    raise
                if is_first:
                    task_status.started()  # the others do not wait for it
                    is_first = False
                ended = error
            log.warning("signaling relay: process %d of %d: %s", own + 1, self._count, ended)
            self._up.discard(own)
            self._down[own] = str(ended)
            self._settle(own)
            pause_s = RESTART_S if trio.current_time() - began > SETTLED_S else min(2 * pause_s, RESTART_CEILING_S)
            await trio.sleep(pause_s)

    def _take(self, own: int, report: Report) -> None:
        self._reports[own] = report
        self._tell()

    def _settle(self, own: int) -> None:
        done = self._reports.pop(own, Report(_NOTHING)).activity
        self._before = RelayActivity(
            0,
            self._before.connections_total + done.connections_total,
            0,
            self._before.events_relayed + done.events_relayed,
        )
        self._tell()

    def _tell(self) -> None:
        self._report(Report(together(self._before, (each.activity for each in self._reports.values())), self._problem))

    @property
    def _problem(self) -> str | None:
        if self._down:
            reason = next(iter(self._down.values()))
            return f"{len(self._down)} of {self._count} processes are starting again: {reason}"
        return next((each.problem for each in self._reports.values() if each.problem), None)


def together(before: RelayActivity, each: Iterable[RelayActivity]) -> RelayActivity:
    """What processes did that are one relay, of which every one knows all rooms."""
    found = tuple(each)
    return RelayActivity(
        sum(one.connections for one in found),
        before.connections_total + sum(one.connections_total for one in found),
        max((one.rooms for one in found), default=0),
        before.events_relayed + sum(one.events_relayed for one in found),
    )
