"""``ctl channel``: plain messages between applications."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import ClientId, Network, Payload, Peer, ask, json_argument, run
from myownmesh.cli.ctl_stream import event_connection, frames
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line

app = group("Send to channels and listen to them.")

Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]


@app.command()
def subscribe(
    network: Network,
    channel: Channel,
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT", help="Deliver to this event connection instead of printing here.")
    ] = None,
) -> None:
    """Print each message of a channel as one JSON line, until interrupted."""
    request: dict[str, object] = {
        "op": "channel_subscribe",
        "client_id": client,
        "network": network,
        "channel": channel,
    }
    if client is not None:
        run(request, tables.members)
        return
    with event_connection() as (client_id, lines):
        ask({**request, "client_id": client_id})
        for frame in frames(lines):
            if frame.get("kind") == "channel_inbound" and frame.get("channel") == channel:
                write_line(json.dumps(frame, ensure_ascii=False, sort_keys=True))


@app.command()
def unsubscribe(client: ClientId, network: Network, channel: Channel) -> None:
    """End the subscription of an event connection."""
    run(
        {"op": "channel_unsubscribe", "client_id": client, "network": network, "channel": channel},
        tables.members,
    )


@app.command()
def send(
    network: Network,
    peer: Peer,
    channel: Channel,
    payload: Payload = "null",
    reliable: Annotated[
        bool, typer.Option("--reliable", help="Wait until the peer has it, over rebuilt links, too.")
    ] = False,
    ttl_ms: Annotated[int, typer.Option(min=0, help="With --reliable: how long to try; 0 is a minute.")] = 0,
) -> None:
    """Send a message to one peer."""
    request: dict[str, object] = {
        "op": "channel_send_reliable" if reliable else "channel_send_to",
        "network": network,
        "channel": channel,
        "peer": peer,
        "payload": json_argument(payload, "the payload"),
    }
    if reliable and ttl_ms:
        request["ttl_ms"] = ttl_ms
    elif ttl_ms:
        raise typer.BadParameter("--ttl-ms needs --reliable")
    run(request, tables.members)


@app.command(name="send-all")
def send_all(network: Network, channel: Channel, payload: Payload = "null") -> None:
    """Send a message to every connected peer."""
    run(
        {
            "op": "channel_send_all",
            "network": network,
            "channel": channel,
            "payload": json_argument(payload, "the payload"),
        },
        tables.members,
    )
