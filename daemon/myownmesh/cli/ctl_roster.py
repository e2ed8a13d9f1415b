"""``ctl roster``: which devices a person has approved."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, run
from myownmesh.cli.groups import group

app = group("List, approve and remove devices of a network.")

Device = Annotated[str, typer.Argument(metavar="DEVICE", help="Device id, with or without its suffix.")]


@app.command(name="list")
def list_roster(network: Network) -> None:
    """Approved devices."""
    run({"op": "roster_list", "network": network}, tables.roster)


@app.command()
def approve(
    network: Network, device: Device, label: Annotated[str | None, typer.Option(help="Your name for it.")] = None
) -> None:
    """Admit a device. Compare its code with its owner first: `ctl peers NETWORK`."""
    run({"op": "roster_approve", "network": network, "device_id": device, "label": label}, tables.members)


@app.command()
def remove(network: Network, device: Device) -> None:
    """Drop a device and forget its approval."""
    run({"op": "roster_remove", "network": network, "device_id": device}, tables.members)
