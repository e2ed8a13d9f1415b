"""What a person decides is on the disk before it acts; what cannot be written has not happened (spec 02 §11.2, §16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from msgspec.structs import replace

from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signatures import Checks
from myownmesh.governance.words import OURSELVES
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.tending import Tending
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK
from myownmesh.simulator.reference_governance import signed_entry
from unit.mesh.desk import OTHER, THIRD

if TYPE_CHECKING:
    from trio.testing import MockClock

    from myownmesh.simulator import World
    from unit.mesh.desk import Desk


async def test_a_decision_is_on_the_disk_before_it_acts(desk: Desk) -> None:
    founded = await desk.governing.propose(KindChange("closed"), None)
    assert (founded.effective, desk.node.engine.kind) == (True, "closed")
    assert desk.disk.held_then[0] == 0, "written while the engine knew nothing of it"
    assert len(desk.disk.saved[0].log) == 1
    assert desk.disk.saved[-1] is desk.book
    assert len(desk.disk.lines) == 1


async def test_what_finds_no_room_on_the_disk_has_not_happened(desk: Desk) -> None:
    desk.disk.full = True
    with pytest.raises(MeshError, match="No space left on device"):
        await desk.governing.propose(KindChange("closed"), None)
    assert (desk.node.engine.kind, len(desk.book.log), desk.book.pin.signed) == ("open", 0, False)
    desk.disk.full = False
    assert (await desk.governing.propose(KindChange("closed"), None)).effective


async def test_what_holds_already_asks_for_no_code_and_writes_nothing(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    await desk.governing.propose(RoleGrant(OTHER, "member"), None)
    asked, saved = desk.lock.asked, len(desk.disk.saved)
    again = await desk.governing.propose(RoleGrant(OTHER, "member"), None)
    assert (again.proposal_id, again.effective) == ("", True)
    assert (desk.lock.asked, len(desk.disk.saved)) == (asked, saved)


async def test_a_wrong_code_signs_nothing(desk: Desk) -> None:
    desk.lock.code = "123456"
    with pytest.raises(MeshError, match="invalid authenticator code"):
        await desk.governing.propose(KindChange("closed"), "000000")
    assert desk.node.engine.kind == "open"
    assert (await desk.governing.propose(KindChange("closed"), "123456")).effective


async def test_a_clock_that_others_call_wrong_keeps_from_granting_and_never_from_putting_out(desk: Desk) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    desk.ahead_s = -400.0
    with pytest.raises(MeshError, match="this device's clock is 400 s behind that of others"):
        await desk.governing.propose(RoleGrant(OTHER, "member"), None)
    assert (await desk.governing.propose(RoleGrant(OTHER, "member"), None, force=True)).effective
    assert (await desk.governing.propose(Evict(OTHER), None)).effective


async def test_before_an_authority_goes_what_it_decided_is_signed_anew(desk: Desk) -> None:
    world = desk.node.world
    controller = cast("World", world).nodes[1].identity
    await desk.governing.propose(KindChange("closed"), None)
    await desk.governing.propose(RoleGrant(controller.device_id, "controller"), None)

    decided = ((RoleGrant(OTHER, "member"), 50), (Evict(THIRD), 60))
    entries = [signed_entry(NETWORK, controller, variant, at) for variant, at in decided]
    heard = hear_entries(desk.book, entries, OURSELVES, Checks(NETWORK), 100, max_checks=9).book
    desk.node.switch.govern(lambda governor, now: governor.take(heard, now))
    await desk.governing.propose(Evict(controller.device_id), None)
    assert desk.book.role(OTHER) == "member"
    assert desk.book.is_evicted(THIRD)
    times = {copy.entry.at for copy in desk.book.members.copies() if desk.book.me in copy.entry.signers}
    assert {50, 60} <= times, "with their old times"


async def test_nothing_signs_by_itself_behind_a_lock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "MAX_WAIT_S"):
        monkeypatch.setattr(f"myownmesh.mesh.tending.{name}", 0.01)
    await desk.governing.propose(KindChange("closed"), None)

    def put_out(**removals: int) -> None:
        """What counts here although nobody signed it who still has a seat."""
        pin = desk.book.pin.keeping(removals)
        desk.node.switch.govern(lambda governor, now: governor.take(replace(desk.book, pin=pin), now))

    tending = Tending(desk.governing, desk.node.switch, is_locked=desk.lock.is_on, rng=desk.node.rng)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tending.run)
        await trio.sleep(0.02)
        desk.lock.code = "123456"
        put_out(**{OTHER: 70})
        await trio.sleep(0.3)
        assert desk.book.members.count == 0
        desk.lock.code = None
        put_out(**{THIRD: 80})
        with trio.fail_after(20):
            while desk.book.members.count < 2:  # without a lock each is signed anew
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


async def test_what_peers_bring_is_written_once_a_second_and_all_of_it(desk: Desk, autojump_clock: MockClock) -> None:
    await desk.governing.propose(KindChange("closed"), None)
    saved = len(desk.disk.saved)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.governing.run)
        for number in range(40):
            entry = signed_entry(NETWORK, desk.node.identity, RoleGrant(OTHER, "member"), 1000 + number)
            heard = hear_entries(desk.book, [entry], OURSELVES, Checks(NETWORK), 2000, max_checks=9).book
            desk.node.switch.govern(lambda governor, now, heard=heard: governor.take(heard, now))  # type: ignore[misc]  # mypy knows no default of a lambda
            desk.governing.book_changed()
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert 1 <= len(desk.disk.saved) - saved <= 6, "four seconds, and what is outstanding at the end"
    assert desk.disk.saved[-1] is desk.book
