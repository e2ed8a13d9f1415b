"""``ctl invite``: links that stand for this device's approval (spec 11 §1)."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mesh_common.passed_secrets import NoSecret, passed_secret
from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, run, seconds
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group

app = group("Let devices in by a link instead of comparing codes.")

MOST_S: Final = 30 * 86_400


@app.command()
def create(
    network: Network,
    span: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it works: 15m, 2h, 7d.")] = "15m",
    uses: Annotated[int, typer.Option(min=1, max=100, help="How many devices it lets in.")] = 1,
    note: Annotated[str, typer.Option(help="For your own list.")] = "",
    turn_credentials: Annotated[
        bool, typer.Option("--turn-credentials", help="Also hand over the passwords of TURN servers.")
    ] = False,
) -> None:
    """Make a link; whoever has it is let in, so hand it over as you would a key."""
    run(
        {
            "op": "invite_create",
            "network": network,
            "ttl_s": seconds(span, MOST_S, "30 days"),
            "uses": uses,
            "note": note,
            "turn_credentials": turn_credentials,
        },
        tables.invitation,
    )


@app.command(name="list")
def list_invites(network: Network) -> None:
    """Invitations of this device: how long they work, and whom they let in."""
    run({"op": "invite_list", "network": network}, tables.invites)


@app.command()
def revoke(network: Network, invite: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]) -> None:
    """Take an invitation back. Devices that it let in stay; `ctl roster remove` takes them out."""
    run({"op": "invite_revoke", "network": network, "id": invite}, tables.members)


@app.command()
def accept(
    link: Annotated[
        str | None, typer.Argument(metavar="LINK", help="The link, a file, or - for standard input. Default: ask.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it leads to.")] = False,
    approve_inviter: Annotated[
        bool, typer.Option("--approve-inviter", help="Also in a network where this device already is.")
    ] = False,
) -> None:
    """Use a link: join its network and approve the device that made it."""
    try:
        text = passed_secret(link, "Invitation (not shown): ")
    except NoSecret as error:
        raise CliError(str(error)) from error
    run(
        {"op": "network_join_invite", "text": text, "dry_run": dry_run, "approve_inviter": approve_inviter},
        tables.invitation_taken,
    )
