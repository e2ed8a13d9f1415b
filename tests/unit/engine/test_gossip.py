"""The roster among members (spec 01 §15.4)."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import SaveRoster
from myownmesh.identity import Identity
from myownmesh.protocol.frames import (
    NetworkState,
    RosterEntries,
    RosterEntry,
    RosterRequest,
    RosterSummary,
)
from myownmesh.roster import Roster
from support.vectors import load
from unit.engine.bench import NETWORK, Bench, wait_for_approval

OPEN = EngineConfig(auto_approve=True)


def ids(count: int) -> list[str]:
    return [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(1, count + 1)]


def entry(device_id: str, label: str = "x", role: Any = "member") -> RosterEntry:
    return RosterEntry(device_id=device_id, label=label, approved_at=5, role=role)


def saves(bench: Bench) -> int:
    return sum(isinstance(action, SaveRoster) for action in bench.actions)


def test_activation_tells_summary_and_state() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    summary, state = bench.frames[-2:]
    root = bench.engine.roster.membership_root()
    assert summary == RosterSummary(root=root, count=1, last_edit_ts=bench.now.wall_ms // 1000)
    assert state == NetworkState(network_kind="open", transitions_count=0, member_log_count=0, roster_root=root)


def test_a_different_root_is_pulled_once() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    assert bench.frame(RosterSummary(root="other", count=9, last_edit_ts=0)) == ["roster_request"]
    assert bench.frames[-1] == RosterRequest(include_all=True)
    assert bench.frame(RosterSummary(root="other", count=9, last_edit_ts=0)) == []
    assert bench.frame(NetworkState("open", 0, 0, "other")) == [], "the same pull again"
    assert bench.frame(NetworkState("open", 1, 0, "other")) == ["roster_request"], "now a log is ahead"
    assert bench.frame(RosterSummary(root=bench.engine.roster.membership_root(), count=0, last_edit_ts=0)) == []


def test_entries_add_and_never_change() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    new = ids(1)[0]
    before = bench.engine.roster.get(bench.peer_id)
    words = bench.frame(
        RosterEntries(
            entries=(
                entry(f"{new}-ABC12", "learnt\x00" + "y" * 999),
                entry(bench.us.device_id),
                entry(bench.peer_id, "renamed", "owner"),
                entry("no id"),
                entry("ü" * 52),
            )
        )
    )
    assert words == [], "the activation has just been told"
    assert bench.wait(1.0) == ["roster_summary"]
    learnt = bench.engine.roster.get(new)
    assert learnt is not None
    assert len(learnt.label.encode()) <= 256
    assert bench.engine.roster.get(bench.peer_id) == before
    assert not bench.engine.roster.is_authorized(bench.us.device_id)
    assert len(bench.engine.roster.entries) == 2
    count = saves(bench)
    assert bench.frame(RosterEntries(entries=(entry(new),))) == [], "what changes nothing causes nothing"
    assert saves(bench) == count


def root_there(bench: Bench) -> str:
    """The root of the peer's roster if it holds whom we hold."""
    return bench.engine.roster.root_held_by(bench.peer_id, bench.us.device_id)


def test_a_peer_that_holds_whom_we_hold_is_not_asked() -> None:
    """Each side leaves itself out, so that the roots of equal rosters differ (spec 01 §15.4)."""
    bench = Bench("lower", OPEN).up_to("active")
    root = root_there(bench)
    assert root != bench.engine.roster.membership_root()
    assert bench.frame(RosterSummary(root=root, count=1, last_edit_ts=0)) == []
    assert bench.frame(NetworkState("open", 0, 0, root)) == []
    assert bench.frame(NetworkState("open", 1, 0, root)) == ["roster_request"], "its log is ahead"


def test_changes_of_one_second_are_told_once_and_the_last_one_counts() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.wait(5)
    told = len(bench.frames)
    for number, new in enumerate(ids(5)):
        words = bench.frame(RosterEntries(entries=(entry(new),)))
        assert words == (["roster_summary"] if number == 0 else []), "the first at once, the others together"
    assert bench.wait(0.9) == []
    assert bench.wait(0.2) == ["roster_summary"]
    last = bench.frames[-1]
    assert isinstance(last, RosterSummary)
    assert (last.count, last.root) == (6, bench.engine.roster.membership_root())
    assert len(bench.frames) == told + 2


