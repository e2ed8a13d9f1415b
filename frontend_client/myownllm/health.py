"""Is the mesh all right, and if not, which stop is it and what helps (spec 08 §1.3, §10 FE-10.1)? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs
from msgspec import Struct
from msgspec.structs import asdict

from myownllm.errors import NO_NETWORK_TEXT
from myownllm.headline import PUT_OUT_STEP, UNMET, Headline, Sight, in_use, is_unheard, put_out, verdict, wake
from myownllm.peers import CONNECTED
from myownllm.relays import told, troubled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh_common.answers import ClockSkew, HostedServers, StatusAnswer
    from mesh_common.views import RelayRow, TwinRow
    from myownllm.coerce import JsonObject
    from myownllm.headline import DaemonState, Known

Severity = Literal["ok", "note", "stop"]

EXIT_CODES: Final[dict[str, int]] = {
    "healthy": 0,
    "home_unusable": 10,
    "no_active_network": 11,
    "no_daemon_binary": 12,
    "daemon_not_running": 13,
    "socket_unusable": 14,
    "network_not_joined": 15,
    "app_not_running": 16,
    "still_joining": 17,
    "peers_unreachable": 18,
    "no_relay_serves": 19,
    "identity_in_use": 20,
    "app_silent": 21,
    "put_out": 22,
}
"""the stop that `health` names, and the exit status that goes with it"""


class AppTold(Struct, frozen=True, kw_only=True):
    """What a running app tells commands about itself (operation `screen` of its door)."""

    error: str = ""
    """why it could not bring the active network up"""
    daemon_state: str = ""
    """how its daemon is, as its own screen has it (`headline.DaemonState`)"""
    daemon_reason: str = ""
    """what is wrong with the daemon, or what is waited for"""
    binary: str = ""
    """the program that it started as its daemon"""
    origin: str = ""
    """why it was that one"""
    notes: tuple[str, ...] = ()
    """what it says of how it got its daemon: programs that it did not use, and why"""
    models: int = 0
    """models that this device offers to its peers"""
    runtime: str = ""
    """the model server and how many models it has, or what is wrong with it"""
    api: str = ""
    """where the local API listens, or why it does not"""


@attrs.frozen(kw_only=True)
class Facts:
    """What was found out about this device, all of it read-only."""

    home_problem: str = ""
    config_notices: tuple[str, ...] = ()
    setting_problems: tuple[str, ...] = ()
    """what stands in the file and is not in force as it was written"""
    handle: str | None = None
    network_id: str | None = None
    app_running: bool = False
    silent_app: int | None = None
    """process of a running app that says nothing"""
    socket: str = ""
    socket_problem: str = ""
    daemon: StatusAnswer | None = None
    """the answer of `status`, None when nobody answered"""
    daemon_binary: str | None = None
    """a daemon that could be started; looked up only when none answers"""
    override_problem: str = ""
    """why the daemon that a variable names cannot be used"""
    pin: str | None = None
    phase: str | None = None
    peers: tuple[Known, ...] = ()
    has_turn: bool = False
    app: AppTold | None = None
    """what the running app tells of itself"""
    is_shared: bool = False
    """the daemon that answers belongs to another app"""
    relays: tuple[RelayRow, ...] | None = None
    """the relays of the active network, None when the daemon does not tell of them"""
    put_out: bool = False
    """whoever decides in the network has put this device out"""
    lan: bool = False
    """devices in the local network find each other without a relay"""
    unkept: str = ""
    """what the daemon cannot do of what the network's settings demand"""
    twin: TwinRow | None = None
    """another device that uses this one's identity"""
    silence: str = ""
    """why the daemon does not say how its networks are, although it answers `status`"""
    left_out: tuple[str, ...] = ()
    """addresses of this machine that peers were not offered, each with its reason"""
    hosted: HostedServers | None = None
    """what this device hosts for others, None when the daemon does not tell"""


class Finding(Struct, frozen=True):
    """One line of the report. A `stop` explains why the mesh does not work; a `note` is worth knowing."""

    name: str
    severity: Severity
    text: str

    def to_json(self) -> JsonObject:
        return asdict(self)


def examine(facts: Facts) -> list[Finding]:
    """The findings, worst cause first; ends with `healthy` when nothing stops the mesh."""
    found = [Finding("config_repaired", "note", notice) for notice in facts.config_notices]
    stop = _first_stop(facts)
    if stop is not None:
        return [stop, *found, *_notes(facts)]
    return [*found, *_notes(facts), Finding("healthy", "ok", _healthy_text(facts))]


