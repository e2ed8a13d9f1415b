"""``ctl capabilities``: what this device advertises to peers."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, object_argument, run
from myownmesh.cli.groups import group

app = group("What this device advertises to its peers.")


@app.command(name="set")
def set_capabilities(
    network: Network,
    advert: Annotated[str, typer.Argument(metavar="JSON", help='Such as {"tags":["print"]}; @FILE, or - for stdin.')],
) -> None:
    """Replace the advert of a network."""
    run(
        {"op": "capabilities_set", "network": network, "capabilities": object_argument(advert, "the advert")},
        tables.members,
    )
