"""What an authority does for its network without being asked (spec 02 §24.3 nos. 46, 48).

After a switch of branches it appends what the other branch held, and removals whose author lost its seat it signs anew.
Nothing signs by itself behind an authenticator lock: what would be signed becomes a record for a person.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from msgspec.structs import replace

from myownmesh.engine.governor import Governor
from myownmesh.governance import authoring, succession
from myownmesh.governance.authoring import Done, Refused
from myownmesh.governance.log import BadLog
from myownmesh.governance.merging import merge_behind, skip
from myownmesh.governance.questions import Owed
from myownmesh.governance.ratifying import append
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.transitions import Transition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from myownmesh.governance.book import Book
    from myownmesh.governance.log import Log
    from myownmesh.mesh.governing import Governing
    from myownmesh.mesh.switch import Switch
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.transitions import Variant

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How soon after a change of the logs somebody looks whether anything is to be done."""
MAX_WAIT_S: Final = 60.0
"""Several authorities see the same; whoever is first does it, and the others find it done."""
AT_ONCE: Final = 64
"""Removals that are signed anew between two looks."""


class Tending:
    """Looks after one network."""

    def __init__(
        self, governing: Governing, switch: Switch, *, is_locked: Callable[[], Awaitable[bool]], rng: Rng
    ) -> None:
        self._governing = governing
        self._switch = switch
        self._is_locked = is_locked
        self._rng = rng

    async def run(self) -> None:
        """Look whenever something changed, until cancelled."""
        seen = await self._first()
        owes = bool(seen.branches.left)  # its process ended between the switch and the merge
        while True:
            await trio.sleep(LOOK_S)
            book = self._governing.held
            if not owes and book.log is seen.log and book.members is seen.members and book.pin is seen.pin:
                continue
            seen, owes = book, False
            try:
                await self._look(book)
            except MeshError as error:
                log.warning("%s", error)

    async def _first(self) -> Book:
        """What the files hold, however long a large log takes to be read."""
        while True:
            try:
                return await self._governing.book()
            except MeshError as error:
                log.warning("%s", error)

    async def _look(self, book: Book) -> None:
        if not book.standing.is_authority(book.me):
            for left in book.branches.left:
                self._switch.govern(partial(Governor.looked_after, left=left))
            return
        locked = await self._is_locked()
        for left in book.branches.left:
            async with self._governing.deciding:
                await self._merge(left, locked=locked)
        kept = await trio.to_thread.run_sync(succession.kept_removals, self._governing.held)
        if locked:
            async with self._governing.deciding:
                await self._owe(*(Owed(anew.variant, anew.at) for anew in kept))
        elif kept:
            share = int.from_bytes(self._rng.randbytes(2), "big") / 0xFFFF
            await trio.sleep(MAX_WAIT_S * share)
            for anew in kept[:AT_ONCE]:
                async with self._governing.deciding:
                    if anew in succession.kept_removals(self._governing.held):
                        await self._governing.sign_anew(anew)

    async def _merge(self, left: Log, *, locked: bool) -> None:
        book = self._governing.held
        merge = merge_behind(book, left)
        for step in merge.steps:
            if isinstance(step, Transition):
                await self._governing.decide(partial(_appended, step))
            elif locked:
                await self._owe(Owed(step))
            else:
                await self._propose(step)
        await self._governing.decide(lambda held, _now: Done(_looked_after(skip(held, merge), left)))
        text = f"what another branch held was added: {len(merge.steps)} entries, {len(merge.skipped)} left out"
        self._switch.govern(
            lambda governor, now: governor.tell(
                "branch_merged", text, now, added=len(merge.steps), skipped=len(merge.skipped)
            )
        )

    async def _owe(self, *owed: Owed) -> None:
        """Leave records for a person: behind a lock nothing signs by itself."""
        held = self._governing.held
        if _owing(held, owed) is held:
            return
        await self._governing.decide(lambda book, _now: Done(_owing(book, owed)))
        text = f"behind the lock {len(owed)} signatures wait for a person here"
        self._switch.govern(lambda governor, now: governor.tell("signature_owed", text, now, count=len(owed)))

    async def _propose(self, variant: Variant) -> None:
        try:
            drafted = authoring.draft(self._governing.held, variant)
        except Refused as why:
            log.info("not merged: %s", why)  # what came before it took its ground away
            return
        if drafted is None:
            return
        signature, proposal_id = await self._governing.signed(drafted.payload), self._governing.fresh_id()
        await self._governing.decide(lambda book, now: authoring.propose(book, variant, signature, proposal_id, now))


def _owing(book: Book, owed: Iterable[Owed]) -> Book:
    questions = book.questions
    for each in owed:
        questions = questions.owing(book.network_id, each)
    return book if questions is book.questions else replace(book, questions=questions)


def _looked_after(book: Book, left: Log) -> Book:
    return replace(book, branches=book.branches.looked_after(left))


def _appended(step: Transition, book: Book, now: int) -> Done:
    try:
        return Done(append(book, step, now), entry=step)
    except BadLog as why:
        log.info("not merged: %s", why)  # peers changed the log meanwhile; the other steps may still hold
        return Done(book)