def test_nobody_is_told_what_it_has() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.wait(5)
    [new] = ids(1)
    bench.frame(RosterEntries(entries=(entry(new),)))
    bench.frame(RosterSummary(root=root_there(bench), count=2, last_edit_ts=0))
    newcomer = Identity.from_seed(bytes([99]) * 32)
    bench.wait(5)
    bench.frame(RosterEntries(entries=(entry(newcomer.device_id),)))
    after = bench.engine.roster.root_held_by(bench.peer_id, bench.us.device_id)
    bench.frame(RosterSummary(root=after, count=3, last_edit_ts=0))
    bench.engine.approve(ids(2)[1], "", bench.now)
    bench.engine.remove(ids(2)[1], bench.now)
    assert "roster_summary" not in bench.wait(3), "as it was, and the peer said that it has that"


def test_a_summary_or_state_that_got_lost_is_said_again() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.wait(5)
    bench.engine.frame_lost(bench.peer_id, bench.epoch, RosterSummary.KIND, bench.now)
    assert bench.collect() == ["roster_summary", "network_state"]
    bench.engine.frame_lost(bench.peer_id, bench.epoch, NetworkState.KIND, bench.now)
    assert bench.collect() == []
    assert bench.wait(1.1) == ["roster_summary", "network_state"]


def test_a_network_that_became_silent_meanwhile_tells_nothing() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.frame(RosterEntries(entries=(entry(ids(1)[0]),)))
    bench.engine.configure(EngineConfig(kind="silent", auto_approve=True), bench.now)
    assert bench.wait(3) == []


def test_closed_networks_ignore_unsigned_entries() -> None:
    bench = Bench("lower", EngineConfig(kind="closed", auto_approve=True)).up_to("active")
    assert bench.frame(RosterEntries(entries=(entry(ids(1)[0]),))) == []
    assert not bench.engine.roster.is_authorized(ids(1)[0])


def test_silent_networks_do_not_gossip() -> None:
    bench = Bench("higher", EngineConfig(kind="silent", auto_approve=True)).up_to("active")
    assert [frame.KIND for frame in bench.frames] == ["hello", "auth_response", "approve"]
    assert bench.frame(RosterRequest()) == []
    assert bench.frame(RosterSummary(root="other", count=1, last_edit_ts=1)) == []
    assert bench.frame(NetworkState("open", 5, 5, "other")) == []


def test_gossip_admits_whoever_waits() -> None:
    """Spec 01 §20 item 7: a member vouches for the peer that waits here."""
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("active")
    bench.engine.configure(EngineConfig(), bench.now)
    newcomer = Identity.from_seed(bytes([99]) * 32)
    wait_for_approval(bench, newcomer)
    bench.take()
    assert "approve" not in bench.collect()
    assert "approve" in bench.frame(RosterEntries(entries=(entry(newcomer.device_id, "vouched"),)))


def test_a_request_is_answered_whole() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    assert bench.frame(RosterRequest(include_all=True)) == ["roster_entries"]
    assert bench.frames[-1] == RosterEntries(entries=bench.engine.roster.wire_entries())
    assert bench.frame(RosterRequest()) == [], "v0.3.8 asks twice at once"
    bench.wait(1.1)
    assert bench.frame(RosterRequest()) == ["roster_entries"]


def test_a_large_roster_goes_out_in_parts() -> None:
    roster = Roster(NETWORK)
    members = ids(1500)
    for member in members:
        roster = roster.meet(member, "a label of some length", 1)
    bench = Bench("lower", OPEN, roster=roster).up_to("active")
    bench.frame(RosterRequest())
    bench.wait(0.1)
    parts = [frame for frame in bench.frames if isinstance(frame, RosterEntries)]
    assert len(parts) > 1
    assert [row.device_id for part in parts for row in part.entries] == [*members, bench.peer_id]


@pytest.mark.parametrize("case", load("peer-protocol", "roster")["rosters"], ids=lambda case: case["name"])
def test_summaries(case: dict[str, Any]) -> None:
    roster = Roster.from_json({"version": 1, "network_id": NETWORK, "authorized_devices": case["entries"]})
    summary = roster.summary()
    assert summary == RosterSummary(
        root=case["summary"]["root"], count=case["summary"]["count"], last_edit_ts=case["summary"]["last_edit_ts"]
    )
