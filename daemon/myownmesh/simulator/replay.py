"""Plays a recording of the flight recorder: each input with what the engine decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh_common.events import Diag
from myownmesh.engine.actions import Emit, SendFrame
from myownmesh.flight.playing import Player
from myownmesh.flight.recording import read
from myownmesh.protocol.ids import short_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.actions import Action
    from myownmesh.flight.recording import Step


def replay(path: str, until: int | None, say: Callable[[str], None]) -> None:
    """Play a file to its end, or so many inputs of it. Raises `OSError`, `BadRecording`."""
    recording = read(Path(path).read_bytes())
    player = Player(recording)
    began: float | None = None
    for number, step in enumerate(recording.steps[:until], 1):
        decided = player.play(step)
        now = player.now
        if began is None and now is not None:
            began = now.mono
        at = "" if now is None or began is None else f"{now.mono - began:10.3f} "
        say(f"{number:5} {at}{_told(step)}")
        for action in decided:
            if (words := _words(action)) is not None:
                say(f"                   -> {words}")
    if player.now is None:
        return
    for info in player.engine.peers(player.now):
        reason = "" if info.why is None else f" ({info.why.code}: {info.why.text})"
        say(f"peer {short_id(info.device_id)}: {info.status}, {info.tier.kind}{reason}")


def _told(step: Step) -> str:
    args = [each for each in map(_plain, step.args) if each]
    return " ".join([step.name, *args])


def _plain(graph: Any) -> str:
    """An argument as a person reads it; moments are told already."""
    if isinstance(graph, str):
        return short_id(graph)
    if isinstance(graph, dict):
        if "object" in graph:
            members = [f"{name}={_plain(each)}" for name, each in graph["members"].items() if _plain(each)]
            return f"{graph['object'].rpartition(':')[2]}({', '.join(members)})"
        if "enum" in graph:
            return str(graph["name"])
        return f"{len(graph['bytes'])} bytes" if "bytes" in graph else ""
    return "" if graph is None else str(graph)[:60]


def _words(action: Action) -> str | None:
    """What the engine decided; diagnostics are words already."""
    match action:
        case Emit(Diag(level=level, message=message)):
            return f"{level}: {message}"
        case SendFrame(peer, epoch, kind, data):
            return f"{kind} to {short_id(peer)}/{epoch}, {len(data)} bytes"
        case _:
            fields = [f"{name}={_short(getattr(action, name))}" for name in action.__struct_fields__]
            return f"{type(action).__name__}({', '.join(fields)})"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return short_id(text) if isinstance(value, str) and len(text) == 52 else text[:80]
