"""Starts and stops what this device hosts for others (spec 06 §2–4).

What cannot serve never fails the daemon or another service: it is tried again, at once when this machine's addresses
change, and the report says why it is not running, since when, and when it is tried next.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from mesh_common.views import ForwardingReport, NodeReport, ServerReport, ServicesReport, WaitingServer
from myownmesh.mesh import clock
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.envelopes import RELAY_TAG
from myownmesh.services.service import Advert, CannotServe
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.protocol.clock import Instant
    from myownmesh.services.service import Role, Service

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CEILING_S = 30.0
"""A port that somebody else gives back is ours half a minute later at most."""
ADDRESS_POLL_S = 1.0
"""One look at the addresses takes 0.2 to 0.7 ms of processor, and nobody looks but while a service waits."""


class Services:
    """The service manager of one daemon; `run` owns the services, `apply` changes them."""

    def __init__(
        self,
        *,
        version: str,
        roles: Sequence[Role],
        now: Callable[[], Instant] = clock.now,
        addresses: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        """`addresses` tells which addresses this machine has at the moment; the system is asked when it is left out."""
        self._version = version
        self._config = ServicesConfig()
        self._hosted = [_Hosted(role, now, addresses or _machine_addresses) for role in roles]
        for hosted in self._hosted:
            hosted.folded_into = next(
                (each for each in self._hosted if each.role.name == hosted.role.folded_into), None
            )
        self._nursery: trio.Nursery | None = None
        self._applying = trio.Lock()
        """A service takes its time to start, and must not be stopped meanwhile."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a service comes up or goes down by itself, so that the advert is another one."""
        for hosted in self._hosted:
            hosted.on_change = callback

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
        """Start, stop or restart services until they are as configured, whatever waits for its next try at once.

        All that ends has ended before anything starts, so that one may take over the port of another.
        """
        if self._nursery is None:
            raise RuntimeError("the service manager is not running")
        async with self._applying:
            old, self._config = self._config, config
            for hosted in self._hosted:
                await hosted.stop_unless_kept(old, config)
            for hosted in self._hosted:
                await hosted.start_if_wanted(self._nursery, config)

    def report(self, *, joined: int) -> ServicesReport:
        """What is hosted here and what of it runs (spec 06 §3)."""
        config = self._config
        return ServicesReport(
            NodeReport(config.node.enabled, joined),
            ForwardingReport(
                config.relay.enabled,
                networks=joined if config.relay.enabled else 0,
                max_fanout=config.relay.max_fanout,
            ),
            **{hosted.role.name: hosted.report(config) for hosted in self._hosted},
        )

    def advert(self) -> Capabilities:
        """Tags and endpoints of what runs here (spec 06 §4)."""
        adverts = [hosted.service.advert(self._config) for hosted in self._hosted if hosted.service is not None]
        if self._config.relay.enabled and self._config.node.enabled:
            adverts = [Advert((RELAY_TAG,)), *adverts, Advert(endpoints={"relay": True})]
        endpoints = {name: url for advert in adverts for name, url in advert.endpoints.items()}
        return Capabilities(
            tags=tuple(tag for advert in adverts for tag in advert.tags),
            app_version=self._version,
            extra=msgspec.Raw(msgspec.json.encode({"services": endpoints})) if endpoints else None,
        )


