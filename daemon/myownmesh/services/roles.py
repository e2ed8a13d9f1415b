"""The roles that a daemon may host, in the order in which they are reported, advertised and started (spec 06 §2–4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from myownmesh.services.service import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.services.service import Service
    from myownmesh.services.turn_desk import TurnDesk
    from myownmesh.store.services_config import ServicesConfig


def hosted_roles(
    *,
    compat: Callable[[], Mapping[str, bool]],
    turn_desk: Callable[[], TurnDesk] | None = None,
) -> tuple[Role, ...]:
    """Every role with a listener of its own. What they need is loaded when one is wanted: most daemons host nothing.

    `turn_desk` is asked for the first time when TURN is wanted; without one members get no passwords.
    """

    def signaling(config: ServicesConfig) -> Service:
        from myownmesh.services.hosted_relay import HostedRelay

        return HostedRelay(config.signaling, any_filter=compat().get("relay_any_filter", False))

    def stun(config: ServicesConfig) -> Service:
        from myownmesh.services.hosted_turn import HostedTurn, stun_job

        return HostedTurn(partial(stun_job, config.stun))

    def turn(config: ServicesConfig) -> Service:
        from myownmesh.services.hosted_turn import HostedTurn, turn_job

        private_peers = compat().get("turn_private_peers", False)
        desk = None if turn_desk is None else turn_desk()
        return HostedTurn(partial(turn_job, config.turn, private_peers=private_peers), desk)

    return (
        Role("signaling", "signaling relay", lambda config: config.signaling, signaling),
        Role("stun", "STUN", lambda config: config.stun, stun, folded_into="turn"),
        Role("turn", "TURN", lambda config: config.turn, turn),
    )
