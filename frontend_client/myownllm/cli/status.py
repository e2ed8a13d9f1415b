"""`myownllm status` and `myownllm health`: what is going on, and what is in the way. Both only read."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct

from mesh_common.answers import IdentityAnswer
from mesh_common.client.errors import ControlError
from mesh_common.streams import words
from mesh_common.views import DisputedNetwork, RelayRow, TwinRow
from myownllm import aside, phases, relays
from myownllm import health as health_rules
from myownllm.catalog.checking import setting_problems
from myownllm.catalog.model import Catalog
from myownllm.cli import context
from myownllm.errors import FAILURES, HomeError
from myownllm.home import AppHome, check_socket_path, find_pin
from myownllm.ids import comparable_network_id, device_suffix
from myownllm.peers import CONNECTED, PeerEntry

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HEALTH_EPILOG = "Exit status: " + ", ".join(f"{code} {name}" for name, code in health_rules.EXIT_CODES.items()) + "."


class _Networks(Struct, frozen=True):
    """The answer of `networks_list`, with what is said of a disputed identity."""

    networks: tuple[DisputedNetwork, ...]


def _network_row(daemon: context.Daemon, wire_id: str) -> DisputedNetwork | None:
    rows = daemon.answer(_Networks, "networks_list").networks
    return next((row for row in rows if comparable_network_id(row.network_id) == wire_id), None)


def _known_peers(daemon: context.Daemon, wire_id: str) -> tuple[PeerEntry, ...]:
    try:
        return daemon.peers(wire_id)
    except ControlError:
        return ()


def status(as_json: Json = False) -> None:
    """Show this device, its daemon, the active network and how many devices are connected."""
    app_home = context.home()
    try:
        catalog = context.catalog_file(app_home).load().catalog
        found = _status(app_home, catalog)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(found)
        return
    print(found["pill"])
    daemon = found["daemon"]
    if daemon is None and found["app"]["running"]:
        print(f"daemon   does not answer at {app_home.own_socket}; the running app starts it again")
    elif daemon is None:
        print(f"daemon   not running ({app_home.own_socket}); `myownllm up` starts it")
    else:
        pin = "" if found["meets_pin"] else f" — older than the pinned {found['pinned_version']}"
        print(f"device   {context.shown(found['label']) or '(no name)'}  {daemon['device_id']}")
        whose = "shared" if daemon["mode"] == "shared" else "own"
        print(f"daemon   {daemon['version']} ({whose}) at {daemon['socket']}{pin}")
    app = found["app"]
    running = f"running, process {app['pid']}" if app["running"] else "not running; `myownllm up` starts it"
    print(f"app      {running}")
    if found["hint"]:
        print(f"hint     {found['hint']}")
    if found["pending_approvals"]:
        print(f"waiting  {found['pending_approvals']} device(s) for your approval: `myownllm peers`")


def _status(app_home: AppHome, catalog: Catalog) -> dict[str, Any]:
    pid = context.app_pid(app_home)
    pin = find_pin(Path(__file__).parent)
    active = catalog.active
    daemon = context.find_daemon(app_home)
    phase: phases.Phase = "off"
    peers: tuple[PeerEntry, ...] = ()
    label = ""
    joined: tuple[str, ...] = ()
    hint = ""
    if daemon is not None:
        row: DisputedNetwork | None = None
        try:
            label = daemon.answer(IdentityAnswer, "identity_show").label
            row = None if active is None else _network_row(daemon, active.wire_id)
        except ControlError as error:  # it answers `status`, so it is shown; what else it says is the hint
            hint = f"the daemon does not answer as it should: {error}"
        joined = daemon.status.joined_networks
        if active is not None and row is not None:
            # the reference stays in this phase while it is alone
            if row.phase == "joining" and daemon.status.home is not None:
                hint = "no relay of this network has answered yet, so nobody can be found"
            if row.twin is not None:
                hint = health_rules.in_use(row.twin, daemon.status.home)
            elif silent := relays.troubled(row.relays):
                hint = relays.told(silent)
            phase = "signaling-up" if row.phase == "joining" else phases.from_daemon(row.phase)
            peers = _known_peers(daemon, active.wire_id)
        elif active is not None and pid is not None:
            phase = "starting"
    connected = sum(p.status in CONNECTED for p in peers)
    pill = phases.pill_text(None if active is None else active.handle, phase, connected)
    if active is not None and phase == "off" and pid is None:
        pill = f"Not running — '{active.handle}' is joined as soon as `myownllm up` runs"
    version = "" if daemon is None else daemon.status.version
    return {
        "pill": pill,
        "hint": hint,
        "status": phases.status_of(phase),
        "phase": phase,
        "network": None if active is None else {"id": active.id, "network_id": active.wire_id, "handle": active.handle},
        "label": label,
        "app": {"running": pid is not None, "pid": pid},
        "daemon": None
        if daemon is None
        else {
            "version": version,
            "device_id": daemon.status.device_id,
            "mode": daemon.mode,
            "socket": str(daemon.socket),
            "pid": daemon.status.pid,
            "joined_networks": joined,
        },
        "pinned_version": pin,
        "meets_pin": daemon is None or pin is None or _meets(version, pin),
        "connected_peers": connected,
        "pending_approvals": sum(p.status == "pending_approval" for p in peers),
        "peers": [
            {"peer_id": p.device_pubkey, "label": p.label, "status": p.status, "suffix": device_suffix(p.device_pubkey)}
            for p in peers
        ],
    }


def _meets(version: str, pin: str) -> bool:
    from mesh_common.versions import version_meets  # only where there is a pin and a daemon

    return version_meets(version, pin)


def health(as_json: Json = False) -> None:
    """Check everything between this device and its peers; the exit status names what is in the way (0 = healthy)."""
    facts = _facts()
    findings = health_rules.examine(facts)
    if as_json:
        code = health_rules.exit_status(findings)
        context.print_answer({"healthy": code == 0, "exit_status": code, "findings": [f.to_json() for f in findings]})
    else:
        marks = {"ok": "✓", "note": "·", "stop": "✗"}
        for finding in findings:
            print(f"{marks[finding.severity]} {finding.name}: {finding.text}")
    sys.stdout.flush()
    if not words.gone():
        _seen()
    raise SystemExit(health_rules.exit_status(findings))


def _seen() -> None:
    with contextlib.suppress(HomeError):
        app_home = context.home()
        context.catalog_file(app_home).repairs_seen()
        aside.seen(app_home)


def _facts() -> health_rules.Facts:
    try:
        app_home = context.home()
        file = context.catalog_file(app_home)
        stored = file.load()
        repairs = (*file.unseen_repairs(), *aside.unseen(app_home))
    except HomeError as error:
        return health_rules.Facts(home_problem=str(error))
    active = stored.catalog.active
    daemon = context.find_daemon(app_home)
    phase: str | None = None
    peers: tuple[tuple[str, bool], ...] = ()
    known_relays: tuple[RelayRow, ...] | None = None
    twin: TwinRow | None = None
    silence = ""
    left_out: tuple[str, ...] = ()
    if daemon is not None and active is not None:
        try:
            row = _network_row(daemon, active.wire_id)
        except ControlError as error:
            row, silence = None, str(error)
        if row is not None:
            phase, known_relays, twin, left_out = row.phase, row.relays, row.twin, row.left_out
            peers = tuple((p.status, p.needs_turn) for p in _known_peers(daemon, active.wire_id))
    return health_rules.Facts(
        config_notices=tuple(dict.fromkeys((*repairs, *stored.notices))),
        setting_problems=(*stored.unusable, *(() if active is None else setting_problems(active))),
        handle=None if active is None else active.handle,
        network_id=None if active is None else active.wire_id,
        app_running=context.app_pid(app_home) is not None,
        socket=str(app_home.own_socket if daemon is None else daemon.socket),
        socket_problem="" if daemon is not None else _socket_problem(app_home),
        daemon=None if daemon is None else daemon.status,
        daemon_binary=None if daemon is not None else _binary(),
        override_problem=_override_problem(),
        pin=find_pin(Path(__file__).parent),
        phase=phase,
        peers=peers,
        relays=known_relays,
        silence=silence,
        left_out=left_out,
        twin=twin,
    )


def _socket_problem(app_home: AppHome) -> str:
    try:
        check_socket_path(app_home.own_socket)
    except HomeError as error:
        return str(error)
    try:
        owner = app_home.own_socket.lstat().st_uid
    except OSError:
        return ""
    if owner != os.getuid():
        return f"the socket {app_home.own_socket} belongs to another user (uid {owner}); the app will not touch it"
    return ""


def _binary() -> str | None:
    from myownllm.supervisor import binaries

    found = binaries.collect(os.environ, Path(sys.executable).parent, None, "")
    return next((str(c.path) for c in found if binaries.file_problem(c.path) is None), None)


def _override_problem() -> str:
    from myownllm.supervisor import binaries

    for candidate in binaries.collect(os.environ, Path(sys.executable).parent, None, ""):
        if candidate.source == "override" and (problem := binaries.file_problem(candidate.path)) is not None:
            return f"{candidate.origin} names {candidate.path}, which {problem}; correct it, or unset it"
    return ""
