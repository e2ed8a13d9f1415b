"""Signed governance of one joined network: what a person here decides, and the signing (spec 02 §11.2).

Decisions of one device come one after the other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance import adoption, authoring, hearing, remnant, succession
from myownmesh.governance.authoring import Done, Refused
from myownmesh.governance.clocks import waits_for_clock
from myownmesh.governance.marking import sign_marked
from myownmesh.governance.pending import pending
from myownmesh.governance.proposals import new_proposal_id
from myownmesh.governance.ratifying import decides, tier_of
from myownmesh.governance.signed_bytes import content_digest, signed_bytes
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governance_keeping import Keeping
from myownmesh.protocol.transitions import RoleGrant

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.governance.book import Book
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.succession import Anew
    from myownmesh.protocol.transitions import Variant

T = TypeVar("T")

ATTEMPTS: Final = 5
"""A decision is judged anew when peers change the book while it is written; after so many it acts as it was judged."""
NOBODY: Final = "a" * 52
"""Stands for a device that nobody knows yet."""
PULL_S: Final = 2.0
"""How long peers may take to say what they have before this device adds to the governance log (FIX 10)."""


class Outcome(Value, frozen=True):
    """What became of an own decision."""

    proposal_id: str = ""
    """Empty: it holds already, and nothing was signed."""
    effective: bool = True
    """It is in force here."""
    waits_for: tuple[str, ...] = ()
    """Who could bring it into force, if it is not: bare ids."""


class Governing(Keeping):
    """What a person here decides in one network."""

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def propose(
        self,
        variant: Variant,
        code: str | None,
        *,
        keep: succession.Keep | None = None,
        force: bool = False,
        gated: bool = True,
    ) -> Outcome:
        """Sign a change: it is in force if this device may decide it, else it waits for who may. Raises `MeshError`.

        `keep`: what is signed anew if an authority goes by it. `force`: also with a clock that others call wrong. Not
        `gated`: a person has passed the lock for this before.
        """
        await self.book()
        async with self.deciding:
            return await self.propose_held(variant, code, keep=keep, force=force, gated=gated)

    async def propose_held(
        self,
        variant: Variant,
        code: str | None,
        *,
        keep: succession.Keep | None = None,
        force: bool = False,
        gated: bool = True,
    ) -> Outcome:
        """`propose` by whoever holds `deciding`."""
        drafted = or_refused(partial(authoring.draft, self.held, variant))
        if drafted is None:
            return Outcome()
        self._check_clock(variant, force=force)
        if drafted.effective and tier_of(variant, self.held.standing) != "member":
            await self._hear_everybody()
            drafted = or_refused(partial(authoring.draft, self.held, variant))
            if drafted is None:
                return Outcome()
        if gated:
            await self._about.gate(code)
        if drafted.effective:
            await self._keep(variant, keep or succession.Keep())
        signature = await self.signed(drafted.payload)
        proposal_id = self.fresh_id()
        done = await self.decide(lambda book, now: authoring.propose(book, variant, signature, proposal_id, now))
        return Outcome(proposal_id, done.entry is not None, done.waits_for)

    async def may_invite(self, code: str | None) -> tuple[str, ...]:
        """Whether this device can invite into its closed network: whose signature a use waits for, nobody's if its own
        is enough. An authority's invitation is its approval, so it needs the authenticator code. Raises `MeshError`."""
        book = await self.book()
        if not book.is_founded:
            raise MeshError("is closed and nobody has founded it, so nobody can be invited")
        if book.is_evicted(book.me):
            raise MeshError("has put this device out, so it can invite nobody")
        waits_for = decides(book, RoleGrant(NOBODY, "member"))
        if book.me not in waits_for:
            return waits_for
        await self._about.gate(code)
        return ()

    async def admit(self, device: str, code: str | None, *, gated: bool = True) -> Outcome | None:
        """A person here wants a device in: signed by an authority, proposed by others. Raises `MeshError`.

        None: signatures do not decide here, or it belongs here already; what the person says is enough.
        """
        book = await self.book()
        decided = book.kind == "closed" and book.is_founded and not book.rules.closed_local_approve
        if not decided or book.admits(device):
            self._switch.govern(lambda governor, now: governor.click(device, now))
            return None
        wanted = RoleGrant(device, "member")
        if not book.is_evicted(device):  # whom an authority put out, only a deliberate grant brings back
            for record in book.proposals.records.values():
                if record.proposer == book.me and record.variant == wanted:
                    return Outcome(record.id, False, decides(book, wanted))
            return await self.propose(wanted, code, gated=gated)
        return None

    async def sign(
        self, proposal_id: str, code: str | None, digest: str | None = None, *, keep: succession.Keep | None = None
    ) -> Outcome:
        """Co-sign a proposal, or answer a question of this device's own with yes. Raises `MeshError`.

        `keep`: as in `propose`.
        """
        await self.book()
        async with self.deciding:
            book = self.held
            if proposal_id in book.questions:
                return await self._agree(proposal_id, code, digest)
            if (fallen := succession.orphans(book).get(proposal_id)) is not None:
                self._check_shown(proposal_id, digest)
                await self._about.gate(code)
                anew = succession.Anew(fallen.variant, fallen.at)  # type: ignore[arg-type]  # a removal
                await self.sign_anew(anew)
                return Outcome(proposal_id)
            drafted = or_refused(partial(authoring.draft_signature, book, proposal_id, digest))
            if drafted.effective and tier_of(drafted.variant, book.standing) != "member":
                await self._hear_everybody()
                drafted = or_refused(partial(authoring.draft_signature, self.held, proposal_id, digest))
            await self._about.gate(code)
            if drafted.effective:
                await self._keep(drafted.variant, keep or succession.Keep())
            signature = await self.signed(drafted.payload)
            fresh_id = self.fresh_id()
            done = await self.decide(lambda book, now: authoring.sign(book, proposal_id, signature, now, fresh_id))
            return Outcome(proposal_id, done.entry is not None, done.waits_for)

    async def deny(self, proposal_id: str) -> None:
        """Refuse a proposal everywhere, or answer a question of this device's own with no. Raises `MeshError`."""
        await self.book()
        async with self.deciding:
            book = self.held
            if proposal_id in book.questions or proposal_id in succession.orphans(book):
                await self.decide(lambda book, now: Done(_disagreed(book, proposal_id)))
                return
            signature = await self.signed(or_refused(partial(authoring.denial_payload, book, proposal_id)))
            await self.decide(lambda book, now: authoring.deny(book, proposal_id, signature, now))

    async def withdraw(self, proposal_id: str) -> None:
        """Take an own proposal back. Raises `MeshError`."""
        await self.book()
        async with self.deciding:
            self._check_own(proposal_id, "only the proposer can withdraw a proposal")
            signature = await self.signed(or_refused(partial(authoring.denial_payload, self.held, proposal_id)))
            await self.decide(lambda book, now: authoring.withdraw(book, proposal_id, signature, now))

    async def check_split(self, proposal_id: str) -> None:
        """Raise `MeshError` unless this is an own proposal, as a split wants one."""
        await self.book()
        self._check_own(proposal_id, "only the proposer can spawn a split")

    def _check_own(self, proposal_id: str, refusal: str) -> None:
        record = self.held.proposals.get(proposal_id)
        if record is None:
            raise MeshError(f"proposal not found: {proposal_id}")
        if record.proposer != self.held.me:
            raise MeshError(refusal)

    async def settle(self, question: str, code: str | None) -> Outcome:
        """An owner ends a quarrel between controllers for everybody, by keeping this device's branch (24.3 no. 46).

        Raises `MeshError`.
        """
        await self.book()
        async with self.deciding:
            variant = or_refused(partial(authoring.settlement, self.held, question))
            await self._hear_everybody()
            await self._about.gate(code)
            signature = await self.signed(signed_bytes(self._about.network_id, variant))
            await self.decide(lambda book, now: authoring.settle(book, question, signature, now))
            return Outcome(question)

    def _check_shown(self, question: str, digest: str | None) -> None:
        book = self.held
        shown = {content_digest(book.network_id, each.variant) for each in pending(book) if each.id == question}
        if digest is not None and digest not in shown:
            raise MeshError("proposal changed since it was shown")

    async def _agree(self, question: str, code: str | None, digest: str | None) -> Outcome:
        self._check_shown(question, digest)
        if question in self.held.questions.owed:
            return await self._pay(question, code)
        await self._about.gate(code)
        checks = self._switch.engine.governor.checks
        await self.decide(lambda book, now: _agreed(book, question, now, checks))
        return Outcome(question, question not in self.held.questions)

    async def _pay(self, question: str, code: str | None) -> Outcome:
        """Sign what this device would have signed by itself without a lock."""
        owed = succession.owed(self.held).get(question)
        outcome = Outcome(question)
        if owed is not None and owed.at is not None:
            await self._about.gate(code)
            await self.sign_anew(succession.Anew(owed.variant, owed.at))  # type: ignore[arg-type]  # a removal
        elif owed is not None:
            outcome = await self.propose_held(owed.variant, code)
        await self.decide(lambda book, _now: Done(replace(book, questions=book.questions.without(question))))
        return outcome

    def _check_clock(self, variant: Variant, *, force: bool) -> None:
        ahead_s = self._about.clock_ahead_s()
        if not force and waits_for_clock(variant, ahead_s):
            how = "ahead of" if ahead_s > 0 else "behind"
            raise MeshError(
                f"network: this device's clock is {abs(round(ahead_s))} s {how} that of others; "
                "set it, or repeat this with force"
            )

    async def _hear_everybody(self) -> None:
        """Before this device adds to the governance log it asks everybody what they have (FIX 10)."""
        heard = trio.Event()
        self._switch.govern(lambda governor, now: governor.ask_everybody(heard.set, now))
        with trio.move_on_after(PULL_S):
            await heard.wait()

    async def _keep(self, variant: Variant, keep: succession.Keep) -> None:
        """Sign anew what an authority decided that is about to go; whatever is done stays done if this is cut short."""
        target = self.held.standing.lowered(variant)
        if target is None or target == self.held.me:
            return
        for anew in await trio.to_thread.run_sync(succession.legacy, self.held, target):
            if keep.holds(anew):
                await self.sign_anew(anew)

    async def sign_anew(self, anew: Anew) -> None:
        """Sign an entry of somebody else with its old time. Raises `MeshError`."""
        signature = await self.signed(signed_bytes(self._about.network_id, anew.variant))
        await self.decide(
            lambda book, _now: Done(succession.sign_anew(book, anew, signature), entry=anew.signed(book.me, signature))
        )

    async def decide(self, judge: Callable[[Book, int], Done]) -> Done:
        """Judge, have the outcome on the disk, and let it act; anew if the book changed while it was written."""
        for _ in range(ATTEMPTS):
            book = self.held
            done = or_refused(partial(judge, book, clock.now().wall_ms // 1000))
            await self.write(done.book)
            if self.held is book:
                break
        else:
            done = or_refused(partial(judge, self.held, clock.now().wall_ms // 1000))
        self._switch.govern(lambda governor, now: governor.act(done, now))
        await self.write(self.held)
        return done

    # ── signing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def signed(self, payload: bytes) -> str:
        """This device's marked signature; takes a tenth of a second, off the loop."""
        return await trio.to_thread.run_sync(sign_marked, self._about.identity, payload, self._rng)

    def fresh_id(self) -> str:
        """Of a new proposal."""
        return new_proposal_id(int.from_bytes(self._rng.randbytes(8), "big"))


def or_refused(act: Callable[[], T]) -> T:
    """What a judgement says; a refusal as clients get it."""
    try:
        return act()
    except Refused as error:
        raise MeshError(str(error)) from error


def _agreed(book: Book, question: str, now: int, checks: Checks) -> Done:
    questions = book.questions
    if question in questions.claims:
        found = adoption.consent(book, question, now)
        if found.found == "refused":
            raise Refused(f"network: this founder does not fit: {found.why}")
        return Done(found.book)
    if question in questions.rivals:
        return Done(adoption.switch(book, question, now).book)
    if question in questions.remnants:
        return Done(remnant.go_on(book, question))
    replay = questions.replays.get(question)
    if replay is None:
        raise Refused(f"proposal not found: {question}")
    if replay.log is not None:
        return Done(adoption.accept_replay(book, question, now).book)
    return Done(hearing.accept_grant(book, question, checks, now).book, entry=replay.entry)


def _disagreed(book: Book, question: str) -> Book:
    questions = book.questions
    if question in questions.claims:
        return adoption.refuse(book, question)
    if question in questions.rivals:
        return adoption.stay(book, question)
    return hearing.dismiss(book, question)
