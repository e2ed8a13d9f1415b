"""``ctl governance``: the signed decisions of a closed network."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, run
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group

app = group("Signed decisions of a closed network.", mfa="myownmesh.cli.ctl_mfa")

KINDS = ("open", "closed")
ROLES = ("member", "controller", "owner")

Target = Annotated[str, typer.Argument(metavar="DEVICE")]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL")]
Code = Annotated[str | None, typer.Option("--mfa-code", metavar="CODE", help="Authenticator code.")]


@app.command()
def state(network: Network) -> None:
    """Kind, roles, decisions and pending proposals."""
    run({"op": "governance_state", "network": network})


@app.command(name="propose-kind")
def propose_kind(
    network: Network, kind: Annotated[str, typer.Argument(metavar="open|closed")], code: Code = None
) -> None:
    """Propose to open or close the network."""
    to = _word(kind, KINDS, "kind")
    run({"op": "governance_propose_kind_change", "network": network, "to": to, "mfa_code": code}, tables.members)


@app.command(name="grant-role")
def grant_role(
    network: Network,
    target: Target,
    role: Annotated[str, typer.Argument(metavar="member|controller|owner")],
    code: Code = None,
) -> None:
    """Propose a role for a device."""
    run(
        {
            "op": "governance_propose_role_grant",
            "network": network,
            "target": target,
            "role": _word(role, ROLES, "role"),
            "mfa_code": code,
        },
        tables.members,
    )


@app.command(name="revoke-role")
def revoke_role(network: Network, target: Target, code: Code = None) -> None:
    """Propose to take a device's role away."""
    run(
        {"op": "governance_propose_role_revoke", "network": network, "target": target, "mfa_code": code},
        tables.members,
    )


@app.command()
def sign(network: Network, proposal: Proposal, code: Code = None) -> None:
    """Sign a pending proposal."""
    run({"op": "governance_sign", "network": network, "proposal_id": proposal, "mfa_code": code}, tables.members)


@app.command()
def deny(network: Network, proposal: Proposal) -> None:
    """Deny a pending proposal."""
    run({"op": "governance_deny", "network": network, "proposal_id": proposal}, tables.members)


@app.command()
def withdraw(network: Network, proposal: Proposal) -> None:
    """Withdraw an own proposal."""
    run({"op": "governance_withdraw", "network": network, "proposal_id": proposal}, tables.members)


def _word(text: str, words: tuple[str, ...], what: str) -> str:
    if text.lower() not in words:
        raise CliError(f"invalid {what} '{text}' — expected {' | '.join(words)}")
    return text.lower()
