"""``ctl networks``: which meshes this device is in."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import MAX_U64, Network, Peer, ask_signed, object_argument, run, show
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group

app = group("List, join, leave and change networks.")

Record = Annotated[
    str, typer.Argument(metavar="JSON", help="Network record with at least id and network_id; @FILE, or - for stdin.")
]
Hub = Annotated[str | None, typer.Option(help="star: the hub's device id; hubs: ID[,ID…][:REDUNDANCY].", metavar="HUB")]


@app.command(name="list")
def list_networks() -> None:
    """Joined networks."""
    run({"op": "networks_list"}, tables.networks)


@app.command()
def join(
    network_id: Annotated[str, typer.Argument(metavar="ID", help="Network id: 3 to 64 letters, digits, - or _.")],
) -> None:
    """Join a network with default settings."""
    from myownmesh.protocol.ids import BadNetworkId, normalize_network_id
    from myownmesh.store.network_config import NetworkConfig

    try:
        normal = normalize_network_id(network_id)
    except BadNetworkId as error:
        raise CliError(f"invalid network id '{network_id}': identity: {error}") from error
    run({"op": "network_add", "config": NetworkConfig(id=normal, network_id=normal).to_json()}, tables.members)


@app.command()
def add(record: Record) -> None:
    """Join a network from a record of config.json's form."""
    show(ask_signed({"op": "network_add", "config": object_argument(record, "the network record")}), tables.members)


@app.command()
def update(record: Record) -> None:
    """Replace the settings of a joined network; found by id, then by network_id."""
    show(ask_signed({"op": "network_update", "config": object_argument(record, "the network record")}), tables.members)


@app.command()
def leave(network: Network) -> None:
    """Leave a network and forget its approvals."""
    run({"op": "network_remove", "network": network, "purge": True}, tables.members)


@app.command()
def remove(
    network: Network,
    purge: Annotated[bool, typer.Option("--purge", help="Forget its approvals too, as `leave` does.")] = False,
) -> None:
    """Leave a network, keeping its approvals for a later return."""
    run({"op": "network_remove", "network": network, "purge": purge}, tables.members)


@app.command()
def reconnect(
    network: Network, peer: Annotated[str | None, typer.Option(metavar="PEER", help="Only this peer.")] = None
) -> None:
    """Redial relays and renegotiate links."""
    run({"op": "network_reconnect", "network": network, "peer": peer}, tables.members)


@app.command()
def topology(
    network: Network,
    mode: Annotated[str, typer.Argument(metavar="MODE", help="full_mesh, ring, star or hubs.")],
    hub: Hub = None,
) -> None:
    """Set which peers hold links."""
    run({"op": "topology_set", "network": network, "topology": mode, "hub": hub}, tables.members)


@app.command(name="topology-propose")
def topology_propose(
    network: Network,
    mode: Annotated[str, typer.Argument(metavar="MODE", help="full_mesh, ring, star or hubs.")],
    hub: Hub = None,
    mfa: Annotated[str | None, typer.Option(metavar="CODE", help="Authenticator code.")] = None,
) -> None:
    """Propose a topology to the owners of a closed network."""
    run(
        {"op": "governance_propose_topology", "network": network, "topology": mode, "hub": hub, "mfa_code": mfa},
        tables.members,
    )


@app.command()
def connect(
    network: Network,
    peer: Peer,
    pin: Annotated[bool, typer.Option("--pin", help="Redial whenever the peer is seen.")] = False,
    wait_ms: Annotated[int, typer.Option(min=0, max=MAX_U64, help="Wait up to so many milliseconds for the link.")] = 0,
) -> None:
    """Dial a peer."""
    run(
        {"op": "network_connect_peer", "network": network, "peer": peer, "pin": pin, "wait_ms": wait_ms},
        tables.members,
    )


@app.command(name="generate-id")
def generate_id() -> None:
    """Make a new random network id."""
    run({"op": "network_id_generate"}, tables.members)


@app.command(name="normalize-id")
def normalize_id(text: Annotated[str, typer.Argument(metavar="TEXT")]) -> None:
    """Show the network id that a text stands for."""
    run({"op": "network_id_normalize", "input": text}, tables.members)
