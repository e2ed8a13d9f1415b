"""What a person reads about the mesh: the phase, the coarse status that follows from it, and the headline text.

Pure and total: any text that a daemon may send maps to something that can be shown (spec 08 §5.2, §10).
"""

from __future__ import annotations

from typing import Final, Literal, assert_never

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
Status = Literal["off", "connecting", "online", "error"]

_BY_DAEMON_PHASE: Final[dict[str, Phase]] = {
    "joining": "starting",
    "alone": "signaling-up",
    "discovering": "peer-discovered",
    "active": "peer-active",
    "degraded": "signaling-up",
    "stopped": "off",
}


def from_daemon(daemon_phase: str) -> Phase:
    """The app's phase for a phase of the daemon; an unknown one counts as still starting."""
    return _BY_DAEMON_PHASE.get(daemon_phase, "starting")


def status_of(phase: Phase) -> Status:
    """The coarse status: there is nothing in it that the phase does not say."""
    match phase:
        case "off" | "error":
            return phase
        case "starting" | "signaling-connecting":
            return "connecting"
        case "signaling-up" | "peer-discovered" | "peer-active" | "ice-failed-no-turn" | "ice-failed-turn-unreachable":
            return "online"
        case _:
            assert_never(phase)


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
