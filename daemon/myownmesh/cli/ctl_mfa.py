"""``ctl governance mfa``: the authenticator lock on this device's governance key."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, ask_signed, run, show
from myownmesh.cli.groups import group

app = group("Lock this device's governance signatures behind an authenticator.")


@app.command()
def enroll(network: Network) -> None:
    """Create the secret and recovery codes; they are shown once."""
    run({"op": "governance_mfa_enroll", "network": network}, tables.enrolment)


@app.command()
def status(network: Network) -> None:
    """Whether the lock is on."""
    run({"op": "governance_mfa_status", "network": network}, tables.members)


@app.command()
def disable(
    network: Network,
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="Of the authenticator, or a recovery code. Default: ask.")
    ] = "",
) -> None:
    """Take the lock off. Without any code left: `myownmesh custody reset`, with the daemon stopped."""
    show(ask_signed({"op": "governance_mfa_disable", "network": network, "code": code}, "code"), tables.members)
