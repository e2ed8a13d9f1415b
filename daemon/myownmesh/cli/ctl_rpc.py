"""``ctl rpc``: call methods of peers, and serve some by hand."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from myownmesh.cli import tables
from myownmesh.cli.ctl_base import MAX_U64, ClientId, Network, Payload, Peer, ask, json_argument, run
from myownmesh.cli.ctl_stream import event_connection, frames
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line

app = group("Call methods of peers, and serve methods.")

Method = Annotated[str, typer.Argument(metavar="METHOD")]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="request_id of an rpc_inbound frame.")]


@app.command()
def call(
    network: Network,
    peer: Peer,
    method: Method,
    payload: Payload = "null",
    timeout_ms: Annotated[
        int | None, typer.Option(min=1, max=MAX_U64, help="Let the daemon give up after so many milliseconds.")
    ] = None,
) -> None:
    """Call a method and print its answer."""
    request: dict[str, object] = {
        "op": "rpc_call",
        "network": network,
        "peer": peer,
        "method": method,
        "payload": json_argument(payload, "the payload"),
    }
    if timeout_ms is not None:
        request["timeout_ms"] = timeout_ms
    run(request, tables.members)


@app.command(name="call-stream")
def call_stream(network: Network, peer: Peer, method: Method, payload: Payload = "null") -> None:
    """Call a streaming method and print each chunk as one JSON line."""
    with event_connection() as (client_id, lines):
        data = ask(
            {
                "op": "rpc_call_stream",
                "client_id": client_id,
                "network": network,
                "peer": peer,
                "method": method,
                "payload": json_argument(payload, "the payload"),
            }
        )
        request_id = data.get("request_id") if isinstance(data, dict) else None
        # Frames wait in the socket until the answer has told their id, so none is missed.
        for frame in frames(lines):
            if frame.get("request_id") != request_id:
                continue
            if frame.get("kind") == "rpc_call_stream_chunk":
                write_line(json.dumps(frame.get("payload"), ensure_ascii=False))
            elif frame.get("kind") == "rpc_call_stream_end":
                if frame.get("error") is not None:
                    raise CliError(f"stream ended: {frame['error']}")
                return
    raise CliError("the daemon closed the connection before the stream ended")


@app.command()
def register(
    client: ClientId,
    network: Network,
    method: Method,
    streaming: Annotated[bool, typer.Option("--streaming", help="Answer with chunks instead of one value.")] = False,
) -> None:
    """Claim a method for an event connection."""
    run(
        {"op": "rpc_register", "client_id": client, "network": network, "method": method, "streaming": streaming},
        tables.members,
    )


@app.command()
def unregister(client: ClientId, network: Network, method: Method) -> None:
    """Give a method back."""
    run({"op": "rpc_unregister", "client_id": client, "network": network, "method": method}, tables.members)


@app.command()
def respond(
    request_id: RequestId,
    answer: Payload = "null",
    error: Annotated[str | None, typer.Option(metavar="TEXT", help="Fail the call with this text.")] = None,
) -> None:
    """Answer an inbound call."""
    request: dict[str, object] = {"op": "rpc_respond", "request_id": request_id}
    if error is None:
        request["ok"] = json_argument(answer, "the answer")
    else:
        request["error"] = error
    run(request, tables.members)


@app.command(name="stream-chunk")
def stream_chunk(request_id: RequestId, payload: Payload = "null") -> None:
    """Send one chunk of an inbound streaming call."""
    run(
        {"op": "rpc_stream_chunk", "request_id": request_id, "payload": json_argument(payload, "the payload")},
        tables.members,
    )


@app.command(name="stream-end")
def stream_end(
    request_id: RequestId,
    error: Annotated[str | None, typer.Option(metavar="TEXT", help="End with this error.")] = None,
) -> None:
    """End an inbound streaming call."""
    run({"op": "rpc_stream_end", "request_id": request_id, "error": error}, tables.members)
