"""A planned key change: each step looks at what holds already, and so goes on wherever it was cut (spec 10 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signatures import Checks
from myownmesh.governance.succession import Keep
from myownmesh.governance.words import OURSELVES
from myownmesh.identity import Identity
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.replacing import replace
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from myownmesh.simulator.node import NETWORK
from myownmesh.simulator.reference_governance import signed_entry
from unit.mesh.desk import OTHER, THIRD

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.mesh.replacing import Handover
    from unit.mesh.desk import Desk

OLD = Identity.from_seed(bytes([81]) * 32)
NEW = Identity.from_seed(bytes([82]) * 32).device_id
LEFT = Identity.from_seed(bytes([83]) * 32).device_id


async def with_an_old_controller(desk: Desk) -> None:
    """It has let one device in and put another one out."""
    await desk.governing.propose(KindChange("closed"), None)
    await desk.governing.propose(RoleGrant(OLD.device_id, "controller"), None)
    decided = ((RoleGrant(OTHER, "member"), 50), (Evict(THIRD), 60))
    entries = [signed_entry(NETWORK, OLD, variant, at) for variant, at in decided]
    heard = hear_entries(desk.book, entries, OURSELVES, Checks(NETWORK), 100, max_checks=9).book
    desk.node.switch.govern(lambda governor, now: governor.take(heard, now))


def is_done(book: Book) -> bool:
    stands = (book.standing.role(NEW), book.role(OTHER), book.is_evicted(THIRD), book.is_evicted(OLD.device_id))
    return stands == ("controller", "member", True, True)


async def handed_over(desk: Desk, old: str = OLD.device_id, new: str = NEW, keep: Keep | None = None) -> Handover:
    return await replace(desk.governing, old, new, None, keep)


async def test_the_new_device_gets_the_role_and_the_old_one_goes_last(desk: Desk) -> None:
    await with_an_old_controller(desk)
    done = await handed_over(desk)
    assert (done.step, done.role, done.outcome.effective) == ("done", "controller", True)
    assert is_done(desk.book)
    assert desk.lock.asked == 3, "one code for all that a replacement signs"
    saved = len(desk.disk.saved)
    again = await handed_over(desk)
    assert (again.step, again.outcome.proposal_id, len(desk.disk.saved)) == ("done", "", saved)


async def test_wherever_it_is_cut_the_same_command_goes_on(desk: Desk) -> None:
    """The disk takes one more decision each time, as if the daemon were killed behind it."""
    await with_an_old_controller(desk)
    room = 0
    states = set()
    while not is_done(desk.book):
        desk.disk.room = len(desk.disk.saved) + room
        try:
            await handed_over(desk)
        except MeshError:
            states.add((desk.book.standing.role(NEW), desk.book.role(OLD.device_id)))
            assert desk.book.role(OTHER) == "member", "nobody falls in between"
            assert desk.book.is_evicted(THIRD)
        room = 1
    assert {("member", "controller"), ("controller", "controller")} <= states
    assert (await handed_over(desk)).step == "done"


async def test_a_person_chooses_who_goes_with_the_old_device(desk: Desk) -> None:
    await with_an_old_controller(desk)
    assert (await handed_over(desk, keep=Keep(frozenset()))).step == "done"
    assert desk.book.role(OTHER) is None
    assert desk.book.is_evicted(THIRD), "whom it had put out stays out"


async def test_the_device_that_goes_leaves_the_last_step_to_the_new_one(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    me = desk.book.me
    done = await handed_over(desk, old=me)
    assert (done.step, done.role, done.outcome.effective, done.outcome.waits_for) == ("put out", "owner", False, (NEW,))
    assert desk.book.standing.owners == {me, NEW}
    assert (await handed_over(desk, old=me)).step == "put out"


async def test_what_this_device_may_not_decide_is_proposed_once(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    for device in (OLD.device_id, LEFT):
        await desk.governing.propose(RoleGrant(device, "owner"), None)
    await desk.governing.propose(RoleGrant(desk.book.me, "controller"), None)
    first, second = await handed_over(desk), await handed_over(desk)
    assert (first.step, first.outcome.effective) == ("seat", False)
    assert first.outcome.proposal_id == second.outcome.proposal_id
    assert set(second.outcome.waits_for) == {OLD.device_id, LEFT}
    assert len(desk.book.proposals.records) == 1


async def test_what_makes_no_sense_is_refused(desk: Desk) -> None:
    await with_an_old_controller(desk)
    with pytest.raises(MeshError, match="are the same"):
        await handed_over(desk, new=OLD.device_id)
    with pytest.raises(MeshError, match="is no member here"):
        await handed_over(desk, old=LEFT)
    await desk.governing.propose(Evict(OLD.device_id), None)
    with pytest.raises(MeshError, match="is no member here"):
        await handed_over(desk)
