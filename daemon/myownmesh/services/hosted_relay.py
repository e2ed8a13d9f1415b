"""The signaling relay as a hosted service: from its block of the configuration to a worker, its report, its advert."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from mesh_common.addresses import authority, is_loopback
from mesh_common.views import ListeningServer, RelayActivity
from myownmesh.relay.client import Limits
from myownmesh.relay_worker.messages import Job, read_said
from myownmesh.services.relay_processes import RelayProcesses
from myownmesh.services.service import Advert, CannotServe
from myownmesh.services.worker_process import worker

if TYPE_CHECKING:
    from myownmesh.relay_worker.messages import Report
    from myownmesh.store.services_config import ServicesConfig, SignalingService
    from myownmesh.worker.messages import Listening

log = logging.getLogger(__name__)

HEARTBEAT_LOG_S = 300.0
BUS_SCHEMES = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


class HostedRelay:
    """Implements `services.service.Service`."""

    def __init__(self, config: SignalingService, *, any_filter: bool) -> None:
        """`any_filter` is the compatibility switch `relay_any_filter` (spec 10 §3)."""
        self._config = config
        self._any_filter = any_filter
        self._listening: Listening | None = None
        self._activity = RelayActivity(0, 0, 0, 0)
        self._problem: str | None = None
        self._processes: RelayProcesses | None = None

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled; every client gets a Close then. Raises `CannotServe` when it cannot, or ends."""
        if (bus := self._config.bus) is not None and not bus.startswith(BUS_SCHEMES):
            raise CannotServe(f"services.signaling.bus begins with {', '.join(BUS_SCHEMES)}")
        job = relay_job(self._config, any_filter=self._any_filter)
        if (count := self._config.workers) > 1:
            await self._serve_several(RelayProcesses(job, count, self._take), task_status)
            return
        async with worker("relay-worker", job, read_said) as process:
            self._listening = await process.listens()
            log.info("signaling relay on %s", self._place)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_heartbeat_log)
                ended = await process.listen(self._take)
                nursery.cancel_scope.cancel()
            raise ended

    async def _serve_several(self, processes: RelayProcesses, task_status: trio.TaskStatus[None]) -> None:
        failed, self._processes = None, processes
        async with trio.open_nursery() as nursery:
            try:
                self._listening = await nursery.start(processes.serve)
            except CannotServe as error:
                failed = error
            else:
                log.info("signaling relay on %s, %d processes", self._place, self._config.workers)
                task_status.started()
                nursery.start_soon(self._run_heartbeat_log)
        if failed is not None:
            raise failed

    def _take(self, report: Report) -> None:
        self._activity = report.activity
        if report.problem != self._problem:
            self._problem = report.problem
            if report.problem is None:
                log.info("signaling relay: it is one with the other relays")
            else:
                log.warning("signaling relay: %s", report.problem)

    async def _run_heartbeat_log(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_LOG_S)
            seen = self._activity
            log.info(
                "signaling relay: %d connections (%d in all), %d rooms, %d events",
                seen.connections,
                seen.connections_total,
                seen.rooms,
                seen.events_relayed,
            )

    @property
    def _place(self) -> str:
        assert self._listening is not None
        return authority(self._listening.address, self._listening.port)

    def report(self, *, enabled: bool, listening_since: int | None) -> ListeningServer:
        """Where it listens and what it has done (spec 06 §3)."""
        count = 1 if self._processes is None else self._processes.serving
        return ListeningServer(enabled, True, self._place, self._activity, listening_since, self._problem, count)

    def advert(self, config: ServicesConfig) -> Advert:
        """Its tag, and an endpoint only if others can reach it (06 K)."""
        assert self._listening is not None
        url = self._config.public_url
        public_ip = config.turn.public_ip.strip()
        if url is None and public_ip and not is_loopback(self._config.bind):
            url = f"ws://{authority(public_ip, self._listening.port)}"
        return Advert(("service:signaling",), {} if url is None else {"signaling_url": url})


def relay_job(block: SignalingService, *, any_filter: bool) -> Job:
    """What a worker is told."""
    limits = block.limits
    return Job(
        bind=block.bind,
        port=block.port,
        limits=Limits(
            max_event_rate=limits.max_event_rate,
            max_req_rate=limits.max_req_rate,
            max_subscriptions=limits.max_subscriptions,
            max_filters_per_req=limits.max_filters_per_req,
            max_message_bytes=limits.max_message_bytes,
            max_connections_per_ip=limits.max_connections_per_ip,
        ),
        any_filter=any_filter,
        bus=block.bus,
    )