def headline(facts: Facts) -> Headline:
    """What the other screens show on top for the same facts."""
    daemon, app = facts.daemon, facts.app or AppTold()
    if facts.home_problem:
        return Headline("bad", f"Mesh error: {facts.home_problem}")
    joined = daemon is not None and facts.network_id is not None and _is_joined(daemon, facts.network_id)
    state: DaemonState = "silent" if daemon is not None and facts.silence else "up"
    if daemon is None:
        state = "failed" if app.daemon_state == "failed" else "silent" if app.daemon_state == "silent" else "absent"
    untold = f"the mesh daemon does not say how its networks are: {facts.silence}" if facts.silence else ""
    return verdict(
        Sight(
            handle=facts.handle if facts.network_id is not None else None,
            phase="error" if app.error else "off" if facts.phase == "stopped" else "signaling-up",
            error=app.error,
            app_running=facts.app_running,
            silent_app=facts.silent_app,
            daemon=state,
            daemon_reason=app.daemon_reason or facts.socket_problem or untold,
            is_shared=facts.is_shared,
            joined=joined,
            relays=facts.relays,
            # the reference stays in this phase while it is alone
            joining=facts.phase == "joining" and daemon is not None and daemon.home is not None,
            has_turn=facts.has_turn,
            peers=facts.peers,
            twin=facts.twin,
            put_out=facts.put_out,
            lan=facts.lan,
            identity_home=None if daemon is None else daemon.home,
        )
    )


def _is_joined(daemon: StatusAnswer, network_id: str) -> bool:
    from myownllm.membership import is_joined  # `status` imports this module for less

    return is_joined(daemon.joined_networks, network_id)


def exit_status(findings: list[Finding]) -> int:
    """0 when healthy, else the code of the stop."""
    return next((EXIT_CODES[f.name] for f in findings if f.severity == "stop"), 0)


def _first_stop(facts: Facts) -> Finding | None:
    def stop(name: str, text: str) -> Finding:
        return Finding(name, "stop", text)

    if facts.home_problem:
        return stop("home_unusable", facts.home_problem)
    if facts.network_id is None:
        return stop("no_active_network", NO_NETWORK_TEXT)
    if facts.silent_app is not None:
        return stop("app_silent", f"the app does not answer; {wake(facts.silent_app)}")
    if facts.daemon is None:
        if facts.socket_problem:
            return stop("socket_unusable", facts.socket_problem)
        if not facts.app_running and facts.daemon_binary is None:
            return stop(
                "no_daemon_binary",
                "no mesh daemon runs and none is installed: put `myownmesh` on the PATH or set MYOWNLLM_MESH_BIN",
            )
        if not facts.app_running:
            return stop("daemon_not_running", "the app and its mesh daemon are not running: `myownllm up` starts both")
        waits_for = f": {facts.app.daemon_reason}" if facts.app is not None and facts.app.daemon_reason else ""
        return stop(
            "daemon_not_running",
            f"the app runs but no mesh daemon answers at {facts.socket}{waits_for}; "
            "`myownllm daemon log` shows what it said last",
        )
    if facts.app is not None and facts.app.error:
        return stop("network_not_joined", f"the app cannot bring '{facts.handle}' up: {facts.app.error}")
    if not _is_joined(facts.daemon, facts.network_id):
        remedy = "the app adds it within seconds" if facts.app_running else "`myownllm up` joins it"
        listed = ", ".join(facts.daemon.joined_networks) or "none"
        return stop(
            "network_not_joined",
            f"the daemon is healthy but has not joined '{facts.handle}' (joined: {listed}); {remedy}",
        )
    if facts.phase == "stopped":
        return stop("network_not_joined", f"the daemon has stopped '{facts.handle}'; the app starts it again")
    if facts.silence:
        return stop("socket_unusable", f"the daemon does not say how its networks are: {facts.silence}; restart it")
    if not facts.app_running:
        return stop("app_not_running", "the daemon is joined, but the app is not running: `myownllm up` starts it")
    if facts.twin is not None:
        return stop("identity_in_use", in_use(facts.twin, facts.daemon.home))
    if facts.put_out:
        return stop("put_out", f"{put_out(repr(facts.handle))}; {PUT_OUT_STEP}")
    silent = troubled(facts.relays)
    # the reference stays in this phase while it is alone
    if facts.phase == "joining" and facts.daemon.home is not None:
        what_is_wrong = told(silent) or "check the network's relays"
        return stop(
            "still_joining",
            f"the daemon is still joining '{facts.handle}': no relay has answered yet; {what_is_wrong}",
        )
    if is_unheard(facts.relays, lan=facts.lan):
        who = "only devices in this local network" if facts.lan else "nobody new"
        return stop(
            "no_relay_serves",
            f"{who} can be found on '{facts.handle}': {told(silent) or UNMET}",
        )
    unreachable = [p for p in facts.peers if p.needs_turn]
    if unreachable and not any(p.status in CONNECTED for p in facts.peers):
        return stop(
            "peers_unreachable",
            f"{len(unreachable)} peer(s) found but no direct path to them: add a TURN server to the network",
        )
    return None


_LINKED: Final = (*CONNECTED, "pending_approval", "pending_remote")
"""Shown statuses of a peer with whom there is a way: addresses do not matter then."""
_SHOWN_ADDRESSES: Final = 4
"""Of a machine with twenty bridges a few are enough to recognise the kind."""


