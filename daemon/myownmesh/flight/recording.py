"""A recording as a file: JSON lines, the state first, then the inputs with what each drew and was told.

Who and where is replaced consistently (`redaction`); what the engine drew and what came of proofs is kept, so that the
one that plays it decides as the one did that was recorded, and what shapes chose by the ids themselves.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from mesh_common.version import VERSION
from myownmesh.flight.governed import Good
from myownmesh.flight.graph import Decoder, Encoder
from myownmesh.flight.redaction import LABELS, Redactor, ids_in
from myownmesh.flight.signed import Substitutes
from myownmesh.flight.tape import GOVERN, MEMBERS
from myownmesh.governance.rules import STRICT
from myownmesh.protocol.signals import AnswerReceived, OfferReceived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from myownmesh.flight.governed import Governed
    from myownmesh.flight.tape import Entry, Piece
    from myownmesh.governance.member_log import MemberLog
    from myownmesh.roster import Roster

    _Step = tuple["Step", MemberLog | None]
    """With the member log that was held when it came; None: still that of the beginning."""

FORMAT: Final = 1
SALTS: Final = 8
"""So many are tried until branches are in the order in which they were; of many rivals none may do."""


class Step(msgspec.Struct, frozen=True):
    """One input."""

    name: str
    args: list[Any]
    """Graphs."""
    options: dict[str, Any] = {}
    drawn: tuple[str, ...] = ()
    """Random bytes that the engine drew meanwhile, in base 64."""
    verdicts: tuple[bool, ...] = ()
    homes: dict[str, tuple[str, ...]] = {}
    """The hubs of spokes that were ranked meanwhile, and of those to come."""
    nearest: tuple[str, ...] = ()
    """Next hops that were chosen meanwhile."""


class Recording(msgspec.Struct, frozen=True):
    """What a file holds."""

    state: Any
    """A graph: the engine at the beginning."""
    steps: tuple[Step, ...]
    governed: Any = None
    """A graph: what was signed at the beginning (`governed.Governed`)."""
    good: tuple[Good, ...] = ()
    """Signatures of which that was found; of others, that they are none."""


class _Beginning(msgspec.Struct, frozen=True):
    """The second line."""

    state: Any
    governed: Any = None
    good: tuple[Good, ...] = ()


class BadRecording(ValueError):
    """The file is no recording that this release can play; the text says why."""


def written(pieces: Iterable[Piece], network: str, salt: bytes) -> tuple[bytes, int]:
    """The file of these pieces, of which the first one's state counts, and how many inputs stand in it.

    Of a large network it takes a while: any thread may do it.
    """
    pieces = list(pieces)
    entries = [entry for piece in pieces for entry in piece.entries()]
    rosters = [roster for piece in pieces for roster in piece.rosters]
    taken = _Taken(pieces[0].state, list(_steps(entries)), entries, rosters, pieces[0].governed)
    plain = (taken.state, [step for step, _ in taken.steps], Encoder().encode(taken.governed))
    ids = ids_in(msgspec.json.encode(plain).decode()) | _ids_in_frames(entries)
    told, keeps_order = taken.told(ids, network, salt)
    for attempt in range(SALTS):
        if keeps_order:
            break
        told, keeps_order = taken.told(ids, network, salt + bytes([attempt]))
    lines = [
        msgspec.json.encode({"myownmesh_recording": FORMAT, "version": VERSION}),
        msgspec.json.encode({"state": told.state, "governed": told.governed, "good": told.good}),
        *map(msgspec.json.encode, told.steps),
    ]
    return b"".join(line + b"\n" for line in lines), len(told.steps)


class _Told(NamedTuple):
    recording: Recording
    keeps_order: bool
    """Branches are in the order in which they were."""


class _Taken(NamedTuple):
    """What was recorded, before anything of it is replaced."""

    state: Any
    steps: list[_Step]
    entries: list[Entry]
    rosters: list[Roster]
    governed: Governed | None

    def told(self, ids: set[str], network: str, salt: bytes) -> _Told:
        """Without who and where; the salt decides the substitutes."""
        redactor = Redactor(ids, network, salt)
        rules = STRICT if self.governed is None else self.governed.book.rules
        substitutes = Substitutes(redactor, network, rules, salt)
        redactor.signed = substitutes.frame
        _learn_offers(redactor, self.state, self.entries)
        _learn_rosters(redactor, self.state, self.entries, self.rosters)
        self._told(redactor, substitutes)  # what follows from a later entry is known the second time
        return _Told(self._told(redactor, substitutes), substitutes.keeps_order())

    def _told(self, redactor: Redactor, substitutes: Substitutes) -> Recording:
        signed = None if self.governed is None else substitutes.governed(self.governed)
        told = []
        for step, members in self.steps:
            if members is not None:
                substitutes.hold(members)
            told.append(_redacted_step(redactor, substitutes, step))
        state = _redacted(redactor, self.state)
        return Recording(state, tuple(told), Encoder().encode(signed), tuple(substitutes.good))


def read(data: bytes) -> Recording:
    """Raises `BadRecording`."""
    lines = data.splitlines()
    try:
        head = msgspec.json.decode(lines[0], type=dict[str, Any])
        if head.get("myownmesh_recording") != FORMAT:
            raise BadRecording("this is no recording, or one of another release")
        begun = msgspec.json.decode(lines[1], type=_Beginning)
        steps = tuple(msgspec.json.decode(line, type=Step) for line in lines[2:])
        return Recording(begun.state, steps, begun.governed, begun.good)
    except (IndexError, KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecording(f"this is no whole recording: {error}") from error


def _steps(entries: Iterable[Entry]) -> Iterator[_Step]:
    step: Step | None = None
    held: MemberLog | None = None
    for entry, given, more in entries:
        if entry == MEMBERS:
            if step is not None:
                yield step, held
            step, held = None, given[0]
            continue
        if (came := _CAME_OF.get(entry)) is not None:
            step = None if step is None else came(step, given)
            continue
        if step is not None:
            yield step, held
        encode = Encoder().encode
        step = Step(entry, [encode(each) for each in given], {key: encode(each) for key, each in more.items()})
    if step is not None:
        yield step, held


def _and(name: str, value: Callable[[Any], Any]) -> Callable[[Step, Any], Step]:
    """A step with one more of something that came of it."""
    return lambda step, given: msgspec.structs.replace(step, **{name: (*getattr(step, name), value(given[0]))})


def _with_homes(step: Step, given: Any) -> Step:
    spoke, *homes = given
    return msgspec.structs.replace(step, homes={**step.homes, spoke: tuple(homes)})


_CAME_OF: Final[Mapping[str, Callable[[Step, Any], Step]]] = {
    "random": _and("drawn", lambda drawn: base64.b64encode(drawn).decode()),
    "verdict": _and("verdicts", lambda verdict: verdict),
    "nearest": _and("nearest", lambda peer: peer),
    "homes": _with_homes,
}


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
        for offer_id in transport.get("offer_ids", {}).get("tuple", ()):
            redactor.know_offer(offer_id, me, peer)
        for offer_id in transport.get("answering", {}).get("list", ()):
            redactor.know_offer(offer_id, peer, me)


def _learn_rosters(redactor: Redactor, state: Any, entries: Iterable[Entry], rosters: Iterable[Roster]) -> None:
    me = state["members"]["me"]
    peers = {args[0] for name, args, _ in entries if name in ("receive_frame", "receive_link_event")}
    peers |= {item["tuple"][0] for item in state["members"]["peers"]["dict"]}
    for roster in (Decoder().decode(state["members"]["roster"]), *rosters):
        redactor.know_roster(roster, me, peers)


def _redacted_step(redactor: Redactor, substitutes: Substitutes, step: Step) -> Step:
    if step.name == GOVERN:
        name, args, now = map(Decoder().decode, step.args)
        return msgspec.structs.replace(step, args=list(map(Encoder().encode, (name, substitutes.tell(args), now))))
    return msgspec.structs.replace(
        step,
        args=[_redacted(redactor, each) for each in step.args],
        options={name: _redacted(redactor, each) for name, each in step.options.items()},
        homes={redactor.id(spoke): tuple(map(redactor.id, homes)) for spoke, homes in step.homes.items()},
        nearest=tuple(map(redactor.id, step.nearest)),
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
    return redactor.label(graph) if name in LABELS and isinstance(graph, str) else _redacted(redactor, graph)
