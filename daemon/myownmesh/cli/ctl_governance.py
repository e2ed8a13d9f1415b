"""``ctl governance``: the signed decisions of a closed network.

A decision ends with 0 when it is in force, with 3 when it is recorded and waits for somebody, with 1 when refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myownmesh.cli import governance_decisions, governance_tables, tables
from myownmesh.cli.ctl_base import WAITING, Network, ask, decide, run, show
from myownmesh.cli.ctl_completion import complete_device, complete_pending
from myownmesh.cli.errors import CliError
from myownmesh.cli.governance_decisions import decided, kept
from myownmesh.cli.groups import group

if TYPE_CHECKING:
    from myownmesh.cli.client import Request

app = group("Signed decisions of a closed network.", mfa="myownmesh.cli.ctl_mfa")

KINDS = ("open", "closed")
ROLES = ("member", "controller", "owner")

Target = Annotated[str, typer.Argument(metavar="DEVICE", autocompletion=complete_device)]
Proposal = Annotated[
    str,
    typer.Argument(metavar="PROPOSAL", help="Its id; `pending` lists them.", autocompletion=complete_pending),
]
Code = Annotated[str | None, typer.Option("--mfa-code", metavar="CODE", help="Authenticator code. Default: ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")]
Keep = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="WHOM",
        help="If an authority goes, whom of those that it let in you sign in anew: all, none, before:DATE, or ids with "
        "commas between them. Default: ask at a terminal, else all. Removals are always signed anew.",
    ),
]


@app.command()
def state(network: Network) -> None:
    """Kind, roles, decisions and pending proposals, as they are signed."""
    run({"op": "governance_state", "network": network})


@app.command()
def pending(network: Network) -> None:
    """What waits for a decision, with what `sign` and `deny` would do."""
    run({"op": "governance_pending", "network": network}, governance_tables.pending)


@app.command()
def who(
    network: Network,
    device: Annotated[
        str | None,
        typer.Argument(
            metavar="DEVICE", help="Also what this device once signed and did not get.", autocompletion=complete_device
        ),
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
    kind: Annotated[str, typer.Argument(metavar="open|closed", autocompletion=lambda: [*KINDS])],
    code: Code = None,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Also with a clock that others call wrong.")] = False,
) -> None:
    """Propose to open or close the network. Closing an open one founds it: this device becomes its owner."""
    to = _word(kind, KINDS, "kind")
    request = {"op": "governance_propose_kind_change", "network": network, "to": to, "mfa_code": code, **_force(force)}
    decided(request, dry_run=dry_run)


@app.command(name="grant-role")
def grant_role(
    network: Network,
    target: Target,
    role: Annotated[str, typer.Argument(metavar="member|controller|owner", autocompletion=lambda: [*ROLES])],
    code: Code = None,
    keep: Keep = None,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Also with a clock that others call wrong.")] = False,
) -> None:
    """Propose a role for a device."""
    request = {
        "op": "governance_propose_role_grant",
        "network": network,
        "target": target,
        "role": _word(role, ROLES, "role"),
        "mfa_code": code,
        **_force(force),
    }
    decided(request, keep, dry_run=dry_run)


@app.command(name="revoke-role")
def revoke_role(
    network: Network, target: Target, code: Code = None, keep: Keep = None, dry_run: DryRun = False
) -> None:
    """Propose to take a device's role away. A plain member has none: `evict` puts it out."""
    request: Request = {"op": "governance_propose_role_revoke", "network": network, "target": target, "mfa_code": code}
    decided(request, keep, dry_run=dry_run)


@app.command()
def evict(network: Network, target: Target, code: Code = None, keep: Keep = None, dry_run: DryRun = False) -> None:
    """Propose to put a device out; whoever hears of it drops its link at once."""
    request: Request = {"op": "governance_propose_evict", "network": network, "target": target, "mfa_code": code}
    decided(request, keep, dry_run=dry_run)


@app.command()
def sign(
    network: Network,
    proposal: Proposal,
    code: Code = None,
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="DIGEST", help="Of what you were shown, as `pending` prints it in JSON."),
    ] = None,
    keep: Keep = None,
) -> None:
    """Sign a pending proposal. It is shown first, and what was shown is what is signed."""
    if digest is None:
        digest = governance_decisions.shown_digest(network, proposal)
    request = {"op": "governance_sign", "network": network, "proposal_id": proposal, "mfa_code": code}
    decide({**request, **({} if digest is None else {"digest": digest}), **kept(keep)}, governance_tables.decision)


@app.command()
def deny(network: Network, proposal: Proposal) -> None:
    """Deny a pending proposal."""
    run({"op": "governance_deny", "network": network, "proposal_id": proposal}, tables.members)


@app.command()
def withdraw(network: Network, proposal: Proposal) -> None:
    """Withdraw an own proposal."""
    run({"op": "governance_withdraw", "network": network, "proposal_id": proposal}, tables.members)


@app.command()
def settle(network: Network, proposal: Proposal, code: Code = None) -> None:
    """As an owner, end a quarrel between controllers for everybody by keeping this device's branch."""
    request: Request = {"op": "governance_settle", "network": network, "proposal_id": proposal, "mfa_code": code}
    decide(request, governance_tables.decision)


@app.command()
def replace(
    network: Network,
    old: Annotated[str, typer.Argument(metavar="OLD", autocompletion=complete_device)],
    new: Annotated[str, typer.Argument(metavar="NEW", autocompletion=complete_device)],
    code: Code = None,
    keep: Keep = None,
) -> None:
    """Put one device in another one's place: its role, then what it had decided, and the old one out last.

    After an interruption the same command goes on where it ended. On the old device it ends before the last step, which
    the new one takes.
    """
    request = {"op": "governance_replace", "network": network, "old": old, "new": new, "mfa_code": code}
    decide({**request, **kept(keep)}, governance_tables.replaced)


@app.command(name="export")
def export_file(
    network: Network,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: standard output.")] = None,
) -> None:
    """Write logs and proposals to a file, for a device without a network."""
    governance_decisions.export(network, file)


@app.command(name="import")
def import_file(
    network: Network, file: Annotated[str, typer.Argument(metavar="FILE", help="An export, or - for standard input.")]
) -> None:
    """Take in an export. It is verified like what a peer sends, and is nobody's word.

    Ends with 3 when a person has to decide whether its log counts (`pending`), with 1 when it was refused.
    """
    document = governance_decisions.read_export(file)
    answer = ask({"op": "governance_import", "network": network, "document": document})
    show(answer, governance_tables.imported)
    log = answer.get("log") if isinstance(answer, dict) else None
    if log in ("refused", "waits"):
        raise typer.Exit(1)
    if log in ("claim", "asked"):
        raise typer.Exit(WAITING)


@app.command(name="recovery-key")
def recovery_key(network: Network, code: Code = None) -> None:
    """Make an owner that lives on no device, and print its key once."""
    decide({"op": "governance_recovery_create", "network": network, "mfa_code": code}, governance_tables.recovery_key)


@app.command()
def recover(
    network: Network,
    evict: Annotated[
        str | None,
        typer.Option("--evict", metavar="DEVICE", help="The lost device: put it out.", autocompletion=complete_device),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="DEVICE",
            help="Who becomes owner. Default: this device.",
            autocompletion=complete_device,
        ),
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


def _force(force: bool) -> dict[str, object]:
    return {"force": True} if force else {}


def _word(text: str, words: tuple[str, ...], what: str) -> str:
    if text.lower() not in words:
        raise CliError(f"invalid {what} '{text}' — expected {' | '.join(words)}")
    return text.lower()
