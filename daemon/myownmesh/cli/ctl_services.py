"""``ctl services``: what this device hosts for others (spec 07 §6.2)."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from mesh_common.addresses import TURNS_PORT
from myownmesh.cli import tables
from myownmesh.cli.ctl_base import ask, object_argument, run, show
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line

app = group("Hosted services: node, relay, signaling, stun, turn.")

NAMES = ("node", "relay", "signaling", "stun", "turn")

Name = Annotated[str, typer.Argument(metavar="SERVICE", help="node, relay, signaling, stun or turn.")]


@app.command()
def status() -> None:
    """What is enabled and what runs."""
    run({"op": "services_status"}, tables.services)


@app.command()
def offers() -> None:
    """What members of your networks host for others: what this device uses of it, and what waits, and why."""
    run({"op": "services_offers"}, tables.offers)


@app.command()
def enable(
    service: Name,
    public_ip: Annotated[
        str | None,
        typer.Option(metavar="IP", help="Where others reach this device: TURN needs it, and adverts name it."),
    ] = None,
) -> None:
    """Switch a service on."""
    if public_ip is not None:
        try:
            public_ip = str(ipaddress.IPv4Address(public_ip))
        except ValueError as error:
            raise CliError(f"'{public_ip}' is no IPv4 address") from error
    _switch(service, enabled=True, public_ip=public_ip)


@app.command()
def disable(service: Name) -> None:
    """Switch a service off."""
    _switch(service, enabled=False)


@app.command(name="set")
def set_services(
    block: Annotated[str, typer.Argument(metavar="JSON", help="Whole services block; @FILE, or - for stdin.")],
) -> None:
    """Replace the whole block; what is left out becomes its default."""
    run({"op": "services_set", "services": object_argument(block, "the services block")}, tables.services)


@app.command()
def coturn() -> None:
    """Print a configuration for coturn that does what services.turn of this device does; it holds passwords."""
    data = ask({"op": "config_show"})
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(config, dict):
        raise CliError("the daemon's answer has no configuration")
    from myownmesh.protocol.json_words import JsonError
    from myownmesh.services.coturn import coturn_config
    from myownmesh.store.services_config import ServicesConfig

    compat = config.get("compat")
    private_peers = isinstance(compat, dict) and compat.get("turn_private_peers") is True
    try:
        block = ServicesConfig.from_json(config.get("services", {})).turn
        text = coturn_config(block, private_peers=private_peers)
    except (JsonError, ValueError) as error:
        raise CliError(f"services: {error}") from error
    write_line(text.rstrip("\n"))


@app.command()
def caddy(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="Where others reach the relay: wss://DOMAIN.")],
    turn_domain: Annotated[str | None, typer.Option(help="For TURN over TLS; turn.DOMAIN if it is left out.")] = None,
    caddyfile: Annotated[Path | None, typer.Option(help="What Caddy has now; nothing is written to it.")] = None,
) -> None:
    """Print a Caddyfile that puts TLS before this device's relay and TURN; the latter needs the module caddy-l4."""
    from myownmesh.caddy.caddyfile import merged

    data = ask({"op": "services_status"})
    config = data.get("config") if isinstance(data, dict) else None
    signaling = config.get("signaling") if isinstance(config, dict) else None
    port = signaling.get("port") if isinstance(signaling, dict) else None
    if not isinstance(port, int):
        raise CliError("daemon status missing services config")
    try:
        before = "" if caddyfile is None else caddyfile.read_text("utf-8")
        text = merged(before, domain, port, turn_domain)
    except OSError as error:
        raise CliError(f"read {caddyfile}: {error.strerror or error}") from error
    except ValueError as error:
        raise CliError(str(error)) from error
    write_line(text.rstrip("\n"))


def _switch(service: str, *, enabled: bool, public_ip: str | None = None) -> None:
    data = ask({"op": "services_status"})
    config = data.get("config") if isinstance(data, dict) else None
    if service not in NAMES:
        raise CliError(f"unknown service '{service}' — expected {' | '.join(NAMES)}")
    if not isinstance(config, dict):
        raise CliError("daemon status missing services config")
    from myownmesh.protocol.json_words import JsonError
    from myownmesh.store.services_config import ServicesConfig

    try:
        # Through our own classes, so that an older daemon's block is sent back complete.
        block = ServicesConfig.from_json(config).to_json()
    except JsonError as error:
        raise CliError(f"parse services config: {error}") from error
    chosen, turn = block[service], block["turn"]
    if not isinstance(chosen, dict) or not isinstance(turn, dict):
        raise CliError("daemon status missing services config")
    chosen["enabled"] = enabled
    if public_ip is not None:
        turn["public_ip"] = public_ip
    show(ask({"op": "services_set", "services": block}), tables.services)
    if service == "turn" and enabled:
        write_line(firewall_checklist(chosen))


def firewall_checklist(turn: dict[str, object]) -> str:
    """What a person must open so that others reach the TURN server."""
    port = turn.get("port")
    low, high = turn.get("relay_port_min"), turn.get("relay_port_max")
    window = (
        f"{low}-{high}" if low else "the system's ephemeral range (set relay_port_min and relay_port_max to narrow it)"
    )
    lines = [
        "",
        "Firewall checklist for TURN:",
        f"  - UDP {port}: control port",
        f"  - UDP {window}: relayed traffic",
    ]
    if turn.get("tcp_enabled"):
        lines.append(f"  - TCP {port}: clients behind UDP-blocking firewalls")
    if isinstance(tls := turn.get("tls"), dict):
        lines.append(f"  - TCP {tls.get('port', TURNS_PORT)}: clients over TLS")
    if not turn.get("public_ip"):
        lines.append(
            "  - services.turn.public_ip is not set: say where clients reach this host with "
            "`myownmesh ctl services enable turn --public-ip IP`"
        )
    return "\n".join(lines)
