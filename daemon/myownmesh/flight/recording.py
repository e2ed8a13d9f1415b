"""A recording as a file: JSON lines, the state first, then the inputs with what each drew and was told.

Who and where is replaced consistently (`redaction`); what the engine drew and what came of proofs is kept, so that the
one that plays it decides as the one did that was recorded. Only shapes that rank hubs by their ids may rank others.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mesh_common.version import VERSION
from myownmesh.flight.graph import Decoder, Encoder
from myownmesh.flight.redaction import Redactor, ids_in
from myownmesh.protocol.signals import AnswerReceived, OfferReceived

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from myownmesh.flight.tape import Entry, Piece

FORMAT: Final = 1


class Step(msgspec.Struct, frozen=True):
    """One input."""

    name: str
    args: list[Any]
    """Graphs."""
    options: dict[str, Any] = {}
    drawn: tuple[str, ...] = ()
    """Random bytes that the engine drew meanwhile, in base 64."""
    verdicts: tuple[bool, ...] = ()


class Recording(msgspec.Struct, frozen=True):
    """What a file holds."""

    state: Any
    """A graph: the engine at the beginning."""
    steps: tuple[Step, ...]


class BadRecording(ValueError):
    """The file is no recording that this release can play; the text says why."""


def written(pieces: Iterable[Piece], network: str, salt: bytes) -> tuple[bytes, int]:
    """The file of these pieces, of which the first one's state counts, and how many inputs stand in it."""
    first, *others = pieces
    entries = [entry for piece in (first, *others) for entry in piece.entries]
    plain = Recording(first.state, tuple(_steps(entries)))
    text = msgspec.json.encode(plain).decode()
    redactor = Redactor(ids_in(text) | _ids_in_frames(entries), network, salt)
    _learn_offers(redactor, first.state, entries)
    _learn_rosters(redactor, first.state, entries)
    lines = [
        msgspec.json.encode({"myownmesh_recording": FORMAT, "version": VERSION}),
        msgspec.json.encode({"state": _redacted(redactor, first.state)}),
        *(msgspec.json.encode(_redacted_step(redactor, step)) for step in plain.steps),
    ]
    return b"".join(line + b"\n" for line in lines), len(plain.steps)


def read(data: bytes) -> Recording:
    """Raises `BadRecording`."""
    lines = data.splitlines()
    try:
        head = msgspec.json.decode(lines[0], type=dict[str, Any])
        if head.get("myownmesh_recording") != FORMAT:
            raise BadRecording("this is no recording, or one of another release")
        state = msgspec.json.decode(lines[1], type=dict[str, Any])["state"]
        return Recording(state, tuple(msgspec.json.decode(line, type=Step) for line in lines[2:]))
    except (IndexError, KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecording(f"this is no whole recording: {error}") from error


def _steps(entries: Iterable[Entry]) -> Iterator[Step]:
    name = ""
    args: list[Any] = []
    options: dict[str, Any] = {}
    drawn: list[str] = []
    verdicts: list[bool] = []
    for entry, given, more in entries:
        if entry == "random":
            drawn.append(base64.b64encode(given[0]).decode())
        elif entry == "verdict":
            verdicts.append(given[0])
        elif entry == "roster":
            pass  # it follows from the inputs
        else:
            if name:
                yield Step(name, args, options, tuple(drawn), tuple(verdicts))
            encode = Encoder().encode
            name, args = entry, [encode(each) for each in given]
            options = {key: encode(each) for key, each in more.items()}
            drawn, verdicts = [], []
    if name:
        yield Step(name, args, options, tuple(drawn), tuple(verdicts))


def _ids_in_frames(entries: Iterable[Entry]) -> set[str]:
    found: set[str] = set()
    for name, args, _ in entries:
        if name == "receive_frame":
            found |= ids_in(args[2].decode("utf-8", "replace"))
    return found


def _learn_offers(redactor: Redactor, state: Any, entries: Iterable[Entry]) -> None:
    me = state["members"]["me"]
    for name, args, _ in entries:
        if name == "receive_signal" and isinstance(args[0], OfferReceived):
            redactor.know_offer(args[0].offer_id, args[0].peer, me)
        elif name == "receive_signal" and isinstance(args[0], AnswerReceived):
            redactor.know_offer(args[0].offer_id, me, args[0].peer)
    for item in state["members"]["peers"]["dict"]:
        peer, entry = item["tuple"]
        transport = entry["members"].get("transport", {}).get("members", {})
        for offer_id in transport.get("offer_ids", {}).get("deque", ()):
            redactor.know_offer(offer_id, me, peer)
        for offer_id in transport.get("answering", {}).get("deque", ()):
            redactor.know_offer(offer_id, peer, me)


def _learn_rosters(redactor: Redactor, state: Any, entries: Iterable[Entry]) -> None:
    me = state["members"]["me"]
    peers = {args[0] for name, args, _ in entries if name in ("receive_frame", "receive_link_event")}
    peers |= {item["tuple"][0] for item in state["members"]["peers"]["dict"]}
    rosters = [Decoder().decode(state["members"]["roster"])]
    for roster in (*rosters, *(args[0] for name, args, _ in entries if name == "roster")):
        redactor.know_roster(roster, me, peers)


def _redacted_step(redactor: Redactor, step: Step) -> Step:
    return msgspec.structs.replace(
        step,
        args=[_redacted(redactor, each) for each in step.args],
        options={name: _redacted(redactor, each) for name, each in step.options.items()},
    )


def _redacted(redactor: Redactor, graph: Any) -> Any:
    """A graph without who and where; bytes that an action carries are left out."""
    if isinstance(graph, list):
        return [_redacted(redactor, each) for each in graph]
    if not isinstance(graph, dict):
        return redactor.value(graph)
    if "object" in graph:
        members = graph["members"]
        replaced = {name: _member(redactor, name, each) for name, each in members.items()}
        return {**graph, "members": replaced}
    if "bytes" in graph:
        return {"bytes": base64.b64encode(redactor.frame(base64.b64decode(graph["bytes"]))).decode()}
    if "raw" in graph:
        return {"raw": "null"}
    return {name: _redacted(redactor, each) for name, each in graph.items()}


def _member(redactor: Redactor, name: str, graph: Any) -> Any:
    return "" if name in ("label", "user_label") and isinstance(graph, str) else _redacted(redactor, graph)
