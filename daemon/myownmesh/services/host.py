"""Starts and stops what this device hosts for others (spec 06 §2–4).

One failed start never fails the daemon or another service; the report says why it is not running.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import trio

from mesh_common.views import FailedServer, ForwardingReport, NodeReport, ServerReport, ServicesReport
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.services.service import CannotServe
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.services.service import Role, Service

log = logging.getLogger(__name__)

NOT_HOSTED = "this release does not host the {} role"


class Services:
    """The service manager of one daemon; `run` owns the services, `apply` changes them."""

    def __init__(self, *, version: str, roles: Sequence[Role]) -> None:
        self._version = version
        self._config = ServicesConfig()
        self._hosted = [_Hosted(role) for role in roles]
        self._nursery: trio.Nursery | None = None

    @property
    def config(self) -> ServicesConfig:
        """What was applied last."""
        return self._config

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the services until cancelled; they end with it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def apply(self, config: ServicesConfig) -> None:
        """Start, stop or restart services until they are as configured. A failed start is retried by the next apply."""
        if self._nursery is None:
            raise RuntimeError("the service manager is not running")
        old, self._config = self._config, config
        for hosted in self._hosted:
            await hosted.apply(self._nursery, old, config)

    def report(self, *, joined: int) -> ServicesReport:
        """What is hosted here and what of it runs (spec 06 §3)."""
        config = self._config
        return ServicesReport(
            NodeReport(config.node.enabled, joined),
            ForwardingReport(config.relay.enabled, networks=0, max_fanout=config.relay.max_fanout),
            **{hosted.role.name: hosted.report(config) for hosted in self._hosted},
        )

    def advert(self) -> Capabilities:
        """Tags and endpoints of what runs here (spec 06 §4)."""
        adverts = [hosted.service.advert(self._config) for hosted in self._hosted if hosted.service is not None]
        endpoints = {name: url for advert in adverts for name, url in advert.endpoints.items()}
        return Capabilities(
            tags=tuple(tag for advert in adverts for tag in advert.tags),
            app_version=self._version,
            extra=msgspec.Raw(msgspec.json.encode({"services": endpoints})) if endpoints else None,
        )


class _Hosted:
    """One role and the service that plays it at the moment."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.service: Service | None = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._error: str | None = None
        """Why the last start failed."""

    async def apply(self, nursery: trio.Nursery, old: ServicesConfig, new: ServicesConfig) -> None:
        wanted = self.role.block(new)
        if self.service is not None and (not wanted.enabled or wanted != self.role.block(old)):
            self._scope.cancel()
            await self._ended.wait()  # bounded: a cancelled service closes its sockets at once
            self.service = None
        if wanted.enabled and self.service is None and self.role.make is not None:
            await self._start(nursery, self.role.make(new))

    def report(self, config: ServicesConfig) -> ServerReport:
        enabled = self.role.block(config).enabled
        if self.service is not None:
            return self.service.report(enabled=enabled)
        if self._error is not None:
            return FailedServer(enabled, running=False, error=self._error)
        if enabled and self.role.make is None:
            return FailedServer(enabled, running=False, error=NOT_HOSTED.format(self.role.name))
        return ServerReport(enabled, running=False)

    async def _start(self, nursery: trio.Nursery, service: Service) -> None:
        try:
            await nursery.start(self._serve, service)
        except CannotServe as error:
            self._error = str(error)
            log.error("%s: %s", self.role.title, error)
        else:
            self._error = None
            self.service = service

    async def _serve(self, service: Service, *, task_status: trio.TaskStatus[None]) -> None:
        self._ended = trio.Event()
        try:
            with trio.CancelScope() as self._scope:
                await service.serve(task_status=task_status)
        finally:
            self._ended.set()
