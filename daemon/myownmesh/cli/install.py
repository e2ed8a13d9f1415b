"""``install``: what stands before this device's services (spec 07 §8)."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.caddy.caddyfile import merged
from myownmesh.caddy.machine import MANAGERS, MODULE
from myownmesh.caddy.plan import wanted
from myownmesh.cli.caddy_base import DryRun, File, OwnServices, carry_out, file_of, first_ipv4
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import AsJson, group
from myownmesh.cli.output import write_line

app = group("Programs before this device's hosted services.")

_EXAMPLE = "mesh.example.org"
_RELAY_PORT = 4848


@app.callback()
def callback() -> None:
    """Keeps `caddy` a command of its own, though it is the only one."""


@app.command()
def caddy(
    domain: Annotated[
        str | None,
        typer.Argument(metavar="[DOMAIN]", help="Where others reach the relay. Without it: what to do by hand."),
    ] = None,
    turn_domain: Annotated[
        str | None, typer.Option(metavar="NAME", help="For TURN over TLS; turn.DOMAIN if it is left out.")
    ] = None,
    public_ip: Annotated[
        str | None, typer.Option(metavar="IP", help="What TURN tells others; else what is set, else DNS of the name.")
    ] = None,
    relay_only: Annotated[
        bool, typer.Option("--relay-only", help="TLS for the relay alone: any Caddy will do, TURN is left alone.")
    ] = False,
    file: File = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put Caddy before the hosted relay and TURN, so that others reach them with TLS. A second time changes nothing."""
    place = file_of(file)
    if domain is None:
        write_line(_by_hand(str(place)))
        return
    try:
        plan = wanted(domain, turn_domain, public_ip, relay_only=relay_only)
    except ValueError as error:
        raise CliError(str(error)) from error
    carry_out(
        place,
        {"domain": plan.site, "turn_domain": plan.turn_site},
        lambda run: run.install(plan, OwnServices(), first_ipv4, dry_run=dry_run),
        dry_run=dry_run,
        as_json=as_json,
    )
    if not as_json and not dry_run:
        reached = f"Others reach the relay at wss://{plan.site}"
        write_line(reached + (f", and TURN at turn: and turns:{plan.turn_site}." if plan.turn_site else "."))


def _by_hand(file: str) -> str:
    managers = "\n".join(f"   {' '.join(commands[-1])}" for commands in MANAGERS.values())
    snippet = "\n".join(f"   {line}" for line in merged("", _EXAMPLE, _RELAY_PORT).splitlines())
    return f"""\
Caddy speaks TLS before the hosted relay (wss://) and TURN (turns:). To have all of it done:

   sudo myownmesh install caddy {_EXAMPLE} --public-ip 203.0.113.7

By hand:

1. Install Caddy (https://caddyserver.com/docs/install), with one of
{managers}
2. Add what takes TURN's connections apart:
   caddy add-package {MODULE} --keep-backup
3. Merge this into {file}:

{snippet}

4. Have Caddy try it, then take it:
   caddy validate --config {file} --adapter caddyfile
   caddy reload --config {file} --adapter caddyfile
5. myownmesh ctl services enable signaling, and turn with tcp_enabled and public_ip (docs/hosting.md).
6. Let in TCP 80, 443, 3478 and 5349, UDP 3478 and the relay ports of TURN, here and at your provider."""
