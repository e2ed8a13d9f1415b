"""What waits for a person at this device: signatures behind a lock, lost entries, quarrels (spec 02 §24.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from msgspec.structs import replace

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import hear_propose
from myownmesh.governance.log import heard
from myownmesh.governance.pending import pending
from myownmesh.governance.questions import Owed
from myownmesh.governance.remnant import offer
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.signed_bytes import content_digest
from myownmesh.governance.words import OURSELVES, Speaker
from myownmesh.identity import Identity
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.tending import Tending
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from myownmesh.simulator.node import NETWORK
from myownmesh.simulator.reference_governance import signed_entry
from unit.mesh.desk import OTHER, THIRD

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.governance.book import Book
    from myownmesh.protocol.transitions import Transition, Variant
    from myownmesh.simulator import World
    from unit.mesh.desk import Desk

CODE = "123456"


def other_device(desk: Desk) -> Identity:
    return cast("World", desk.node.world).nodes[1].identity


def signed(by: Identity, variant: Variant, at: int) -> Transition:
    return signed_entry(NETWORK, by, variant, at)


def hold(desk: Desk, change: Callable[[Book], Book]) -> None:
    book = change(desk.book)
    desk.node.switch.govern(lambda governor, now: governor.take(book, now))


def adopts(desk: Desk, *entries: Transition) -> None:
    log = finish(heard(entries, Checks(NETWORK), desk.book.rules))
    hold(desk, lambda book: hear_log(book, log, Speaker(OTHER), 100).book)


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not holds():
            await trio.sleep(0.02)


async def test_a_removal_that_would_be_signed_anew_waits_behind_the_lock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myownmesh.mesh.tending.LOOK_S", 0.01)
    await desk.governing.propose(KindChange("closed"), None)
    desk.lock.code = CODE
    tending = Tending(desk.governing, desk.node.switch, is_locked=desk.lock.is_on, rng=desk.node.rng)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tending.run)
        await trio.sleep(0.05)
        hold(desk, lambda book: replace(book, pin=book.pin.keeping({OTHER: 70})))
        await until(lambda: bool(pending(desk.book)))
        nursery.cancel_scope.cancel()
    [record] = pending(desk.book)
    assert (record.variant, record.created_at, desk.book.members.count) == (Evict(OTHER), 70, 0)
    with pytest.raises(MeshError, match="invalid authenticator code"):
        await desk.governing.sign(record.id, "000000")
    with pytest.raises(MeshError, match="changed since it was shown"):
        await desk.governing.sign(record.id, CODE, "other")
    digest = content_digest(NETWORK, record.variant)
    assert (await desk.governing.sign(record.id, CODE, digest)).effective
    assert [copy.entry.at for copy in desk.book.members.copies()] == [70], "with its old time"
    assert pending(desk.book) == ()


async def test_what_a_merge_would_sign_waits_behind_the_lock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Controllers acted apart; what needs no signature is merged all the same.

    The branch was left before anybody tended: so it is after a process that ended between switch and merge.
    """
    monkeypatch.setattr("myownmesh.mesh.tending.LOOK_S", 0.01)
    one, two = Identity.from_seed(bytes([79]) * 32), Identity.from_seed(bytes([80]) * 32)
    await desk.governing.propose(KindChange("closed"), None)
    for device in (one.device_id, two.device_id, OTHER):
        await desk.governing.propose(RoleGrant(device, "controller"), None)
    base = desk.book.log.entries
    tail = [signed(two, RoleRevoke(OTHER), 50), signed(desk.node.identity, RoleGrant(THIRD, "owner"), 51)]
    adopts(desk, *base, *tail)
    adopts(desk, *base, signed(one, RoleRevoke(two.device_id), 60))
    assert desk.book.standing.role(THIRD) == "member"
    assert [left.entries for left in desk.book.branches.left] == [(*base, *tail)]
    desk.lock.code = CODE
    tending = Tending(desk.governing, desk.node.switch, is_locked=desk.lock.is_on, rng=desk.node.rng)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tending.run)
        await until(lambda: not desk.book.branches.left)
        nursery.cancel_scope.cancel()
    assert desk.book.standing.role(THIRD) == "owner"
    [record] = pending(desk.book)
    assert (record.variant, record.proposer) == (RoleRevoke(OTHER), desk.book.me)
    assert desk.book.standing.role(OTHER) == "controller", "its author has lost the seat; nobody has signed it since"
    assert (await desk.governing.sign(record.id, CODE)).effective
    assert desk.book.standing.role(OTHER) == "member"


