"""``ctl roster``: which devices a person has approved."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh_common.client.asking import bare_id
from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, ask, run
from myownmesh.cli.groups import group

app = group("List, approve and remove devices of a network.")

Device = Annotated[str, typer.Argument(metavar="DEVICE", help="Device id, with or without its suffix.")]


@app.command(name="list")
def list_roster(network: Network) -> None:
    """Approved devices."""
    run({"op": "roster_list", "network": network}, tables.roster)


@app.command()
def approve(
    network: Network,
    device: Device,
    label: Annotated[
        str | None, typer.Option(help="Your name for it; without this it keeps the one that it has here.")
    ] = None,
) -> None:
    """Admit a device. Compare its code with its owner first: `ctl peers NETWORK`."""
    if label is None:  # to the op that means no name, of a known device as well (spec 05 §7)
        label = _name_here(network, device)
    run({"op": "roster_approve", "network": network, "device_id": device, "label": label}, tables.members)


@app.command()
def remove(network: Network, device: Device) -> None:
    """Drop a device and forget its approval."""
    run({"op": "roster_remove", "network": network, "device_id": device}, tables.members)


def _name_here(network: str, device: str) -> str | None:
    """What a person here called a device that is in the roster already; None for one that is not."""
    rows: Any = ask({"op": "roster_list", "network": network})
    bare = bare_id(device)
    return next((row["label"] for row in rows["roster"] if bare_id(row["device_id"]) == bare), None)
