"""A device that joins, or has lost its state: its links carry governance frames only until somebody who can know has
answered (spec 02 §24.3 no. 50)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from myownmesh.engine import EngineConfig
from myownmesh.engine.attendance import WRITTEN_S
from myownmesh.governance.book import Book
from myownmesh.governance.pins import Pin
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    Approve,
    NetworkState,
    Ping,
    Pong,
    RosterEntries,
    RosterRequest,
    RosterSummary,
)
from myownmesh.protocol.transitions import KindChange, RoleGrant
from myownmesh.roster import Roster
from unit.engine.bench import NETWORK, Bench, wait_for_approval
from unit.engine.charters import (
    FOUNDING,
    OWNER,
    STRANGER,
    THEN,
    book_of,
    closed,
    code,
    entry,
    grant,
    hints,
    of_kind,
    proposal,
)

if TYPE_CHECKING:
    from myownmesh.identity import Identity
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Transition


def joiner() -> Bench:
    """It was told who founds the network, and remembers the peer, the owner and a stranger from before."""
    roster = Roster(NETWORK)
    for device in (Bench("lower").them, OWNER, STRANGER):
        roster = roster.approve(device.device_id, "", THEN)
    bench = Bench("lower", EngineConfig(kind="closed"), roster=roster)
    pin = Pin(NETWORK).founded_by(OWNER.device_id)
    bench.engine.governor.begin(Book(NETWORK, bench.us.device_id, pin, configured="closed"), (), bench.now)
    bench.up_to("pending")
    bench.frame(Approve())
    return bench


def says(bench: Bench, device: Identity, frame: Frame) -> None:
    epoch = bench.epochs[device.device_id]
    bench.engine.receive_frame(device.device_id, epoch, encode_frame(frame), bench.now)
    bench.collect()


def joins(bench: Bench, device: Identity) -> None:
    """Another device links, and lets us in."""
    wait_for_approval(bench, device)
    says(bench, device, Approve())


def status(bench: Bench, device: Identity) -> str:
    return next(info.status for info in bench.engine.peers(bench.now) if info.device_id == device.device_id)


def test_until_then_governance_is_heard_and_nothing_else_is_answered() -> None:
    bench = joiner()
    assert code(bench) == "waits_for_authority"
    assert bench.engine.governor.book.pin.provisional
    bench.wait(3.0)
    bench.frames.clear()
    bench.frame(Ping(7))
    assert bench.frames == [Pong(7)], "the link is kept up"
    bench.frame(RosterRequest(include_all=True))
    assert bench.frames == [Pong(7)], "who belongs here it cannot say yet"
    bench.frame(NetworkState("closed", 1, 1, "x"))
    assert of_kind(bench, RosterRequest) == [RosterRequest(include_all=True)]
    bench.frame(RosterSummary("x", 3, 0))
    assert len(of_kind(bench, RosterRequest)) == 1, "it has just been asked"
    bench.wait(2.0)
    assert len(of_kind(bench, RosterRequest)) == 2
    bench.frame(RosterEntries((), (FOUNDING,), (grant(bench.peer_id),)))
    assert bench.engine.governor.book.is_founded, "logs are what it waits for"
    bench.frame(proposal(bench.them, RoleGrant(STRANGER.device_id, "controller")))
    [record] = bench.engine.governor.book.proposals.records.values()
    assert record.proposer == bench.peer_id
    assert bench.status == "pending_approval"
    assert bench.engine.governor.book.pin.provisional, "the peer is no authority: it may have shown an old log"


def test_an_owner_that_answers_makes_its_link_and_those_of_members_what_they_are_elsewhere() -> None:
    bench = joiner()
    joins(bench, STRANGER)
    joins(bench, OWNER)
    assert {status(bench, device) for device in (bench.them, STRANGER, OWNER)} == {"pending_approval"}
    says(bench, OWNER, RosterEntries((), (FOUNDING,), (grant(bench.us.device_id), grant(bench.peer_id))))
    assert not bench.engine.governor.book.pin.provisional
    assert "an authority has answered; this device knows who belongs here" in [diag.message for diag in bench.diags]
    assert (status(bench, OWNER), bench.status) == ("active", "active")
    assert status(bench, STRANGER) == "pending_approval", "nobody signed it in"


def test_a_click_where_nothing_is_awaited_is_no_admit() -> None:
    bench = closed()
    bench.up_to("pending")
    bench.engine.governor.click(bench.peer_id, bench.now)
    bench.frame(Approve())
    assert (bench.status, code(bench)) == ("pending_approval", "waits_for_signature")


def test_a_click_is_about_one_device() -> None:
    bench = joiner()
    joins(bench, STRANGER)
    bench.engine.governor.click(bench.peer_id, bench.now)
    bench.collect()
    assert (bench.status, status(bench, STRANGER)) == ("active", "pending_approval")
    bench.engine.governor.click(STRANGER.device_id, bench.now)
    bench.collect()
    assert (bench.status, status(bench, STRANGER)) == ("active", "active")
    assert bench.engine.governor.book.pin.provisional, "what it knows of the network is no more than before"


def test_a_flood_before_it_is_known_who_belongs_is_bounded_as_later() -> None:
    provisional, known = joiner(), closed(members=(grant(Bench("lower").peer_id),)).up_to("active")
    for bench in (provisional, known):
        bench.wait(3.0)
        bench.frames.clear()
        for number in range(2000):
            bench.frame(Ping(number))
    assert 0 < len(of_kind(provisional, Pong)) < 1000
    assert len(of_kind(provisional, Pong)) == len(of_kind(known, Pong))


# ── over restarts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def restarted(bench: Bench) -> Bench:
    """The same device, with what its files hold."""
    again = Bench("lower", EngineConfig(kind="closed"), roster=bench.engine.roster)
    again.engine.governor.begin(bench.engine.governor.book, (), again.now)
    return again


def test_a_restart_does_not_make_an_old_log_a_known_one() -> None:
    """Whoever was met first has shown a log without its own eviction; nobody who could know has answered."""
    bench = joiner()
    bench.frame(RosterEntries((), (FOUNDING,), (grant(bench.us.device_id), grant(bench.peer_id))))
    assert bench.engine.governor.book.is_founded
    again = restarted(bench)
    again.up_to("pending")
    again.frame(Approve())
    assert (again.status, code(again)) == ("pending_approval", "waits_for_authority")


def test_whoever_was_told_by_an_owner_knows_it_after_a_restart() -> None:
    bench = joiner()
    joins(bench, OWNER)
    says(bench, OWNER, RosterEntries((), (FOUNDING,), (grant(bench.us.device_id), grant(bench.peer_id))))
    assert not bench.engine.governor.book.pin.provisional
    assert not restarted(bench).engine.governor.book.pin.provisional


def owner_without_its_log(*back: Transition, missing: int = 2) -> Bench:
    """The founder itself, that has lost its state file and got some of its entries back."""
    bench = Bench("lower", EngineConfig(kind="closed"))
    us = bench.us.device_id
    founding = entry(bench.us, KindChange("closed"))
    whole = book_of(us, founding=founding, members=(entry(bench.us, RoleGrant(bench.peer_id, "member")),))
    book = replace(whole, lost=missing) if back else Book(NETWORK, us, whole.pin, configured="closed", lost=missing)
    bench.engine.governor.begin(book, (), bench.now)
    bench.up_to("pending")
    bench.frame(Approve())
    return bench


def test_a_click_of_the_only_owner_is_its_word() -> None:
    bench = owner_without_its_log()
    assert bench.engine.governor.book.pin.provisional
    bench.engine.governor.click(bench.peer_id, bench.now)
    assert not bench.engine.governor.book.pin.provisional
    bench.engine.governor.click(bench.peer_id, bench.now)
    assert not bench.engine.governor.book.pin.provisional


def test_a_click_of_one_owner_among_others_is_about_one_device() -> None:
    bench = joiner()
    bench.frame(RosterEntries((), (FOUNDING, grant(bench.us.device_id, "owner")), ()))
    bench.engine.governor.click(bench.peer_id, bench.now)
    assert bench.engine.governor.book.pin.provisional


def asked(bench: Bench) -> bool:
    return bool(bench.engine.governor.book.questions.remnants)


def test_ten_minutes_without_anybody_who_has_the_lost_entries_and_a_person_is_asked() -> None:
    bench = owner_without_its_log(FOUNDING)
    bench.wait(500.0)
    assert not asked(bench)
    bench.wait(300.0)
    assert asked(bench)
    assert hints(bench).count("log_lost") == 1
    bench.wait(300.0)
    assert hints(bench).count("log_lost") == 1, "once"


def test_nobody_is_asked_where_nothing_is_left() -> None:
    bench = owner_without_its_log()
    bench.wait(1000.0)
    assert not asked(bench)


def test_nobody_is_asked_once_all_are_back() -> None:
    bench = owner_without_its_log(FOUNDING)
    bench.wait(100.0)
    book = replace(bench.engine.governor.book, lost=0)
    bench.engine.governor.take(book, bench.now)
    bench.wait(1000.0)
    assert not asked(bench)


def test_when_an_authority_was_heard_is_remembered_to_the_hour() -> None:
    bench = joiner()
    joins(bench, OWNER)
    assert bench.engine.governor.last_heard == {}
    says(bench, OWNER, RosterEntries((), (FOUNDING,), (grant(bench.us.device_id),)))
    first = bench.now.wall_ms // 1000
    assert bench.engine.governor.last_heard == {OWNER.device_id: first}
    bench.wait(10.0)
    says(bench, OWNER, RosterEntries((), (FOUNDING,), ()))
    assert bench.engine.governor.last_heard[OWNER.device_id] == first + 10
    assert bench.engine.governor.book.heard == {OWNER.device_id: first}
    says(bench, bench.them, RosterEntries((), (FOUNDING,), ()))
    assert bench.peer_id not in bench.engine.governor.last_heard
    assert WRITTEN_S == 3600