class _Hosted:
    """One role and the service that plays it at the moment, or waits for what it needs to."""

    def __init__(self, role: Role, now: Callable[[], Instant], addresses: Callable[[], frozenset[str]]) -> None:
        self.role = role
        self.service: Service | None = None
        self.on_change: Callable[[], None] = _nobody
        """Called when the service comes up or goes down by itself."""
        self.folded_into: _Hosted | None = None
        """Who plays this role as well while it is enabled."""
        self._now = now
        self._addresses = addresses
        self._scope: trio.CancelScope | None = None
        """Of the task that keeps the service; None while there is none."""
        self._ended = trio.Event()
        self._error: str | None = None
        """Why it does not serve."""
        self._since: Instant | None = None
        """Since when it serves, or cannot."""
        self._retry_at = 0.0

    async def stop_unless_kept(self, old: ServicesConfig, new: ServicesConfig) -> None:
        """End what serves by another configuration, is not wanted any more, or waits for its next try."""
        kept = self._is_wanted(new) and self.role.block(new) == self.role.block(old) and self.service is not None
        if self._scope is not None and not kept:
            self._scope.cancel()
            await self._ended.wait()  # bounded: a cancelled service closes its sockets at once

    async def start_if_wanted(self, nursery: trio.Nursery, config: ServicesConfig) -> None:
        if self._is_wanted(config) and self._scope is None:
            await nursery.start(self._keep, partial(self.role.make, config))

    def _is_wanted(self, config: ServicesConfig) -> bool:
        return self._is_enabled(config) and not self._is_folded(config)

    def _is_folded(self, config: ServicesConfig) -> bool:
        return self.folded_into is not None and self.folded_into._is_enabled(config)

    def _is_enabled(self, config: ServicesConfig) -> bool:
        return self.role.block(config).enabled

    def report(self, config: ServicesConfig) -> ServerReport:
        enabled = self._is_enabled(config)
        if enabled and self.folded_into is not None and self._is_folded(config):
            return self.folded_into.report(config)
        since_s = None if self._since is None else self._since.wall_ms // 1000
        if self.service is not None:
            return self.service.report(enabled=enabled, listening_since=since_s)
        if self._error is not None:
            retry_in_ms = max(0, round((self._retry_at - self._now().mono) * 1000))
            return WaitingServer(enabled, False, None, self._error, since_s, retry_in_ms)
        return ServerReport(enabled, running=False)

    async def _keep(self, make: Callable[[], Service], *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled; what fails is tried again. Started after the first attempt, however it went."""
        self._ended = trio.Event()
        backoff = _Backoff()
        try:
            with trio.CancelScope() as self._scope:
                while True:
                    service = make()
                    try:
                        await service.serve(task_status=_WhenUp(partial(self._up, service, backoff, task_status)))
                    except CannotServe as error:
                        wait_s = backoff.next_s()
                        self._down(str(error), wait_s, task_status)
                        if await self._wait(wait_s):
                            backoff.reset()
        finally:
            self._scope = self.service = self._error = self._since = None
            self._ended.set()

    def _up(self, service: Service, backoff: _Backoff, task_status: trio.TaskStatus[None]) -> None:
        late = self._error is not None
        self.service, self._error, self._since = service, None, self._now()
        backoff.reset()
        if late:
            log.info("%s: it serves now", self.role.title)
            self.on_change()
        else:
            task_status.started()

    def _down(self, error: str, wait_s: float, task_status: trio.TaskStatus[None]) -> None:
        first = self.service is None and self._error is None
        level = logging.DEBUG if error == self._error else logging.ERROR
        log.log(
            level, "%s: %s; next try in %g s, or when this machine's addresses change", self.role.title, error, wait_s
        )
        was_up = self.service is not None
        if was_up or first:
            self._since = self._now()
        self.service, self._error, self._retry_at = None, error, self._now().mono + wait_s
        if first:
            task_status.started()
        elif was_up:
            self.on_change()

    async def _wait(self, seconds: float) -> bool:
        """True when the addresses of this machine changed before the time was over."""
        before = self._addresses()
        while (left_s := self._retry_at - self._now().mono) > 0:
            await trio.sleep(min(left_s, ADDRESS_POLL_S))
            if self._addresses() != before:
                return True
        return False


class _Backoff:
    """1, 2, 4 … 30 s."""

    def __init__(self) -> None:
        self._next_s = RETRY_FIRST_S

    def reset(self) -> None:
        self._next_s = RETRY_FIRST_S

    def next_s(self) -> float:
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, RETRY_CEILING_S)
        return wait_s


class _WhenUp:
    """A `trio.TaskStatus` for a service that is not its task's first."""

    def __init__(self, on_started: Callable[[], None]) -> None:
        self._on_started = on_started

    def started(self, value: None = None) -> None:
        self._on_started()


def _machine_addresses() -> frozenset[str]:
    # Loaded by the first service that waits: most daemons host nothing.
    from myownmesh.transport.interfaces import machine_addresses

    return machine_addresses()


def _nobody() -> None:
    """Nobody asked."""
