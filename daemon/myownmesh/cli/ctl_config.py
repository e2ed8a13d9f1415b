"""``ctl config``: the daemon's view of its configuration file."""

from __future__ import annotations

from myownmesh.cli.ctl_base import run
from myownmesh.cli.groups import group

app = group("The daemon's configuration.")


@app.command()
def show() -> None:
    """The file as the daemon reads it now, defaults and secrets included."""
    run({"op": "config_show"})
