"""`myownllm status`: what is going on, in a few lines. It only reads."""

from __future__ import annotations

from typing import Any

from myownllm import health, phases
from myownllm.cli import context
from myownllm.cli.look import Seen, look
from myownllm.cli.options import Json
from myownllm.errors import FAILURES
from myownllm.ids import device_suffix
from myownllm.peers import CONNECTED


def status(as_json: Json = False) -> None:
    """Show this device, its daemon, the active network and how many devices are connected."""
    try:
        seen = look()
        found = _status(seen)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(found)
        return
    print(context.shown(found["pill"], 500))
    daemon = found["daemon"]
    if daemon is None and seen.app_silent:
        print(f"daemon   does not answer at {seen.app_home.own_socket}")
    elif daemon is None and found["app"]["running"]:
        print(f"daemon   does not answer at {seen.app_home.own_socket}; the running app starts it again")
    elif daemon is None:
        print(f"daemon   not running ({seen.app_home.own_socket}); `myownllm up` starts it")
    else:
        pin = "" if found["meets_pin"] else f" — older than the pinned {found['pinned_version']}"
        print(f"device   {context.shown(found['label']) or '(no name)'}  {daemon['device_id']}")
        whose = "shared" if daemon["mode"] == "shared" else "own"
        print(f"daemon   {daemon['version']} ({whose}) at {daemon['socket']}{pin}")
    if seen.app is not None and seen.app.binary:
        print(f"program  {seen.app.binary}, {seen.app.origin}")
    app = found["app"]
    running = f"running, process {app['pid']}" if app["running"] else "not running; `myownllm up` starts it"
    if seen.app_silent:
        running += ", does not answer"
    print(f"app      {running}")
    if found["reason"]:
        print(f"reason   {context.shown(found['reason'], 500)}")
    if found["hint"]:
        print(f"hint     {context.shown(found['hint'], 500)}")
    if met := [p for p in found["peers"] if p["status"] in CONNECTED and p["sealed"] is not None]:
        sealed = sum(p["sealed"] for p in met)
        print(f"sealed   {sealed} of {len(met)} connected device(s): relays could not read where they are")
    if found["pending_approvals"]:
        print(f"waiting  {found['pending_approvals']} device(s) for your approval: `myownllm peers`")


def _status(seen: Seen) -> dict[str, Any]:
    facts = seen.facts()
    headline = health.headline(facts)
    daemon, active, row = seen.daemon, seen.active, seen.row
    phase: phases.Phase = "off"
    if row is not None:
        phase = "signaling-up" if row.phase == "joining" else phases.from_daemon(row.phase)
    elif daemon is not None and active is not None and seen.app_pid is not None:
        phase = "starting"
    version = "" if daemon is None else daemon.status.version
    return {
        "pill": headline.text,
        "level": headline.level,
        "reason": headline.reason,
        "hint": headline.next_step,
        "status": phases.status_of(phase),
        "phase": phase,
        "network": None
        if active is None
        else {"id": active.id, "network_id": active.wire_id, "handle": active.handle, "kind": active.kind or "open"},
        "label": seen.label,
        "app": {"running": seen.app_pid is not None, "pid": seen.app_pid},
        "daemon": None
        if daemon is None
        else {
            "version": version,
            "device_id": daemon.status.device_id,
            "mode": daemon.mode,
            "socket": str(daemon.socket),
            "pid": daemon.status.pid,
            "binary": "" if seen.app is None else seen.app.binary,
            "origin": "" if seen.app is None else seen.app.origin,
            "joined_networks": daemon.status.joined_networks,
        },
        "pinned_version": facts.pin,
        "meets_pin": health.meets_pin(facts),
        "connected_peers": sum(p.status in CONNECTED for p in seen.peers),
        "pending_approvals": sum(p.status == "pending_approval" for p in seen.peers),
        "peers": [
            {
                "peer_id": p.device_pubkey,
                "label": p.label,
                "status": p.status,
                "suffix": device_suffix(p.device_pubkey),
                "sealed": p.sealed,
            }
            for p in seen.peers
        ],
    }
