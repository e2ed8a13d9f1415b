"""What the installation of Caddy decides: what to host, which ports to open, whether Caddy has to be told. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.caddy.caddyfile import LAYER4_PORT, TURN_PORT, normalised, turn_site_of

if TYPE_CHECKING:
    from myownmesh.store.services_config import ServicesConfig, SignalingService, TurnService

RELAY_WINDOW: Final = (49152, 65535)
"""Where relayed traffic comes out when nobody chose: the range that systems keep for such ports."""
LOOPBACK: Final = "127.0.0.1"
ANYWHERE: Final = "0.0.0.0"


class Wanted(Value, frozen=True):
    """What a person asked for, with names as Caddy has them. Without `turn_site`, TLS for the relay alone."""

    site: str
    turn_site: str | None
    public_ip: str | None = None


def wanted(domain: str, turn_domain: str | None, public_ip: str | None, *, relay_only: bool) -> Wanted:
    """Raises `ValueError` for what is no domain or no IPv4 address, and for wishes that contradict each other."""
    site = normalised(domain)
    if relay_only:
        if turn_domain is not None or public_ip is not None:
            raise ValueError("--relay-only leaves TURN alone, so neither --turn-domain nor --public-ip goes with it")
        return Wanted(site, None)
    turn_site = turn_site_of(site, turn_domain)
    if turn_site == site:
        raise ValueError(f"the relay and TURN need two names, and both are '{site}'")
    if public_ip is not None:
        try:
            public_ip = str(ipaddress.IPv4Address(public_ip))
        except ValueError as error:
            raise ValueError(f"'{public_ip}' is no IPv4 address") from error
    return Wanted(site, turn_site, public_ip)


def apply_needed(*, module_changed: bool, config_changed: bool, running: bool) -> bool:
    """Whether Caddy must be told: not if it runs with this module and this file already."""
    return module_changed or config_changed or not running


def hosted(services: ServicesConfig, plan: Wanted, public_ip: str) -> ServicesConfig:
    """What this device hosts behind Caddy. `public_ip` counts with TURN only.

    Raises `ValueError` when TURN's own TLS has the port that Caddy is to have.
    """
    signaling = _signaling(services.signaling, plan.site)
    if plan.turn_site is None:
        return replace(services, signaling=signaling)
    tls = services.turn.tls
    if tls is not None and tls.port == LAYER4_PORT:
        raise ValueError(
            f"services.turn.tls has port {LAYER4_PORT}, which Caddy would need; set it to null, or use --relay-only"
        )
    return replace(services, signaling=signaling, turn=_turn(services.turn, public_ip))


def _signaling(block: SignalingService, site: str) -> SignalingService:
    # Bound to loopback it is not told of to members (06 K), except by the address at which Caddy answers.
    return replace(block, enabled=True, bind=LOOPBACK, unknown={**block.unknown, "public_url": f"wss://{site}"})


def _turn(block: TurnService, public_ip: str) -> TurnService:
    window = (block.relay_port_min, block.relay_port_max)
    low, high = window if any(window) else RELAY_WINDOW
    return replace(
        block,
        enabled=True,
        tcp_enabled=True,
        bind=ANYWHERE,
        port=TURN_PORT,
        public_ip=public_ip,
        relay_port_min=low,
        relay_port_max=high,
    )


class Ports(Value, frozen=True):
    """What others reach this host at: one port, or a window of them."""

    low: int
    high: int
    protocol: str

    def text(self, between: str) -> str:
        """`3478/udp`, or with `between` in it for a window."""
        span = f"{self.low}" if self.low == self.high else f"{self.low}{between}{self.high}"
        return f"{span}/{self.protocol}"


def ports(services: ServicesConfig, plan: Wanted) -> tuple[Ports, ...]:
    """What the firewall must let in (spec 06 §11)."""
    tcp = [80, 443] if plan.turn_site is None else [80, 443, TURN_PORT, LAYER4_PORT]
    opened = [Ports(port, port, "tcp") for port in tcp]
    if plan.turn_site is not None:
        window = (services.turn.relay_port_min, services.turn.relay_port_max)
        opened += [Ports(TURN_PORT, TURN_PORT, "udp"), Ports(*window, "udp")]
    return tuple(opened)
