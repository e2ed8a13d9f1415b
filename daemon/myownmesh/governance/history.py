"""What was signed, entry by entry, and what became of each: for a person who asks why things are as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.copies import ADMITS_US, FOR_GOOD
from myownmesh.governance.entries import entry_key
from myownmesh.governance.memory import undone
from myownmesh.governance.telling import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from myownmesh.governance.book import Book
    from myownmesh.governance.copies import Copy, Slot
    from myownmesh.governance.telling import Names
    from myownmesh.protocol.transitions import Transition

State = Literal["in force", "undone", "void", "overruled", "author removed", "kept", "waits", "other branch"]

_WHY: dict[State, str] = {
    "in force": "in force",
    "undone": "undone by a later entry",
    "void": "void: the network was open then",
    "overruled": "a newer entry about this device counts",
    "author removed": "counts no more: whoever signed it has lost the role",
    "kept": "in force, although whoever signed it has lost the role",
    "waits": "waits",
    "other branch": "not in force: it stands on a branch that this device does not hold",
}


class Arrival(NamedTuple):
    """How an entry came to this device."""

    at: int
    """Unix seconds by this device's clock."""
    through: str
    """Bare id of the device whose link brought it; empty for what was decided here."""


class Line(Value, frozen=True):
    """One entry of one of the logs."""

    entry: Transition
    log: Literal["governance", "members"]
    state: State
    since: int | None = None
    """When this device first saw it, Unix seconds, if that is known."""
    brought_by: str = ""
    """Bare id of the device that it came from, if that is known."""
    through: tuple[str, ...] = ()
    """Who vouched for its time, bare ids; empty: it was only passed on."""
    own: bool = False
    """This device wrote it, or a person here agreed to it."""
    why: str = ""

    def sentence(self, names: Names) -> str:
        """Who did what, and whether it counts; its time stands beside it."""
        signers = names.all(self.entry.signers)
        return f"{signers} {said(self.entry.variant, names)} — {self.why or _WHY[self.state]}"


def history(book: Book, arrivals: Mapping[bytes, Arrival]) -> list[Line]:
    """All that is held, newest claimed time first. Takes a while in a large log.

    `arrivals`: how entries came, by their keys, as far as that was written down.
    """
    lines = [
        line if (came := arrivals.get(entry_key(line.entry))) is None else _arrived(line, came)
        # The newest of one second stands last in its log.
        for line in (*reversed([*_governance(book)]), *_other_branches(book), *_members(book), *_waiting(book))
    ]
    return sorted(lines, key=lambda line: line.entry.at, reverse=True)


def _arrived(line: Line, came: Arrival) -> Line:
    return replace(line, since=came.at if line.since is None else min(line.since, came.at), brought_by=came.through)


def _governance(book: Book) -> Iterator[Line]:
    taken_back = undone(book.log)
    for place, since in zip(book.log.places, book.branch.since, strict=True):
        state: State = "void" if place.void else "in force"
        if not place.void and not taken_back.isdisjoint(place.signatures):
            state = "undone"
        yield Line(place.entry, "governance", state, since=since, own=book.me in place.entry.signers)


def _other_branches(book: Book) -> Iterator[Line]:
    """Each entry once, however many branches hold it."""
    seen: set[object] = {place.identity for place in book.log.places}
    for branch in book.branches.others:
        for place, since in zip(branch.log.places, branch.since, strict=True):
            if place.identity not in seen:
                seen.add(place.identity)
                own = book.me in place.entry.signers
                yield Line(place.entry, "governance", "other branch", since=since, own=own)


def _members(book: Book) -> Iterator[Line]:
    seen: set[Transition] = set()
    for device, slots in book.members.items():
        decides = book.bench.verdict(device)
        for slot in slots.values():
            for copy in slot.copies:
                if copy.entry not in seen:
                    seen.add(copy.entry)
                    yield _member(book, slot, copy, decides.entry, decides.kept)


def _member(book: Book, slot: Slot, copy: Copy, decides: Transition | None, kept: int | None) -> Line:
    if copy.entry == decides:
        state: State = "in force"
    elif slot.stands(book.standing):
        state = "overruled"
    else:
        state = "kept" if copy.entry.at == kept and not slot.key.is_grant else "author removed"
    through = tuple(sorted(copy.words - {FOR_GOOD, ADMITS_US}))
    return Line(copy.entry, "members", state, through=through, own=FOR_GOOD in copy.words)


def _waiting(book: Book) -> Iterator[Line]:
    for entry in dict.fromkeys(book.aside.held.values()):
        yield Line(entry, "members", "waits", why="waits: its time is more than a day ahead")
    for entry in book.aside.strangers.values():
        yield Line(entry, "members", "waits", why="unchecked: nobody here knows who signed it")
    for entry in book.aside.unknown.values():
        yield Line(entry, "members", "waits", why="kept for devices of a later release")
    for question, replay in book.questions.replays.items():
        why = f"waits for a decision here ({question}): it may be an old entry that somebody shows again"
        yield Line(replay.entry, "members" if replay.log is None else "governance", "waits", why=why)
