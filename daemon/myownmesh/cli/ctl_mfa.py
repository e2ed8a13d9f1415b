"""``ctl governance mfa``: the authenticator lock on this device's governance key."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, run
from myownmesh.cli.groups import group

app = group("Lock this device's governance signatures behind an authenticator.")


@app.command()
def enroll(network: Network) -> None:
    """Create the secret and recovery codes; they are shown once."""
    run({"op": "governance_mfa_enroll", "network": network}, tables.members)


@app.command()
def status(network: Network) -> None:
    """Whether the lock is on."""
    run({"op": "governance_mfa_status", "network": network}, tables.members)


@app.command()
def disable(network: Network, code: Annotated[str, typer.Argument(metavar="CODE")]) -> None:
    """Take the lock off."""
    run({"op": "governance_mfa_disable", "network": network, "code": code}, tables.members)
