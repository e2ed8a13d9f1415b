"""What an invitation opens is decided one knock after the other, and is on disk first (spec 11 §1.4, §4)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import define, field

from myownmesh.engine.actions import Knock
from myownmesh.identity import Identity
from myownmesh.invitations.book import Accepted, Book, Invite
from myownmesh.invitations.tokens import Meeting, id_of, mac_of, read_token
from myownmesh.mesh import inviting as invitations
from myownmesh.mesh.errors import MeshError, NetworkLeft
from myownmesh.mesh.inviting import QUEUED_KNOCKS, WRONG_MACS, Door, Inviting
from myownmesh.protocol.introduction import Introduction
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

ME, *PEERS = (Identity.from_seed(bytes([each]) * 32).device_id for each in range(1, 9))
ROOM, BINDING = "room", "sha-256 aa"


@define
class House:
    """The network behind the door, and the disk."""

    saved: list[Book] = field(factory=list)
    stored: Book = field(factory=Book)
    approved: list[str] = field(factory=list)
    removed: set[str] = field(factory=set)
    told: list[dict[str, Any]] = field(factory=list)
    full: bool = False
    left: bool = False
    unreadable: str | None = None

    def load(self) -> Book:
        if self.unreadable is not None:
            raise StoreError(self.unreadable)
        return self.stored

    def save(self, book: Book) -> None:
        if self.full:
            raise StoreError("invites: write x: No space left on device (os error 28)")
        self.saved.append(book)

    async def approve(self, device_id: str, _label: str) -> None:
        if self.left:
            raise NetworkLeft("network: network shut down")
        assert any(device_id in invite.by for book in self.saved for invite in book.invites), "saved first"
        self.approved.append(device_id)

    def inviting(self) -> Inviting:
        door = Door(self.removed.__contains__, self.approve, lambda _level, _text, detail: self.told.append(detail))
        return Inviting(me=ME, room=ROOM, load=self.load, save=self.save, door=door, rng=random.Random(1))

    @property
    def reasons(self) -> list[object]:
        return [detail["reason"] for detail in self.told if "reason" in detail]


def knock(peer: str, invite: Invite, *, good: bool = True, epoch: int = 1) -> Knock:
    mac = mac_of(read_token(invite.token), Meeting(ROOM, peer, ME, BINDING))
    return Knock(peer, epoch, Introduction(invite.id, mac if good else "a" * 52), BINDING, "label")


async def judged(inviting: Inviting, *knocks: Knock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inviting.run)
        for each in knocks:
            inviting.knock(each)
        await trio.testing.wait_all_tasks_blocked(0.02)  # a write in its thread takes far less
        nursery.cancel_scope.cancel()


async def test_a_knock_is_kept_before_the_device_is_let_in() -> None:
    house = House()
    inviting = house.inviting()
    invite = await inviting.create(900, 1, "")
    await judged(inviting, knock(PEERS[0], invite), knock(PEERS[0], invite, epoch=2), knock(PEERS[1], invite))
    assert house.approved == [PEERS[0], PEERS[0]]
    assert len(house.saved) == 2  # the making and the one use
    assert house.reasons == ["used up"]
    [kept] = inviting.invites()
    assert kept.by == (PEERS[0],)


async def test_where_it_cannot_be_kept_it_is_an_ordinary_knock() -> None:
    house = House()
    inviting = house.inviting()
    invite = await inviting.create(900, 1, "")
    house.full = True
    await judged(inviting, knock(PEERS[0], invite))
    assert house.approved == []
    assert house.reasons == ["file"]
    [kept] = inviting.invites()
    assert kept.by == ()
    with pytest.raises(MeshError, match="No space left"):
        await inviting.create(900, 1, "")
    house.full = False
    await judged(inviting, knock(PEERS[0], invite, epoch=2))
    assert house.approved == [PEERS[0]]


async def test_a_network_that_is_being_left_lets_in_later_whom_it_wrote_down() -> None:
    house = House()
    inviting = house.inviting()
    invite = await inviting.create(900, 1, "")
    house.left = True
    await judged(inviting, knock(PEERS[0], invite))
    assert (house.approved, house.told) == ([], [])
    house.left = False
    await judged(inviting, knock(PEERS[1], invite), knock(PEERS[0], invite, epoch=2))
    assert house.approved == [PEERS[0]]
    assert house.reasons == ["used up"]


async def test_who_was_taken_out_is_not_let_in_by_a_link() -> None:
    house = House(removed={PEERS[0]})
    inviting = house.inviting()
    invite = await inviting.create(900, 1, "")
    await judged(inviting, knock(PEERS[0], invite))
    assert house.approved == []
    assert house.reasons == ["removed"]


async def test_who_shows_wrong_proofs_is_not_looked_at_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = 1000.0
    monkeypatch.setattr(invitations.clock, "steady", lambda: steady)
    house = House()
    inviting = house.inviting()
    invite = await inviting.create(30 * 86_400, 1, "")
    await judged(inviting, *(knock(PEERS[0], invite, good=False) for _ in range(WRONG_MACS)))
    await judged(inviting, knock(PEERS[0], invite), knock(PEERS[1], invite))
    assert house.approved == [PEERS[1]]  # nobody else pays for it
    assert house.reasons == ["mac"], "once a minute for each id"
    await inviting.revoke(invite.id)
    steady += 3600.0
    another = await inviting.create(900, 1, "")
    await judged(inviting, knock(PEERS[0], another))
    assert house.approved == [PEERS[1], PEERS[0]]


async def test_too_many_at_once_are_ordinary_knocks() -> None:
    house = House()
    inviting = house.inviting()
    invite = await inviting.create(900, 1, "")
    await judged(
        inviting, *(knock(PEERS[0], invite, good=False) for _ in range(QUEUED_KNOCKS)), knock(PEERS[1], invite)
    )
    assert house.approved == []
    assert "limit" in house.reasons


async def test_a_file_of_a_later_release_is_neither_used_nor_written() -> None:
    house = House(unreadable="invites: x was written by a newer version of the program; it is left alone")
    inviting = house.inviting()
    calls: list[Callable[[], Any]] = [
        lambda: inviting.create(900, 1, ""),
        lambda: inviting.accept(Accepted(PEERS[0], "t", 1)),
    ]
    for call in calls:
        with pytest.raises(MeshError, match="newer version"):
            await call()
    with pytest.raises(MeshError, match="newer version"):
        inviting.invites()
    other = await House().inviting().create(900, 1, "")
    await judged(inviting, knock(PEERS[0], other))
    assert (house.approved, house.saved, house.reasons) == ([], [], ["file"])


async def test_one_that_we_took_is_shown_to_its_inviter_until_we_are_in() -> None:
    theirs = await House().inviting().create(900, 1, "")
    house = House()
    inviting = house.inviting()
    assert inviting.introduce(PEERS[0], BINDING) is None
    await inviting.accept(Accepted(PEERS[0], theirs.token, theirs.exp))
    assert inviting.inviters == {PEERS[0]}
    token = read_token(theirs.token)
    shown = inviting.introduce(PEERS[0], BINDING)
    assert shown == Introduction(id_of(token), mac_of(token, Meeting(ROOM, ME, PEERS[0], BINDING)))
    assert inviting.introduce(PEERS[1], BINDING) is None
    inviting.let_in_by(PEERS[1])
    inviting.let_in_by(PEERS[0])
    house.full = True
    await judged(inviting)
    assert inviting.inviters == {PEERS[0]}, "what cannot be written is not forgotten"
    house.full = False
    inviting.let_in_by(PEERS[0])
    await judged(inviting)
    assert inviting.inviters == frozenset()
    assert house.saved[-1] == Book()


async def test_one_that_outlived_a_clock_set_back_does_not_open() -> None:
    house = House()
    maker = house.inviting()
    invite = await maker.create(900, 1, "")
    ended = House(stored=Book((Invite(invite.id, invite.token, 1, 0, 1),)))
    inviting = ended.inviting()
    await judged(inviting, knock(PEERS[0], invite))
    assert ended.reasons == ["expired"]
    assert inviting.invites() == ()


async def test_what_cannot_be_made_or_taken_back_is_refused() -> None:
    inviting = House().inviting()
    with pytest.raises(MeshError, match="invite: an invitation is for 1 to 100 devices"):
        await inviting.create(900, 0, "")
    with pytest.raises(MeshError, match="invite: there is no invitation x"):
        await inviting.revoke("x")
