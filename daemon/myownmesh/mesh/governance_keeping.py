"""The signed files of one joined network: read, verified, written (spec 02 §16).

An own decision is on the disk before it acts and before it leaves; what peers bring acts at once and is written once a
second at most.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio
from msgspec.structs import replace

from mesh_common.switching import program_goes_on
from mesh_common.values import Value
from myownmesh.governance.carried import carried, read_carried
from myownmesh.governance.pending import pending
from myownmesh.governance.pins import Pin
from myownmesh.governance.saved import load_book, shown_state
from myownmesh.governance.signatures import finish
from myownmesh.governance.state_file import line
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.json_words import JsonError
from myownmesh.store import StoreError
from myownmesh.store.heap import give_back, keep_together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from myownmesh.engine.carrying import TakenIn
    from myownmesh.engine.government import Seen
    from myownmesh.governance.book import Book
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.state_file import StateFile
    from myownmesh.identity import Identity
    from myownmesh.mesh.switch import Switch
    from myownmesh.protocol.frames import NetworkKind
    from myownmesh.protocol.ids import Rng
    from myownmesh.store import Store
    from myownmesh.store.governance_files import GovernanceFiles

log = logging.getLogger(__name__)

SAVE_GAP_S: Final = 1.0
"""Between two writes of what peers brought."""
MANY: Final = 1000
"""Entries whose file is worth a look at what the allocator keeps of it: half a megabyte."""
MANY_BYTES: Final = 500_000
"""What about so many take in the file."""
LOADED_S: Final = 60.0
"""How long a command waits for the state to be read; ten thousand entries take a second."""


class Governed(Value, frozen=True):
    """What `Governing` needs of its network."""

    identity: Identity
    network_id: str
    kind: NetworkKind
    """As the record says."""
    rules: Rules
    founder: str | None
    """As the record says: a bare id."""
    gate: Callable[[str | None], Awaitable[None]]
    """Let one signature pass the authenticator lock, if one is on. Raises `MeshError`."""
    inviters: Callable[[], Collection[str]]
    """Whose invitations this device has taken."""
    clock_ahead_s: Callable[[], float] = lambda: 0.0
    """By how much this device's clock is ahead of others', as far as anybody has said."""


class Keeping:
    """Owner of one network's signed files."""

    def __init__(self, about: Governed, files: GovernanceFiles, store: Store, switch: Switch, rng: Rng) -> None:
        self._about = about
        self._files = files
        self._store = store
        self._switch = switch
        self._rng = rng
        self._loaded = trio.Event()
        self.deciding = trio.Lock()
        """Held by whoever decides."""
        self._writing = trio.Lock()
        self._written: Book | None = None
        """The book that is on the disk."""
        self._changed = trio.Event()

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self) -> None:
        """Verify what the files hold; nobody is linked before."""
        if len(self._files.state_bytes or b"") >= MANY_BYTES:
            keep_together()
        with program_goes_on():
            loaded = await trio.to_thread.run_sync(self._load)
            self._files = replace(self._files, state_bytes=None)
            await trio.to_thread.run_sync(_give_back, loaded)
        self._switch.govern(lambda governor, now: governor.begin(loaded, self._about.inviters(), now))
        pin = self.held.pin
        self._written = None if pin != self._files.pin and pin.is_set else self.held
        if self._written is None:
            self._changed.set()
        self._loaded.set()

    def _load(self) -> Book:
        files, about = self._files, self._about
        pin = files.pin
        if about.founder is not None and (pin is None or not pin.is_set):
            pin = (pin or Pin(about.network_id)).founded_by(about.founder)
        elif pin is not None and about.founder not in (None, pin.founder):
            log.error("network %s: its record names another founder than the one that is pinned", about.network_id)
        loaded = finish(
            load_book(
                about.network_id,
                about.identity.device_id,
                about.kind,
                files.read_state(),
                pin,
                self._switch.engine.governor.checks,
                clock.now().wall_ms // 1000,
                about.rules,
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
                    await self.write(self.held)
                except MeshError as error:
                    log.error("%s", error)
                await trio.sleep(SAVE_GAP_S)
        finally:
            self._finish()

    def _finish(self) -> None:
        if self._loaded.is_set() and self.held is not self._written:
            try:
                self._store.save_governance(self._about.network_id, self.held)
            except StoreError as error:
                log.error("%s", error)

    async def write(self, book: Book) -> None:
        """Have a book on the disk. Raises `MeshError`."""
        async with self._writing:
            if book is not self._written:
                self._written = None
                try:
                    with trio.CancelScope(shield=True), program_goes_on():  # a thread cannot be stopped
                        await trio.to_thread.run_sync(self._save, book)
                except StoreError as error:
                    raise MeshError(str(error)) from error
                self._written = book
            if seen := self._switch.engine.governor.take_audit():
                await trio.to_thread.run_sync(self._write_down, seen)

    def _save(self, book: Book) -> None:
        self._store.save_governance(self._about.network_id, book)
        _give_back(book)

    def _write_down(self, seen: Sequence[Seen]) -> None:
        lines = [
            line(
                {"at": each.at, "log": each.log, "through": each.through, "outcome": each.outcome, "entry": each.entry}
            )
            for each in seen
        ]
        try:
            self._store.append_audit(self._about.network_id, lines)
        except StoreError as error:
            log.warning("%s", error)  # what holds is on the disk; how it came is not

    # ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def held(self) -> Book:
        """What is held now; before the files are read, nothing."""
        return self._switch.engine.governor.book

    async def book(self) -> Book:
        """What is held now; waits for the files to be read. Raises `MeshError`."""
        with trio.move_on_after(LOADED_S) as waited:
            await self._loaded.wait()
        if waited.cancelled_caught:
            raise MeshError("network: its signed state is still being read; try again")
        return self.held

    async def state(self) -> tuple[StateFile, list[str]]:
        """What clients are shown, and who is put out. Takes a while in a large log, off the loop."""
        book = await self.book()
        with program_goes_on():
            return await trio.to_thread.run_sync(_shown, book)

    async def export(self) -> bytes:
        """What is signed here, with pending proposals, as a file for a device without a network."""
        return await trio.to_thread.run_sync(carried, await self.book())

    async def take_in(self, data: bytes) -> TakenIn:
        """Verify a file like what a peer sends; on the disk when this returns. Raises `MeshError`."""
        await self.book()
        try:
            found = await trio.to_thread.run_sync(read_carried, data, self._about.network_id)
        except JsonError as error:
            raise MeshError(f"network: {error}") from error
        done: list[TakenIn] = []
        is_done = trio.Event()

        def on_done(taken_in: TakenIn) -> None:
            done.append(taken_in)
            is_done.set()

        if not self._switch.govern(lambda governor, now: governor.take_in(found, on_done, now)):
            raise MeshError("network: too much waits to be verified; try again")
        with trio.move_on_after(LOADED_S) as waited:
            await is_done.wait()
        if waited.cancelled_caught:
            raise MeshError("network: the file is still being verified; look at the log later")
        await self.write(self.held)
        return done[0]


def _give_back(book: Book) -> None:
    if book.members.count >= MANY:
        give_back()


def _shown(book: Book) -> tuple[StateFile, list[str]]:
    return shown_state(book, pending(book)), book.bench.removed()
