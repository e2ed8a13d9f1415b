"""The roles that a daemon may host, in the order in which they are reported, advertised and started (spec 06 §2–4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.services.service import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.services.service import Service
    from myownmesh.store.services_config import ServicesConfig


def hosted_roles(*, now: Callable[[], Instant], rng: Rng, compat: Callable[[], Mapping[str, bool]]) -> tuple[Role, ...]:
    """This release hosts the signaling relay; the others are kept in the configuration and reported as not running."""

    def signaling(config: ServicesConfig) -> Service:
        # Loaded here: most daemons host nothing and should not pay for a WebSocket server.
        from myownmesh.services.hosted_relay import HostedRelay

        return HostedRelay(config.signaling, now=now, rng=rng, any_filter=compat().get("relay_any_filter", False))

    return (
        Role("signaling", "signaling relay", lambda config: config.signaling, signaling),
        Role("stun", "STUN", lambda config: config.stun, None),
        Role("turn", "TURN", lambda config: config.turn, None),
    )
