"""``ctl identity``: the identity of the running daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import run
from myownmesh.cli.groups import group

app = group("The running daemon's identity.")


@app.command()
def show() -> None:
    """Device id, public key and label."""
    run({"op": "identity_show"}, tables.members)


@app.command(name="set-label")
def set_label(label: Annotated[str, typer.Argument(metavar="LABEL", help="Empty clears it.")]) -> None:
    """Change the label that peers see at their next handshake."""
    run({"op": "identity_set_label", "label": label}, tables.members)
