"""What one pushed frame means for the app (spec 08 §5.6): a list of small effects, decided without doing any. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

import msgspec

from mesh_common.client import frames
from mesh_common.values import Value
from myownllm import phases
from myownllm.coerce import tolerant

if TYPE_CHECKING:
    from collections.abc import Callable

Level = Literal["debug", "info", "warn", "error"]


class RefreshPeers(Value, frozen=True):
    """Read the peer list again, soon."""


class PeerDropped(Value, frozen=True):
    """A peer's link is gone; it has `grace_s` seconds to come back (FE-9.8)."""

    peer: str
    grace_s: float


class Resync(Value, frozen=True):
    """Events were lost: read peers, phase and networks again."""


class CheckJoined(Value, frozen=True):
    """The bound network stopped although nobody here asked for it: look whether the daemon still has it."""


class SetPhase(Value, frozen=True):
    phase: phases.Phase


class AddDiag(Value, frozen=True):
    level: Level
    message: str
    ts: int | None = None
    """the daemon's own time in milliseconds; None means now"""


class NoteIceFailure(Value, frozen=True):
    at_ms: int
    needs_turn: bool


class RefuseCall(Value, frozen=True):
    """Answer a call that nobody here serves."""

    request_id: str
    error: str
    streaming: bool


class ServeCall(Value, frozen=True):
    call: frames.RpcInbound


class DeliverChannel(Value, frozen=True):
    message: frames.ChannelInbound


class DeliverStream(Value, frozen=True):
    frame: frames.StreamChunk | frames.StreamEnd


class Reclaim(Value, frozen=True):
    """Another client took a method over."""

    method: str


Effect = (
    RefreshPeers
    | PeerDropped
    | Resync
    | CheckJoined
    | SetPhase
    | AddDiag
    | NoteIceFailure
    | RefuseCall
    | ServeCall
    | DeliverChannel
    | DeliverStream
    | Reclaim
)


def frame_effects(
    frame: frames.Frame | None,
    *,
    network: str,
    diag_quiet: bool,
    serves: Callable[[str], bool],
    listens: Callable[[str], bool],
) -> list[Effect]:
    """Effects of a frame for the app bound to `network` (its wire id). Frames of other networks mean nothing."""
    match frame:
        case None:
            return []
        case frames.EventFrame():
            return _event(tolerant(_Told, frame.event), network, diag_quiet=diag_quiet)
        case frames.Lagged():
            return [AddDiag("warn", f"mesh event subscriber lagged; dropped {frame.skipped} events"), Resync()]
        case frames.RpcInbound():
            if frame.network != network:
                return []
            if serves(frame.method):
                return [ServeCall(frame)]
            return [RefuseCall(frame.request_id, no_handler(frame.method), frame.streaming)]
        case frames.StreamChunk() | frames.StreamEnd():
            return [DeliverStream(frame)]
        case frames.ChannelInbound():
            return [DeliverChannel(frame)] if frame.network == network and listens(frame.channel) else []
        case frames.HandlerDisplaced():
            if frame.network != network:
                return []
            text = f"handler displaced: {frame.method} on {frame.network} (by {frame.by})"
            return [AddDiag("warn", text), *([Reclaim(frame.method)] if serves(frame.method) else [])]
        case _:
            assert_never(frame)


def no_handler(method: str) -> str:
    """What the caller of a method that nobody serves reads."""
    return f"frontend: no handler for method '{method}'"


GRACE_MAX_S: Final = 300.0
"""A daemon that says more is not believed."""

_PEER_LINES = {
    "shelved": "peer {peer} shelved",
    "unshelved": "peer {peer} unshelved",
    "capabilities_changed": "peer {peer} changed its capabilities",
}


class _Told(msgspec.Struct, frozen=True):
    """What counts here of an event. A daemon of another release may tell less, and each member counts alone."""

    network_id: str | None = None
    event_kind: str | None = None
    kind: str | None = None
    device_id: str | None = None
    next: str = ""
    grace_window_ms: float | None = None
    level: str | None = None
    category: str | None = None
    message: str = ""
    ts: int | None = None
    detail: dict[str, Any] | None = None


def _event(event: _Told, network: str, *, diag_quiet: bool) -> list[Effect]:
    if event.network_id != network:
        return []
    match event.event_kind:
        case "peer":
            line = _PEER_LINES.get(event.kind or "")
            told: list[Effect] = []
            if line is not None and not diag_quiet:
                told = [AddDiag("info", line.format(peer=(event.device_id or "")[:8]))]
            return [RefreshPeers(), *told, *_dropped(event)]
        case "phase" if event.kind == "changed":
            phase = phases.from_daemon(event.next)
            return [SetPhase(phase), *([CheckJoined()] if phase == "off" else [])]
        case "diag":
            return _diag(event, diag_quiet=diag_quiet)
        case _:
            return []


def _dropped(event: _Told) -> list[Effect]:
    if event.kind != "dropped" or event.device_id is None or event.grace_window_ms is None:
        return []
    return [PeerDropped(event.device_id, min(max(0.0, event.grace_window_ms / 1000), GRACE_MAX_S))]


def _diag(event: _Told, *, diag_quiet: bool) -> list[Effect]:
    detail = event.detail or {}
    effects: list[Effect] = []
    needs_turn = detail.get("hint") == "add_turn_server"
    if needs_turn or (event.category == "ice" and detail.get("failed") is True):
        effects.append(NoteIceFailure(event.ts or 0, needs_turn))
    shown: Level | None
    match event.level:
        case "warn" | "error" as level:
            shown = level
        case "info":
            shown = None if diag_quiet else "info"
        case _:
            shown = None
    if shown is not None:
        effects.append(AddDiag(shown, event.message, event.ts))
    return effects