def _notes(facts: Facts) -> list[Finding]:
    notes = [Finding("bad_setting", "note", problem) for problem in facts.setting_problems]
    if facts.override_problem:
        notes.append(Finding("override_unusable", "note", facts.override_problem))
    if facts.app is not None:
        notes += [Finding("daemon_note", "note", text) for text in facts.app.notes]
    if facts.unkept:
        notes.append(Finding("setting_unkept", "note", f"settings of '{facts.handle}' {facts.unkept}"))
    if facts.daemon is not None and (wrong := clock_note(facts.daemon.clock)):
        notes.append(Finding("clock_wrong", "note", wrong))
    if facts.left_out and any(p.status not in _LINKED for p in facts.peers):
        shown = "; ".join(facts.left_out[:_SHOWN_ADDRESSES])
        more = len(facts.left_out) - _SHOWN_ADDRESSES
        text = f"a peer is not connected, and these addresses of this device were not offered to it: {shown}"
        notes.append(Finding("addresses_left_out", "note", f"{text}; and {more} more" if more > 0 else text))
    if facts.hosted is not None:
        notes += [Finding("service_trouble", "note", text) for text in _service_troubles(facts.hosted)]
    silent = troubled(facts.relays)
    if facts.relays is not None and 0 < len(silent) < len(facts.relays):
        notes.append(Finding("relay_trouble", "note", f"who uses only these relays cannot be found: {told(silent)}"))
    if facts.daemon is not None and not meets_pin(facts):
        notes.append(
            Finding(
                "daemon_older_than_pin",
                "note",
                f"the daemon is {facts.daemon.version}, this app is built against {facts.pin}; update the daemon",
            )
        )
    waiting = sum(p.status == "pending_approval" for p in facts.peers)
    if waiting:
        notes.append(
            Finding(
                "waiting_for_approval",
                "note",
                f"{waiting} device(s) waiting for approval: compare the codes in `myownllm peers`, then approve",
            )
        )
    theirs = sum(p.status == "pending_remote" for p in facts.peers)
    if theirs:
        notes.append(
            Finding("waiting_for_remote", "note", f"{theirs} device(s) approved here, not yet approved over there")
        )
    return notes


def _service_troubles(hosted: HostedServers) -> Iterator[str]:
    """What others miss of this device: a service that is switched on and does not serve, or not as it should."""
    folded = hosted.turn is not None and hosted.turn.enabled  # TURN answers for STUN, and is told of once
    servers = {"relay": hosted.signaling, "STUN server": None if folded else hosted.stun, "TURN server": hosted.turn}
    for name, server in servers.items():
        if server is None or not server.enabled:
            continue
        if not server.running:
            yield f"the {name} that this device is to host does not run: {server.error or 'the log says why'}"
        elif server.problem is not None:
            yield f"the {name} that this device hosts: {server.problem}"


def meets_pin(facts: Facts) -> bool:
    """Is the daemon as new as the app needs it? Advisory; true where nothing can be compared (FE-3.20)."""
    from mesh_common.versions import version_meets  # `status` imports this module for less

    return facts.daemon is None or facts.pin is None or version_meets(facts.daemon.version, facts.pin)


_WHY: Final = {
    "pending_approval": "it waits for your approval",
    "pending_remote": "it has not approved this device yet",
    "handshaking": "a connection is being made",
    "reconnecting": "its connection was lost and is being made anew",
    "offline": "it is away",
    "failed": "no connection could be made",
}


_BY_DAEMON: Final = ("handshaking", "reconnecting", "failed")
"""Statuses of which a daemon of ours knows more; what a person has to do is said in our words."""


def why_not_connected(status: str, *, needs_turn: bool, told: str = "") -> str:
    """Why a peer is not connected; empty for one that is. `told` is the daemon's sentence, as on the screen."""
    if status in CONNECTED:
        return ""
    if told and status in _BY_DAEMON:
        return told
    why = _WHY.get(status, "a connection is being made")
    return f"{why}; there is no direct path to it, a TURN server would help" if needs_turn else why


def _healthy_text(facts: Facts) -> str:
    connected = sum(p.status in CONNECTED for p in facts.peers)
    if connected:
        return f"connected to {connected} peer(s) on '{facts.handle}'"
    return f"online on '{facts.handle}', no peer connected yet"


WRONG_CLOCK_MS: Final = 60_000
"""Below it nothing that judges times minds, and a peer's ping may be that far off on a slow path."""
_ACCORDING_TO: Final = {
    "relays": "what its relays say",
    "peers": "the devices that it is connected to",
    "room": "other devices in its networks",
}


def clock_note(clock: ClockSkew | None) -> str:
    """What to say of the daemon's member `clock` (spec 05 §7.1); empty when this device's clock is right enough."""
    if clock is None or abs(clock.ahead_ms) < WRONG_CLOCK_MS:
        return ""
    minutes = round(abs(clock.ahead_ms) / 60_000)
    if minutes < 120:
        much = f"{minutes} minute{'s' * (minutes != 1)}"
    else:
        much = f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
    side = "ahead" if clock.ahead_ms > 0 else "behind"
    source = _ACCORDING_TO.get(clock.by, "what others say")
    return f"this device's clock is {much} {side}, according to {source}: set it, or have the system keep it right"
