"""Starts and stops what this device hosts for others (spec 06 §2–4).

One failed start never fails the daemon or another service; the report says why it is not running. This release hosts
the signaling relay; the other roles are kept in the configuration and reported as not running.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import TYPE_CHECKING

import msgspec
import trio

from myownmesh.protocol.capabilities import Capabilities
from myownmesh.services.relay_hub import Limits
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.services.relay import RelayServer
    from myownmesh.store.services_config import SignalingService

log = logging.getLogger(__name__)

NOT_HOSTED = "this release does not host the {} role"


class Services:
    """The service manager of one daemon; `run` owns the servers, `apply` changes them."""

    def __init__(
        self, *, version: str, now: Callable[[], Instant], rng: Rng, compat: Callable[[], Mapping[str, bool]]
    ) -> None:
        self._version = version
        self._now = now
        self._rng = rng
        self._compat = compat
        self._config = ServicesConfig()
        self._nursery: trio.Nursery | None = None
        self._relay: RelayServer | None = None
        self._relay_scope = trio.CancelScope()
        self._relay_ended = trio.Event()
        self._relay_error: str | None = None

    @property
    def config(self) -> ServicesConfig:
        """What was applied last."""
        return self._config

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the servers until cancelled; they close with it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def apply(self, config: ServicesConfig) -> None:
        """Start, stop or restart services until they are as configured. A failed start is retried by the next apply."""
        old, self._config = self._config.signaling, config
        wanted = config.signaling
        if self._relay is not None and (not wanted.enabled or wanted != old):
            await self._stop_relay()
        if wanted.enabled and self._relay is None:
            await self._start_relay(wanted)

    def report(self, *, joined: int) -> dict[str, object]:
        """The ServicesReport of spec 06 §3."""
        config = self._config
        return {
            "node": {"enabled": config.node.enabled, "joined": joined},
            "relay": {"enabled": config.relay.enabled, "networks": 0, "max_fanout": config.relay.max_fanout},
            "signaling": self._signaling_report(),
            "stun": _not_running(config.stun.enabled, "stun"),
            "turn": _not_running(config.turn.enabled, "turn"),
        }

    def advert(self) -> Capabilities:
        """Tags and endpoints of what runs here (spec 06 §4); an endpoint only if others can reach it (06 K)."""
        signaling = self._config.signaling
        if self._relay is None:
            return Capabilities(app_version=self._version)
        public_ip = self._config.turn.public_ip.strip()
        url = signaling.public_url
        if url is None and public_ip and not _is_loopback(signaling.bind):
            url = f"ws://{f'[{public_ip}]' if ':' in public_ip else public_ip}:{self._relay.port}"
        return Capabilities(
            tags=("service:signaling",),
            app_version=self._version,
            extra=None if url is None else msgspec.Raw(msgspec.json.encode({"services": {"signaling_url": url}})),
        )

    def _signaling_report(self) -> dict[str, object]:
        report: dict[str, object] = {"enabled": self._config.signaling.enabled, "running": False, "listen": None}
        if self._relay is not None:
            activity = self._relay.activity
            report["running"] = True
            report["listen"] = self._relay.listen
            report["activity"] = {
                "connections": activity.connections,
                "connections_total": activity.connections_total,
                "rooms": activity.rooms,
                "events_relayed": activity.events_relayed,
            }
        elif self._relay_error is not None:
            report["error"] = self._relay_error
        return report

    async def _start_relay(self, config: SignalingService) -> None:
        # Loaded here: most daemons host nothing and should not pay for a WebSocket server.
        from myownmesh.services.relay import RelayServer

        if self._nursery is None:
            raise RuntimeError("the service manager is not running")
        limits = config.limits
        relay = RelayServer(
            config.bind,
            config.port,
            Limits(
                max_event_rate=limits.max_event_rate,
                max_req_rate=limits.max_req_rate,
                max_subscriptions=limits.max_subscriptions,
                max_filters_per_req=limits.max_filters_per_req,
                max_message_bytes=limits.max_message_bytes,
                max_connections_per_ip=limits.max_connections_per_ip,
            ),
            now=self._now,
            rng=self._rng,
            any_filter=self._compat().get("relay_any_filter", False),
        )
        try:
            await self._nursery.start(self._serve_relay, relay)
        except OSError as error:
            self._relay_error = f"cannot listen on {config.bind}:{config.port}: {error.strerror or error}"
            log.error("signaling relay: %s", self._relay_error)
        else:
            self._relay_error = None
            self._relay = relay

    async def _serve_relay(self, relay: RelayServer, *, task_status: trio.TaskStatus[None]) -> None:
        self._relay_ended = trio.Event()
        try:
            with trio.CancelScope() as self._relay_scope:
                await relay.serve(task_status=task_status)
        finally:
            self._relay_ended.set()

    async def _stop_relay(self) -> None:
        self._relay_scope.cancel()
        await self._relay_ended.wait()  # bounded: a cancelled relay closes its sockets at once
        self._relay = None


def _is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return bind == "localhost"


def _not_running(enabled: bool, role: str) -> dict[str, object]:
    report: dict[str, object] = {"enabled": enabled, "running": False, "listen": None}
    if enabled:
        report["error"] = NOT_HOSTED.format(role)
    return report
