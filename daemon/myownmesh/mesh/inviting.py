"""Invitations of one joined network: one knock after the other, on disk before anything counts (spec 11 §1)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from mesh_common.values import Value
from myownmesh.engine.diagnostics import short_id
from myownmesh.invitations.book import Approved, Book, Moment, Refused
from myownmesh.invitations.tokens import Meeting, id_of, mac_of, read_token
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError, NetworkLeft
from myownmesh.protocol.introduction import Introduction
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh_common.events import Level
    from myownmesh.engine.actions import Knock
    from myownmesh.invitations.book import Accepted, Invite
    from myownmesh.protocol.ids import Rng

log = logging.getLogger(__name__)

QUEUED_KNOCKS: Final = 64
"""More at once are ordinary knocks: a person may still let them in."""
WRONG_MACS: Final = 10
"""After so many from one id, what it shows is not looked at for `BARRED_S`."""
BARRED_S: Final = 3600.0
TOLD_GAP_S: Final = 60.0
"""Per id: how often a knock that opens nothing is told of."""
MAX_REMEMBERED: Final = 1024


class Door(Value, frozen=True):
    """What invitations do to their network."""

    is_removed: Callable[[str], bool]
    """Whether a person has taken this device out before."""
    approve: Callable[[str, str], Awaitable[None]]
    """Let a device in under a label, as a person does. Raises `MeshError`."""
    tell: Callable[[Level, str, dict[str, object]], None]
    """Say something in the diagnostics."""


class _Visitor(Struct):
    """What is remembered of an id that showed what opens nothing."""

    wrong: int = 0
    barred_until: float = 0.0
    told_at: float | None = None


class Inviting:
    """Owner of one network's book."""

    def __init__(
        self, *, me: str, room: str, load: Callable[[], Book], save: Callable[[Book], None], door: Door, rng: Rng
    ) -> None:
        """`load` and `save` block for a disk access and raise `StoreError`; what cannot be loaded is left alone."""
        self._me = me
        self._room = room
        self._save_to_disk = save
        self._door = door
        self._rng = rng
        self._lock = trio.Lock()
        self._problem: str | None = None
        self._book = Book()
        try:
            self._book = load()
        except StoreError as error:
            self._problem = str(error)
        now = self._moment()
        self._ends = {each.id: now.steady + each.exp - now.unix for each in self._book.invites}
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._news, self._incoming = trio.open_memory_channel["Knock | str"](QUEUED_KNOCKS)

    # ── what we give ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, ttl_s: int, uses: int, note: str) -> Invite:
        """Another invitation; it is on disk when this returns. Raises `MeshError`."""
        async with self._lock:
            now = self._moment()
            try:
                book, invite = self._book.create(ttl_s=ttl_s, uses=uses, note=note, now=int(now.unix), rng=self._rng)
            except Refused as error:
                raise MeshError(f"invite: {error}") from error
            await self._keep(book)
            self._ends = {each.id: self._ends.get(each.id, now.steady + ttl_s) for each in book.invites}
            return invite

    def invites(self) -> tuple[Invite, ...]:
        """Those that are live or were used up. Raises `MeshError`."""
        self._check()
        return self._book.without_expired(self._moment().unix).invites

    async def revoke(self, invite_id: str) -> None:
        """Take one back; whom it has let in stays. Raises `MeshError`."""
        async with self._lock:
            try:
                book = self._book.revoke(invite_id)
            except Refused as error:
                raise MeshError(f"invite: {error}") from error
            await self._keep(book)

    def knock(self, knock: Knock) -> None:
        """A proved device shows an invitation; what that opens is found out soon."""
        try:
            self._news.send_nowait(knock)
        except trio.WouldBlock:
            self._told(knock, "limit")

    async def run(self) -> None:
        """Judge knocks, one after the other, until cancelled."""
        async for news in self._incoming:
            async with self._lock:
                if isinstance(news, str):
                    await self._forget(news)
                else:
                    await self._judge(news)

    async def _judge(self, knock: Knock) -> None:
        if self._door.is_removed(knock.peer):
            self._told(knock, "removed")
            return
        visitor = self._visitors.get(knock.peer)
        now = self._moment()
        if visitor is not None and now.steady < visitor.barred_until:
            self._told(knock, "limit")
            return
        shown = knock.introduction
        meeting = Meeting(self._room, knock.peer, self._me, knock.binding)
        judged = self._book.judge((shown.id, shown.mac), meeting, now, self._ends)
        if not isinstance(judged, Approved):
            if judged == "mac":
                self._count_wrong(knock.peer, now.steady)
            self._told(knock, judged if self._problem is None else "file")
            return
        try:
            if judged.is_new:
                await self._keep(judged.book)
        except MeshError as error:
            self._told(knock, "file", str(error))
            return
        try:
            await self._door.approve(knock.peer, knock.label)
        except NetworkLeft:
            return  # nobody listens any more
        except MeshError as error:  # the use is this device's, and it comes again
            self._told(knock, "approve", str(error))
            return
        detail: dict[str, object] = {"id": shown.id, "peer": knock.peer, "used": len(judged.invite.by)}
        self._door.tell("info", f"invitation {shown.id} let {short_id(knock.peer)} in", detail)

    def _count_wrong(self, peer: str, steady: float) -> None:
        visitor = self._visitor(peer)
        visitor.wrong += 1
        if visitor.wrong >= WRONG_MACS:
            visitor.wrong, visitor.barred_until = 0, steady + BARRED_S

    def _told(self, knock: Knock, reason: str, why: str | None = None) -> None:
        """The peer hears nothing; a person may want to know why the link did not work."""
        visitor, now = self._visitor(knock.peer), self._moment().steady
        if visitor.told_at is None or now - visitor.told_at >= TOLD_GAP_S:
            visitor.told_at = now
            detail: dict[str, object] = {"peer": knock.peer, "id": knock.introduction.id, "reason": reason}
            if why is not None:
                detail["error"] = why
            self._door.tell("info", f"the invitation of {short_id(knock.peer)} opens nothing: {reason}", detail)

    def _visitor(self, peer: str) -> _Visitor:
        visitor = self._visitors.setdefault(peer, _Visitor())
        self._visitors.move_to_end(peer)
        if len(self._visitors) > MAX_REMEMBERED:
            self._visitors.popitem(last=False)
        return visitor

    # ── what we take ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def accept(self, taken: Accepted) -> None:
        """Show this invitation to its inviter from now on. Raises `MeshError`."""
        async with self._lock:
            await self._keep(self._book.accept(taken, self._moment().unix))

    def let_in_by(self, peer: str) -> None:
        """We are in: what this peer gave us is soon shown to nobody any more."""
        if self._book.accepted_from(peer) is not None:
            with suppress(trio.WouldBlock):  # then it is shown until it expires
                self._news.send_nowait(peer)

    async def _forget(self, peer: str) -> None:
        try:
            await self._keep(self._book.let_in_by(peer))
        except MeshError as error:
            log.warning("%s", error)

    def introduce(self, peer: str, binding: str) -> Introduction | None:
        """What our hello shows a peer, over a channel with this certificate of ours."""
        taken = self._book.still_accepted(self._moment().unix).accepted_from(peer)
        if taken is None:
            return None
        token = read_token(taken.token)
        return Introduction(id_of(token), mac_of(token, Meeting(self._room, self._me, peer, binding)))

    @property
    def inviters(self) -> frozenset[str]:
        """Whose invitations are to let us in still: they are dialled whatever the shape says."""
        return frozenset(each.sender for each in self._book.still_accepted(self._moment().unix).accepted)

    # ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self, book: Book) -> None:
        self._check()
        if book is self._book:
            return
        try:
            # A write that has begun is finished, or nobody would know whether a use is on disk.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._save_to_disk, book)
        except StoreError as error:
            raise MeshError(str(error)) from error
        self._book = book

    def _check(self) -> None:
        if self._problem is not None:
            raise MeshError(self._problem)

    def _moment(self) -> Moment:
        # The computer's own clock, uncorrected: peers must not move the end of an invitation.
        return Moment(clock.now().wall_ms / 1000, clock.steady())
