"""What a person reads about the mesh: the phase, the coarse status, and the headline text (spec 08 §5.2, §10).

Pure and total: any text that a daemon may send maps to something that can be shown.
"""

from __future__ import annotations

from typing import Final, Literal

Phase = Literal[
    "off",
    "starting",
    "signaling-connecting",
    "signaling-up",
    "peer-discovered",
    "ice-failed-no-turn",
    "ice-failed-turn-unreachable",
    "peer-active",
    "error",
]
Status = Literal["off", "starting", "connecting", "online", "error"]

_BY_DAEMON_PHASE: Final[dict[str, tuple[Phase, Status]]] = {
    "joining": ("starting", "connecting"),
    "alone": ("signaling-up", "online"),
    "discovering": ("peer-discovered", "online"),
    "active": ("peer-active", "online"),
    "degraded": ("signaling-up", "online"),
    "stopped": ("off", "off"),
}


def from_daemon(daemon_phase: str) -> tuple[Phase, Status]:
    """The app's phase and status for a phase of the daemon; an unknown one counts as still starting."""
    return _BY_DAEMON_PHASE.get(daemon_phase, ("starting", "connecting"))


def pill_text(handle: str | None, phase: Phase, peers: int = 0, error: str = "") -> str:
    """The headline. `handle` is the label or wire id of the active network; `peers` counts active and shelved ones."""
    if phase == "error":
        return f"Mesh error: {error}"
    if handle is None:
        return "No active network — pick one below"
    match phase:
        case "off" | "starting":
            return f"Joining {handle}…"
        case "signaling-connecting":
            return f"Opening signaling sockets on {handle}…"
        case "signaling-up":
            return f"Online on {handle} — waiting for peer announces"
        case "peer-discovered":
            return f"Peer found on {handle} — establishing WebRTC connection…"
        case "peer-active":
            return f"Connected · {handle} · {peers} {'peer' if peers == 1 else 'peers'} · auto-healing ring"
        case "ice-failed-no-turn":
            return f"Peers on {handle} cannot be reached directly and no TURN configured — add a TURN server"
        case "ice-failed-turn-unreachable":
            return f"Peers on {handle} cannot be reached and TURN unreachable — check the TURN server"
