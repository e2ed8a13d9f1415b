"""The report of `myownllm health --json`: its members are documented in docs/health.md, and a test compares them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from msgspec import Struct

from mesh_common import labels
from mesh_common.answers import ClockSkew
from myownllm import health
from myownllm.health import Finding
from myownllm.relays import shown

if TYPE_CHECKING:
    from pathlib import Path

    from myownllm.cli.look import Seen
    from myownllm.peers import PeerEntry


class DaemonReport(Struct, frozen=True, kw_only=True):
    """The daemon that answers."""

    version: str
    meets_pin: bool
    mode: str
    """`own_llm` or `shared`."""
    socket: str
    pid: int | None
    device_id: str
    binary: str
    """The program that the running app started; empty for a daemon that was there, or without the app."""
    origin: str
    """Why it was that program."""


class RelayReport(Struct, frozen=True, kw_only=True):
    """One relay of the active network."""

    url: str
    """Without user, password and query."""
    state: str
    """`connecting`, `up`, `refusing`, `silent` or `down`."""
    kind: str
    """Of the reason, as in the control protocol; empty while it is up."""
    reason: str


class PeerReport(Struct, frozen=True, kw_only=True):
    """One device of the active network."""

    peer_id: str
    label: str
    status: str
    path: str | None
    """`LAN`, `STUN` or `TURN`."""
    sealed: bool | None
    """Whether relays could not read how the link was set up; None before it was."""
    rtt_ms: int | None
    clock_skew_ms: int | None
    why: str
    """Why it is not connected; empty for one that is."""


class DiskReport(Struct, frozen=True, kw_only=True):
    """The disk that holds the app's home."""

    path: str
    free_bytes: int | None
    """None where it cannot be asked."""


class AppReport(Struct, frozen=True, kw_only=True):
    """The running app."""

    running: bool
    pid: int | None
    models: int
    """Models that this device offers to its peers at the moment."""
    runtime: str
    """The model server, or what is wrong with it."""
    api: str
    """Where the local API listens, or why it does not."""


class Report(Struct, frozen=True, kw_only=True):
    """The whole report."""

    healthy: bool
    exit_status: int
    headline: str
    level: str
    """`good`, `waiting` or `bad`."""
    reason: str
    next_step: str
    findings: list[Finding]
    """Worst first: `name`, `severity` (`ok`, `note`, `stop`) and `text`."""
    network: str | None
    """Label or handle of the active network."""
    pinned_version: str | None
    app: AppReport
    daemon: DaemonReport | None
    relays: list[RelayReport] | None
    """None from a daemon that does not tell of its relays."""
    peers: list[PeerReport]
    clock: ClockSkew | None
    """How far this device's clock is ahead, and who says so; None until somebody told the daemon the time."""
    disk: DiskReport


def report(seen: Seen | None, facts: health.Facts) -> Report:
    """What is known; `seen` is None for a home that cannot be used."""
    findings = health.examine(facts)
    top = health.headline(facts)
    code = health.exit_status(findings)
    told = facts.app or health.AppTold()
    return Report(
        healthy=code == 0,
        exit_status=code,
        headline=top.text,
        level=top.level,
        reason=top.reason,
        next_step=top.next_step,
        findings=findings,
        network=facts.handle,
        pinned_version=facts.pin,
        app=AppReport(
            running=facts.app_running,
            pid=None if seen is None else seen.app_pid,
            models=told.models,
            runtime=told.runtime,
            api=told.api,
        ),
        daemon=None if seen is None else _daemon(seen, facts),
        relays=None
        if facts.relays is None
        else [
            RelayReport(
                url=shown(row.url),
                state=row.state,
                kind="" if row.reason is None else row.reason.kind,
                reason="" if row.reason is None else row.reason.text,
            )
            for row in facts.relays
        ],
        peers=[] if seen is None else [_peer(each) for each in seen.peers],
        clock=None if facts.daemon is None else facts.daemon.clock,
        disk=_disk(None if seen is None else seen.app_home.root),
    )


def _daemon(seen: Seen, facts: health.Facts) -> DaemonReport | None:
    if seen.daemon is None:
        return None
    status, told = seen.daemon.status, facts.app or health.AppTold()
    return DaemonReport(
        version=status.version,
        meets_pin=health.meets_pin(facts),
        mode=seen.daemon.mode,
        socket=str(seen.daemon.socket),
        pid=status.pid,
        device_id=status.device_id,
        binary=told.binary,
        origin=told.origin,
    )


def _peer(peer: PeerEntry) -> PeerReport:
    return PeerReport(
        peer_id=peer.device_pubkey,
        label=peer.label,
        status=peer.status,
        path=peer.path,
        sealed=peer.sealed,
        rtt_ms=peer.rtt_ms,
        clock_skew_ms=peer.clock_skew_ms,
        why=health.why_not_connected(
            peer.status, needs_turn=peer.needs_turn, told="" if peer.why is None else labels.shown(peer.why[1])
        ),
    )


def _disk(path: Path | None) -> DiskReport:
    try:
        return DiskReport(path=str(path or ""), free_bytes=None if path is None else shutil.disk_usage(path).free)
    except OSError:
        return DiskReport(path=str(path), free_bytes=None)
