"""`myownllm health`: is the mesh all right, and if not, what is in the way? It only reads."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated, Final

import msgspec
import typer

from mesh_common.streams import words
from myownllm import aside
from myownllm import health as rules
from myownllm.cli import context
from myownllm.cli.look import look
from myownllm.cli.options import Json
from myownllm.cli.report import Report, report
from myownllm.errors import HomeError

EPILOG = "Exit status: " + ", ".join(f"{code} {name}" for name, code in rules.EXIT_CODES.items()) + "."
WAIT_MAX_S: Final = 3600.0
_LOOK_EVERY_S: Final = 0.5
_MARKS: Final = {"ok": "✓", "note": "·", "stop": "✗"}


def _seconds(value: float) -> float:
    if not 0 <= value <= WAIT_MAX_S:  # not-a-number fails this, too
        raise typer.BadParameter(f"at most {WAIT_MAX_S:.0f} seconds")
    return value


def health(
    wait: Annotated[
        float, typer.Option("--wait", help="Look again until all is well, for this many seconds.", callback=_seconds)
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Check everything between this device and its peers; the exit status names what is in the way (0 = healthy)."""
    deadline = time.monotonic() + wait
    found = _look()
    while not found.healthy and time.monotonic() < deadline:
        time.sleep(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))
        found = _look()
    if as_json:
        context.print_answer(msgspec.to_builtins(found))
    else:
        _print(found)
    sys.stdout.flush()
    if not words.gone():
        _seen()
    raise SystemExit(found.exit_status)


def _look() -> Report:
    try:
        seen = look()
    except HomeError as error:
        return report(None, rules.Facts(home_problem=str(error)))
    return report(seen, seen.facts())


def _print(found: Report) -> None:
    reason = f" ({found.reason})" if found.reason and found.reason not in found.headline else ""
    print(context.shown(f"{found.headline}{reason}", 500))
    for finding in found.findings:
        print(f"{_MARKS[finding.severity]} {finding.name}: {finding.text}")
    if found.daemon is not None and found.daemon.binary:
        print(f"  daemon {found.daemon.version}: {found.daemon.binary}, from {found.daemon.origin}")
    for relay in found.relays or ():
        print(f"  relay {relay.url}: {relay.state}{f' ({context.shown(relay.reason)})' if relay.reason else ''}")
    for peer in found.peers:
        way = f" over {peer.path}" if peer.path else ""
        way += "" if peer.sealed is None else ", met sealed" if peer.sealed else ", met in clear"
        why = f": {peer.why}" if peer.why else ""
        print(f"  device {context.shown(peer.label, 40)}: {peer.status}{way}{why}")
    if found.disk.free_bytes is not None:
        print(f"  disk {found.disk.path}: {found.disk.free_bytes // 2**20} MiB free")
    if found.app.runtime:
        print(f"  model server: {context.shown(found.app.runtime, 300)}")
    if found.app.api:
        print(f"  local API: {found.app.api}")


def _seen() -> None:
    with contextlib.suppress(HomeError):
        app_home = context.home()
        context.catalog_file(app_home).repairs_seen()
        aside.seen(app_home)
