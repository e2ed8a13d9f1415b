"""``ctl``: every operation of the control socket as a command (spec 07 §6.2, 6.3)."""

from __future__ import annotations

from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import Network, Options, ask, follow, run, seconds, show
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line

app = group(
    "Talk to the running daemon. Tables on a terminal, JSON otherwise.",
    networks="myownmesh.cli.ctl_networks",
    roster="myownmesh.cli.ctl_roster",
    invite="myownmesh.cli.ctl_invite",
    services="myownmesh.cli.ctl_services",
    identity="myownmesh.cli.ctl_identity",
    config="myownmesh.cli.ctl_config",
    rpc="myownmesh.cli.ctl_rpc",
    channel="myownmesh.cli.ctl_channel",
    capabilities="myownmesh.cli.ctl_capabilities",
    governance="myownmesh.cli.ctl_governance",
    danger="myownmesh.cli.ctl_danger",
)


@app.callback()
def options(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on a terminal too.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="Give up when the daemon is silent for so long. Default: 45, but never for calls, recordings, "
            "reliable sending and what the daemon pushes.",
        ),
    ] = None,
) -> None:
    """Keep the options for the command."""
    Options.as_json = as_json
    Options.timeout = timeout


@app.command()
def status() -> None:
    """Which daemon answers, and what it has joined."""
    run({"op": "status"}, tables.status)


@app.command()
def metrics() -> None:
    """How the daemon does, as OpenMetrics text: links, frames, queues, signaling, services, loop delay, updates."""
    data = ask({"op": "metrics"})
    text = data.get("text") if isinstance(data, dict) else None
    if Options.as_json or not isinstance(text, str):
        show(data)
    else:
        write_line(text.rstrip("\n"))


@app.command()
def peers(network: Network) -> None:
    """Devices seen in a network, with their state and verification codes."""
    run({"op": "peers_list", "network": network}, tables.peers)


@app.command()
def why(
    network: Network, peer: Annotated[str | None, typer.Argument(metavar="PEER", help="Only this device.")] = None
) -> None:
    """Why devices of a network are not active, and what happens next (docs/why.md)."""
    data = ask({"op": "peers_list", "network": network})
    show(data if peer is None else tables.only(data, peer), tables.reasons)


@app.command()
def events() -> None:
    """Print every event as one JSON line, until interrupted. The first line tells this connection's client id."""
    from myownmesh.cli.ctl_stream import follow_events

    follow_events()


@app.command()
def trace(network: Network) -> None:
    """Print the connection trace of a network as JSON lines, until interrupted."""
    follow({"op": "trace_subscribe", "network": network})


@app.command()
def record(
    network: Network,
    span: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Record for so long: 30s, 10m, 1h. Default: what was.")
    ] = None,
) -> None:
    """Write what went into a network's engine to a file, without ids, addresses and payloads (docs/simulator.md)."""
    run(
        {"op": "network_record", "network": network, "for_ms": 0 if span is None else 1000 * seconds(span)},
        tables.members,
    )
