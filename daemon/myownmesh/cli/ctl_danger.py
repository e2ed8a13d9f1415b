"""``ctl danger``: what cannot be taken back; a person types what is to happen (spec 05 §15)."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Final

import typer

from mesh_common.client.errors import ControlError
from myownmesh.cli import client, tables
from myownmesh.cli.ctl_base import ask, show
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group

app = group("Forget every network, or everything. Nothing brings it back.")

BACK_S: Final = 30.0
"""For the new daemon; it takes about a second, on a small device some."""
LOOK_S: Final = 0.1
"""Between two looks whether it answers."""

Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]


@app.command(name="forget-all-networks")
def forget_all_networks(yes: Yes = False) -> None:
    """Leave every network, and forget its settings, its approvals and what was signed in it. The key stays."""
    before = _status()
    if not yes:
        networks = ", ".join(map(str, _listed(before.get("joined_networks")))) or "none is joined"
        _confirm("forget", f"This device leaves every network ({networks}) and forgets who was approved there.")
    show(ask({"op": "forget_all_networks"}), tables.members)
    _wait_for_the_next(before)


@app.command(name="factory-reset")
def factory_reset(yes: Yes = False) -> None:
    """Delete everything that this device has, its key as well: it comes back as another device, in no network."""
    before = _status()
    if not yes:
        home = before.get("home") or "the daemon's directory"
        _confirm(
            "delete",
            f"Everything in {home} is deleted: networks, approvals, locks and the key of {before.get('device_id')}.\n"
            "Others keep their approval of a device that is no more; closed networks keep its roles.",
        )
    show(ask({"op": "factory_reset"}), tables.members)
    _wait_for_the_next(before)


def _confirm(word: str, what: str) -> None:
    """Raises `CliError` unless a person types the word."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise CliError("this cannot be taken back; say --yes where nobody can be asked. Nothing was changed")
    print(f"{what}\nNothing brings it back. Type {word} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() != word:
        raise CliError("nothing was changed")


def _wait_for_the_next(before: dict[str, object]) -> None:
    """Tell which device this is now, once the new daemon answers. What was asked for is done in any case."""
    if before.get("instance") is None:
        print("This daemon ends now and does not come back by itself; start it again.", file=sys.stderr)
        return
    until = time.monotonic() + BACK_S
    while time.monotonic() < until:
        try:
            now = _status()
        except (CliError, ControlError):
            now = before
        if now.get("instance") != before.get("instance"):
            same = now.get("device_id") == before.get("device_id")
            print(f"The daemon is back. This is {'still' if same else 'now'} {now.get('device_id')}.", file=sys.stderr)
            return
        time.sleep(LOOK_S)
    print(f"It is done, but no daemon has answered for {BACK_S:.0f} s; start it again.", file=sys.stderr)


def _status() -> dict[str, object]:
    return dict(tables.object_of(client.request({"op": "status"}, BACK_S)))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