async def test_who_signs_nothing_leaves_a_left_branch_to_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.mesh.tending.LOOK_S", 0.01)
    founder, controller = Identity.from_seed(bytes([79]) * 32), Identity.from_seed(bytes([80]) * 32)
    base = (
        signed(founder, KindChange("closed"), 10),
        signed(founder, RoleGrant(controller.device_id, "controller"), 11),
    )
    adopts(desk, *base)
    [claim] = desk.book.questions.claims
    await desk.governing.sign(claim, None)
    adopts(desk, *base, signed(controller, RoleGrant(THIRD, "controller"), 12))
    adopts(desk, *base, signed(founder, RoleRevoke(controller.device_id), 12))
    assert len(desk.book.branches.left) == 1
    tending = Tending(desk.governing, desk.node.switch, is_locked=desk.lock.is_on, rng=desk.node.rng)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tending.run)
        await until(lambda: not desk.book.branches.left)
        nursery.cancel_scope.cancel()
    assert desk.book.standing.role(THIRD) == "member"


async def test_no_to_what_is_owed_lasts(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    await desk.governing.propose(RoleGrant(OTHER, "controller"), None)
    hold(desk, lambda book: replace(book, questions=book.questions.owing(NETWORK, Owed(RoleRevoke(OTHER)))))
    [record] = pending(desk.book)
    await desk.governing.deny(record.id)
    assert pending(desk.book) == ()
    assert desk.book.standing.role(OTHER) == "controller"


async def test_a_decision_that_is_owed_is_a_decision_like_any_other(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    await desk.governing.propose(RoleGrant(OTHER, "controller"), None)
    hold(desk, lambda book: replace(book, questions=book.questions.owing(NETWORK, Owed(RoleRevoke(OTHER)))))
    [record] = pending(desk.book)
    assert (await desk.governing.sign(record.id, None)).effective
    assert desk.book.standing.role(OTHER) == "member"
    assert pending(desk.book) == ()


async def test_a_person_goes_on_with_what_is_left(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    hold(desk, lambda book: offer(replace(book, lost=3)))
    [record] = pending(desk.book)
    with pytest.raises(MeshError, match="1 of 3 entries are back"):
        await desk.governing.propose(RoleGrant(OTHER, "member"), None)
    assert (await desk.governing.sign(record.id, None)).effective
    assert (await desk.governing.propose(RoleGrant(OTHER, "member"), None)).effective
    assert desk.disk.saved[-1].pin.entries == 1


async def test_who_signs_a_members_proposal_signs_anew_what_would_fall(desk: Desk) -> None:
    controller, member = other_device(desk), Identity.from_seed(bytes([78]) * 32)
    await desk.governing.propose(KindChange("closed"), None)
    await desk.governing.propose(RoleGrant(controller.device_id, "controller"), None)
    admit = signed(controller, RoleGrant(OTHER, "member"), 50)
    hold(desk, lambda book: hear_entries(book, [admit], OURSELVES, Checks(NETWORK), 100, max_checks=9).book)
    wish = Evict(controller.device_id)
    now = desk.node.now().wall_ms // 1000
    [word] = signed(member, wish, now).signatures
    frame = NetworkStatePropose("prop_1", wish, member.device_id, now, word)
    hold(desk, lambda book: hear_propose(book, frame, member.device_id, Checks(NETWORK), now).book)
    assert (await desk.governing.sign("prop_1", None)).effective
    assert desk.book.is_evicted(controller.device_id)
    assert desk.book.role(OTHER) == "member"


async def test_an_owner_settles_a_quarrel_between_controllers(desk: Desk) -> None:
    one, two = Identity.from_seed(bytes([79]) * 32), Identity.from_seed(bytes([80]) * 32)
    await desk.governing.propose(KindChange("closed"), None)
    for controller in (one, two):
        await desk.governing.propose(RoleGrant(controller.device_id, "controller"), None)
    base = desk.book.log.entries
    adopts(desk, *base, signed(one, RoleRevoke(two.device_id), 60))
    adopts(desk, *base, signed(two, RoleRevoke(one.device_id), 60))
    [question] = desk.book.questions.rivals
    desk.lock.code = CODE
    with pytest.raises(MeshError, match="invalid authenticator code"):
        await desk.governing.settle(question, "000000")
    assert (await desk.governing.settle(question, CODE)).effective
    assert not desk.book.questions.rivals
    with pytest.raises(MeshError, match="proposal not found"):
        await desk.governing.settle(question, CODE)
