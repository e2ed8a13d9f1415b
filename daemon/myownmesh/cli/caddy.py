"""``caddy``: the Caddy before this device's services (spec 07 §6.2)."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from myownmesh.caddy.caddyfile import managed, normalised
from myownmesh.caddy.machine import Machine
from myownmesh.caddy.swap import Swap
from myownmesh.caddy.tools import CaddyError, Programs
from myownmesh.cli.caddy_base import DryRun, File, carry_out, file_of
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import AsJson, group
from myownmesh.cli.output import write_line

app = group("The Caddy before this device's hosted services; `install caddy` puts it there.")


@app.command()
def path() -> None:
    """Print where Caddy's file is, or would be."""
    file = file_of(None)
    write_line(str(file))
    if not file.exists():
        write_line("(there is none yet: `myownmesh install caddy DOMAIN` makes it)")


@app.command()
def status(file: File = None, as_json: AsJson = False) -> None:
    """Say what is installed, which sites are ours, and whether Caddy runs."""
    place = file_of(file)
    machine, swap = Machine(Programs(), place), Swap(place)
    try:
        program = machine.program
        facts: dict[str, object] = {
            "caddyfile": str(place),
            "caddy": None if program is None else f"{program}, {machine.version()}",
            "module": program is not None and machine.has_module(),
            "sites": list(managed(swap.text() or "")),
            "running": program is not None and machine.runs(),
            "unfinished": swap.unfinished,
        }
    except CaddyError as error:
        raise CliError(str(error)) from error
    if as_json:
        write_line(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, fact in facts.items():
        write_line(f"  {name + ':':<12}{_word(fact)}")


@app.command()
def remove(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="As it was installed.")],
    file: File = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a domain's blocks out of Caddy's file; the program and the hosted services stay."""
    try:
        site = normalised(domain)
    except ValueError as error:
        raise CliError(str(error)) from error
    place = file_of(file)
    if not place.exists():
        raise CliError(f"{place} is not there, so nothing of it can be removed")
    carry_out(place, {"domain": site}, lambda run: run.remove(site, dry_run=dry_run), dry_run=dry_run, as_json=as_json)


def _word(fact: object) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, list):
        return ", ".join(map(str, fact)) or "none"
    return "none" if fact is None else str(fact)
