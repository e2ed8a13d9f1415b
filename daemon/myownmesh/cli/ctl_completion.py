"""What the shell offers while a person types a ``ctl`` command: names that the running daemon knows."""

from __future__ import annotations

from typing import Final

import typer

from mesh_common.streams import words
from myownmesh.cli import client
from myownmesh.cli.errors import CliError
from myownmesh.cli.tables import object_of, text_of

PATIENCE_S: Final = 1.0
"""Who presses a key waits no longer; then nothing is offered."""


def complete_network(incomplete: str) -> list[str]:
    """Joined networks, by record id."""
    return _beginning(incomplete, _texts({"op": "networks_list"}, "networks", "config_id"))


def complete_device(ctx: typer.Context, incomplete: str) -> list[str]:
    """Display ids of devices that are known in the network that was typed before."""
    from myownmesh.protocol.ids import BadDeviceId, display_id, parse_device_id

    network = ctx.params.get("network")
    found = _texts({"op": "roster_list", "network": network}, "roster", "device_id")
    found += _texts({"op": "peers_list", "network": network}, "peers", "device_id")
    shown: dict[str, None] = {}
    for device in found:
        try:
            shown[display_id(parse_device_id(device))] = None
        except BadDeviceId:
            continue  # nothing that a command would take
    return _beginning(incomplete, [*shown])


def complete_pending(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of what waits in the network that was typed before."""
    network = ctx.params.get("network")
    return _beginning(incomplete, _texts({"op": "governance_pending", "network": network}, "rows", "id"))


def _texts(request: client.Request, rows: str, member: str) -> list[str]:
    try:
        answer = object_of(client.request(request, PATIENCE_S))
    except CliError:
        return []  # a shell has no place for a complaint
    words.work_is_done()
    found = answer.get(rows)
    return [text_of(object_of(row).get(member)) for row in found] if isinstance(found, list) else []


def _beginning(incomplete: str, texts: list[str]) -> list[str]:
    return [text for text in texts if text.startswith(incomplete)]
