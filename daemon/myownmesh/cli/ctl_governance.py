"""``ctl governance``: the signed decisions of a closed network.

A decision ends with 0 when it is in force, with 3 when it is recorded and waits for somebody, with 1 when refused.
"""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import governance_tables, tables
from myownmesh.cli.ctl_base import Network, decide, run
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group

app = group("Signed decisions of a closed network.", mfa="myownmesh.cli.ctl_mfa")

KINDS = ("open", "closed")
ROLES = ("member", "controller", "owner")

Target = Annotated[str, typer.Argument(metavar="DEVICE")]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL")]
Code = Annotated[str | None, typer.Option("--mfa-code", metavar="CODE", help="Authenticator code. Default: ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")]


@app.command()
def state(network: Network) -> None:
    """Kind, roles, decisions and pending proposals."""
    run({"op": "governance_state", "network": network})


@app.command()
def who(
    network: Network,
    device: Annotated[
        str | None, typer.Argument(metavar="DEVICE", help="Also what this device once signed and did not get.")
    ] = None,
) -> None:
    """Who may let devices in, put them out, and change roles and shape; look at it before you promote somebody."""
    run({"op": "governance_who", "network": network, "device": device}, governance_tables.who)


@app.command()
def log(
    network: Network,
    limit: Annotated[int, typer.Option(min=1, max=20_000, help="How many entries at most.")] = 50,
) -> None:
    """What was signed, newest first: by whom, when, and whether it counts."""
    run({"op": "governance_log", "network": network, "limit": limit}, governance_tables.log)


@app.command()
def doctor(network: Network) -> None:
    """What is amiss, and what helps."""
    run({"op": "governance_doctor", "network": network}, governance_tables.doctor)


@app.command(name="propose-kind")
def propose_kind(
    network: Network,
    kind: Annotated[str, typer.Argument(metavar="open|closed")],
    code: Code = None,
    dry_run: DryRun = False,
) -> None:
    """Propose to open or close the network."""
    to = _word(kind, KINDS, "kind")
    request = {"op": "governance_propose_kind_change", "network": network, "to": to, "mfa_code": code}
    decide({**request, **_dry(dry_run)}, governance_tables.decision)


@app.command(name="grant-role")
def grant_role(
    network: Network,
    target: Target,
    role: Annotated[str, typer.Argument(metavar="member|controller|owner")],
    code: Code = None,
) -> None:
    """Propose a role for a device."""
    decide(
        {
            "op": "governance_propose_role_grant",
            "network": network,
            "target": target,
            "role": _word(role, ROLES, "role"),
            "mfa_code": code,
        },
        governance_tables.decision,
    )


@app.command(name="revoke-role")
def revoke_role(network: Network, target: Target, code: Code = None, dry_run: DryRun = False) -> None:
    """Propose to take a device's role away. A plain member has none: `evict` puts it out."""
    request = {"op": "governance_propose_role_revoke", "network": network, "target": target, "mfa_code": code}
    decide({**request, **_dry(dry_run)}, governance_tables.decision)


@app.command()
def evict(network: Network, target: Target, code: Code = None, dry_run: DryRun = False) -> None:
    """Propose to put a device out; whoever hears of it drops its link at once."""
    request = {"op": "governance_propose_evict", "network": network, "target": target, "mfa_code": code}
    decide({**request, **_dry(dry_run)}, governance_tables.decision)


@app.command()
def sign(network: Network, proposal: Proposal, code: Code = None) -> None:
    """Sign a pending proposal."""
    decide(
        {"op": "governance_sign", "network": network, "proposal_id": proposal, "mfa_code": code},
        governance_tables.decision,
    )


@app.command()
def deny(network: Network, proposal: Proposal) -> None:
    """Deny a pending proposal."""
    run({"op": "governance_deny", "network": network, "proposal_id": proposal}, tables.members)


@app.command()
def withdraw(network: Network, proposal: Proposal) -> None:
    """Withdraw an own proposal."""
    run({"op": "governance_withdraw", "network": network, "proposal_id": proposal}, tables.members)


@app.command(name="recovery-key")
def recovery_key(network: Network, code: Code = None) -> None:
    """Make an owner that lives on no device, and print its key once."""
    decide({"op": "governance_recovery_create", "network": network, "mfa_code": code}, governance_tables.recovery_key)


@app.command()
def recover(
    network: Network,
    evict: Annotated[str | None, typer.Option("--evict", metavar="DEVICE", help="The lost device: put it out.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="DEVICE", help="Who becomes owner. Default: this device.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="FILE", help="A file with the key, or - for a pipe. Default: ask.")
    ] = None,
) -> None:
    """Use a printed recovery key on any member: seat a new owner and put the lost one out."""
    from mesh_common.passed_secrets import NoSecret, passed_secret

    try:
        text = passed_secret(key, "Recovery key (not shown): ")
    except NoSecret as error:
        raise CliError(str(error)) from error
    run(
        {"op": "governance_recover", "network": network, "key": text, "owner": owner, "evict": evict},
        governance_tables.recovered,
    )


def _dry(dry_run: bool) -> dict[str, object]:
    """Only where it is wanted: the reference's daemon never sees the member."""
    return {"dry_run": True} if dry_run else {}


def _word(text: str, words: tuple[str, ...], what: str) -> str:
    if text.lower() not in words:
        raise CliError(f"invalid {what} '{text}' — expected {' | '.join(words)}")
    return text.lower()
