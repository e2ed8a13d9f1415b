"""The signaling relay as a hosted service: from its block of the configuration to its report and advert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.addresses import is_loopback
from mesh_common.views import ListeningServer
from myownmesh.services.relay import RelayServer
from myownmesh.services.relay_hub import Limits
from myownmesh.services.service import Advert, CannotServe

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.store.services_config import ServicesConfig, SignalingService


class HostedRelay:
    """Implements `services.service.Service`."""

    def __init__(self, config: SignalingService, *, now: Callable[[], Instant], rng: Rng, any_filter: bool) -> None:
        """`any_filter` is the compatibility switch `relay_any_filter` (spec 10 §3)."""
        self._config = config
        limits = config.limits
        self._server = RelayServer(
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
            now=now,
            rng=rng,
            any_filter=any_filter,
        )

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled; every client gets a Close then. Raises `CannotServe` when the port is not ours."""
        try:
            await self._server.serve(task_status=task_status)
        except OSError as error:
            bind, port = self._config.bind, self._config.port
            raise CannotServe(f"cannot listen on {bind}:{port}: {error.strerror or error}") from error

    def report(self, *, enabled: bool, listening_since: int | None) -> ListeningServer:
        """Where it listens and what it has done (spec 06 §3)."""
        return ListeningServer(enabled, True, self._server.listen, self._server.activity, listening_since)

    def advert(self, config: ServicesConfig) -> Advert:
        """Its tag, and an endpoint only if others can reach it (06 K)."""
        url = self._config.public_url
        public_ip = config.turn.public_ip.strip()
        if url is None and public_ip and not is_loopback(self._config.bind):
            url = f"ws://{f'[{public_ip}]' if ':' in public_ip else public_ip}:{self._server.port}"
        return Advert(("service:signaling",), {} if url is None else {"signaling_url": url})
