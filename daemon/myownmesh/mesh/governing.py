"""Signed governance of one joined network: what a person here decides, its files, and the signing (spec 02 §11.2, §16).

An own decision is on the disk before it acts and before it leaves; what peers bring acts at once and is written once a
second at most. Decisions of one device come one after the other.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import frozen

from myownmesh.governance import adoption, authoring, hearing
from myownmesh.governance.authoring import Done, Refused
from myownmesh.governance.marking import sign_marked
from myownmesh.governance.pending import pending
from myownmesh.governance.proposals import new_proposal_id
from myownmesh.governance.saved import load_book, shown_state
from myownmesh.governance.signatures import finish
from myownmesh.governance.signed_bytes import content_digest
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from myownmesh.governance.book import Book
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.state_file import StateFile
    from myownmesh.identity import Identity
    from myownmesh.mesh.switch import Switch
    from myownmesh.protocol.frames import NetworkKind
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.transitions import Variant
    from myownmesh.store import Store
    from myownmesh.store.governance_files import GovernanceFiles

log = logging.getLogger(__name__)

T = TypeVar("T")

SAVE_GAP_S: Final = 1.0
"""Between two writes of what peers brought."""
LOADED_S: Final = 60.0
"""How long a command waits for the state to be read; ten thousand entries take a second."""
ATTEMPTS: Final = 5
"""A decision is judged anew when peers change the book while it is written; after so many it acts as it was judged."""


@frozen
class Outcome:
    """What became of an own decision."""

    proposal_id: str = ""
    """Empty: it holds already, and nothing was signed."""
    effective: bool = True
    """It is in force here."""
    waits_for: tuple[str, ...] = ()
    """Who could bring it into force, if it is not: bare ids."""


@frozen
class Governed:
    """What `Governing` needs of its network."""

    identity: Identity
    network_id: str
    gate: Callable[[str | None], Awaitable[None]]
    """Let one signature pass the authenticator lock, if one is on. Raises `MeshError`."""
    inviters: Callable[[], Collection[str]]
    """Whose invitations this device has taken."""


class Governing:
    """Owner of one network's signed files."""

    def __init__(
        self,
        about: Governed,
        files: GovernanceFiles,
        store: Store,
        switch: Switch,
        rng: Rng,
        configured: NetworkKind,
        rules: Rules,
    ) -> None:
        self._about = about
        self._files = files
        self._store = store
        self._switch = switch
        self._rng = rng
        self._configured = configured
        self._rules = rules
        self._loaded = trio.Event()
        self._deciding = trio.Lock()
        self._writing = trio.Lock()
        self._written: Book | None = None
        """The book that is on the disk."""
        self._changed = trio.Event()

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self) -> None:
        """Verify what the files hold; nobody is linked before."""
        loaded = await trio.to_thread.run_sync(self._load)
        self._switch.govern(lambda governor, now: governor.begin(loaded, self._about.inviters(), now))
        self._written = self._book if self._book is loaded else None
        self._loaded.set()

    def _load(self) -> Book:
        files, about = self._files, self._about
        state = files.read_state()
        checks = self._switch.engine.governor.checks
        loaded = finish(
            load_book(
                about.network_id,
                about.identity.device_id,
                self._configured,
                state,
                files.pin,
                checks,
                clock.now().wall_ms // 1000,
                self._rules,
            )
        )
        files.set_aside(loaded.faults)
        for fault in loaded.faults:
            log.error("network %s: %s", about.network_id, fault)
        return loaded.book

    def book_changed(self) -> None:
        """The engine holds another book: it is written soon."""
        self._changed.set()

    async def run(self) -> None:
        """Write what peers brought, until cancelled; what is outstanding then is written at once."""
        try:
            while True:
                await self._changed.wait()  # no deadline: there may be nothing to write for days
                self._changed = trio.Event()
                try:
                    await self._write(self._book)
                except MeshError as error:
                    log.error("%s", error)
                await trio.sleep(SAVE_GAP_S)
        finally:
            self._finish()

    def _finish(self) -> None:
        if self._loaded.is_set() and self._book is not self._written:
            try:
                self._store.save_governance(self._about.network_id, self._book)
            except StoreError as error:
                log.error("%s", error)

    async def _write(self, book: Book) -> None:
        """Have a book on the disk. Raises `MeshError`."""
        async with self._writing:
            if book is self._written:
                return
            try:
                with trio.CancelScope(shield=True):  # a thread cannot be stopped
                    await trio.to_thread.run_sync(self._store.save_governance, self._about.network_id, book)
            except StoreError as error:
                self._written = None
                raise MeshError(str(error)) from error
            self._written = book

    # ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _book(self) -> Book:
        return self._switch.engine.governor.book

    async def book(self) -> Book:
        """What is held now; waits for the files to be read. Raises `MeshError`."""
        with trio.move_on_after(LOADED_S) as waited:
            await self._loaded.wait()
        if waited.cancelled_caught:
            raise MeshError("network: its signed state is still being read; try again")
        return self._book

    async def state(self) -> tuple[StateFile, list[str]]:
        """What clients are shown, and who is put out. Takes a while in a large log, off the loop."""
        book = await self.book()
        return await trio.to_thread.run_sync(_shown, book)

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def propose(self, variant: Variant, code: str | None) -> Outcome:
        """Sign a change: it is in force if this device may decide it, else it waits for who may. Raises `MeshError`."""
        await self.book()
        async with self._deciding:
            drafted = _or_refused(partial(authoring.draft, self._book, variant))
            if drafted is None:
                return Outcome()
            signature = await self._sign(drafted.payload, code)
            proposal_id = self._fresh_id()
            done = await self._decide(lambda book, now: authoring.propose(book, variant, signature, proposal_id, now))
            return Outcome(proposal_id, done.entry is not None, done.waits_for)

    async def sign(self, proposal_id: str, code: str | None, digest: str | None = None) -> Outcome:
        """Co-sign a proposal, or answer a question of this device's own with yes. Raises `MeshError`."""
        book = await self.book()
        async with self._deciding:
            if proposal_id in book.questions:
                return await self._agree(proposal_id, code, digest)
            drafted = _or_refused(partial(authoring.draft_signature, self._book, proposal_id, digest))
            signature = await self._sign(drafted.payload, code)
            fresh_id = self._fresh_id()
            done = await self._decide(lambda book, now: authoring.sign(book, proposal_id, signature, now, fresh_id))
            return Outcome(proposal_id, done.entry is not None, done.waits_for)

    async def deny(self, proposal_id: str) -> None:
        """Refuse a proposal everywhere, or answer a question of this device's own with no. Raises `MeshError`."""
        book = await self.book()
        async with self._deciding:
            if proposal_id in book.questions:
                await self._decide(lambda book, now: Done(_disagreed(book, proposal_id)))
                return
            payload = _or_refused(partial(authoring.denial_payload, self._book, proposal_id))
            signature = await trio.to_thread.run_sync(self._sign_marked, payload)
            await self._decide(lambda book, now: authoring.deny(book, proposal_id, signature, now))

    async def withdraw(self, proposal_id: str) -> None:
        """Take an own proposal back. Raises `MeshError`."""
        await self.book()
        async with self._deciding:
            _or_refused(partial(_check_withdrawal, self._book, proposal_id))
            payload = _or_refused(partial(authoring.denial_payload, self._book, proposal_id))
            signature = await trio.to_thread.run_sync(self._sign_marked, payload)
            await self._decide(lambda book, now: authoring.withdraw(book, proposal_id, signature, now))

    async def check_split(self, proposal_id: str) -> None:
        """Raise `MeshError` unless this is an own proposal, as a split wants one."""
        book = await self.book()
        record = book.proposals.get(proposal_id)
        if record is None:
            raise MeshError(f"proposal not found: {proposal_id}")
        if record.proposer != book.me:
            raise MeshError("only the proposer can spawn a split")

    async def _agree(self, question: str, code: str | None, digest: str | None) -> Outcome:
        book = self._book
        if digest is not None and digest not in {
            content_digest(book.network_id, record.variant) for record in pending(book) if record.id == question
        }:
            raise MeshError("proposal changed since it was shown")
        await self._about.gate(code)
        checks = self._switch.engine.governor.checks
        await self._decide(lambda book, now: _agreed(book, question, now, checks))
        return Outcome(question, question not in self._book.questions)

    async def _decide(self, judge: Callable[[Book, int], Done]) -> Done:
        """Judge, have the outcome on the disk, and let it act; anew if the book changed while it was written."""
        for _ in range(ATTEMPTS):
            book = self._book
            done = _or_refused(partial(judge, book, clock.now().wall_ms // 1000))
            await self._write(done.book)
            if self._book is book:
                break
        else:
            done = _or_refused(partial(judge, self._book, clock.now().wall_ms // 1000))
        self._switch.govern(lambda governor, now: governor.act(done, now))
        await self._write(self._book)
        return done

    # ── signing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sign(self, payload: bytes, code: str | None) -> str:
        await self._about.gate(code)
        return await trio.to_thread.run_sync(self._sign_marked, payload)

    def _sign_marked(self, payload: bytes) -> str:
        return sign_marked(self._about.identity, payload, self._rng)

    def _fresh_id(self) -> str:
        return new_proposal_id(int.from_bytes(self._rng.randbytes(8), "big"))


def _shown(book: Book) -> tuple[StateFile, list[str]]:
    return shown_state(book, pending(book)), book.bench.removed()


def _or_refused(act: Callable[[], T]) -> T:
    try:
        return act()
    except Refused as error:
        raise MeshError(str(error)) from error


def _check_withdrawal(book: Book, proposal_id: str) -> None:
    record = book.proposals.get(proposal_id)
    if record is None:
        raise Refused(f"proposal not found: {proposal_id}")
    if record.proposer != book.me:
        raise Refused("only the proposer can withdraw a proposal")


def _agreed(book: Book, question: str, now: int, checks: Checks) -> Done:
    questions = book.questions
    if question in questions.claims:
        found = adoption.consent(book, question, now)
        if found.found == "refused":
            raise Refused(f"network: this founder does not fit: {found.why}")
        return Done(found.book)
    if question in questions.rivals:
        return Done(adoption.switch(book, question, now).book)
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
