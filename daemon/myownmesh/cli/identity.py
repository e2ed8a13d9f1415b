"""``identity``: this device's key and label, with or without a running daemon."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from mesh_common.streams import words
from myownmesh.cli.client import NoDaemon, request
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import AsJson, group
from myownmesh.cli.output import write_line
from myownmesh.store.errors import StoreError
from myownmesh.store.paths import Home

DAEMON_WAIT = 5.0
"""Seconds; a daemon that does not answer for so long is no help for a file edit."""

app = group("This device's identity.")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Print device id, public key and label; creates the identity if there is none."""
    from myownmesh.protocol.ids import display_id
    from myownmesh.store.identity_file import load_or_create_identity

    try:
        identity = load_or_create_identity(Home.resolve(os.environ))
    except StoreError as error:
        raise CliError(f"open identity: {error}") from error
    values = {"device_id": display_id(identity.device_id), "pubkey": identity.device_id, "label": identity.label}
    if as_json:
        write_line(json.dumps(values, indent=2, ensure_ascii=False))
        return
    for name, value in values.items():
        write_line(f"{name + ':':<13}{value}")


@app.command(name="set-label")
def set_label(label: Annotated[str, typer.Argument(metavar="LABEL", help="Empty clears it.")]) -> None:
    """Change the label; a running daemon is told, so that peers see it at their next handshake."""
    from myownmesh.store.identity_file import read_anchor, write_label

    home = Home.resolve(os.environ)
    try:
        anchor = read_anchor(home)
        if not _tell_daemon(label, anchor.public_key):
            write_label(home, label)
    except StoreError as error:
        raise CliError(f"set label: {error}") from error
    words.work_is_done()
    write_line("ok")


def _tell_daemon(label: str, public_key: str) -> bool:
    """Let the daemon of this very identity write the label. False when there is none: then the file is ours to edit."""
    try:
        shown = request({"op": "identity_show"}, DAEMON_WAIT)
        if not isinstance(shown, dict) or shown.get("pubkey") != public_key:
            return False
        request({"op": "identity_set_label", "label": label}, DAEMON_WAIT)
    except NoDaemon:
        return False
    return True
