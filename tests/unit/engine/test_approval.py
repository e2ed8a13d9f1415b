"""Who is let in, and who is told (spec 01 §7.6, §15, §20)."""

from __future__ import annotations

import pytest

from mesh_common.events import PeerApproved, PeerAuthenticated
from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import SaveRoster
from myownmesh.engine.limits import MAX_PENDING_APPROVALS
from myownmesh.engine.links import ChannelClosed
from myownmesh.identity import Identity
from myownmesh.protocol.frames import Approve, Deny
from myownmesh.roster import Roster
from unit.engine.bench import HIGH, NETWORK, Bench, wait_for_approval


def test_a_rostered_device_is_let_in_without_asking() -> None:
    bench = Bench("lower", roster=Roster(NETWORK).approve(Bench("lower").peer_id, "mine", 1)).up_to("handshaking")
    bench.hello(label="theirs")
    assert bench.proof() == ["approve"]
    [event] = bench.named(PeerAuthenticated)
    assert event.rostered
    bench.frame(Approve())
    assert bench.status == "active"
    entry = bench.engine.roster.get(bench.peer_id)
    assert entry is not None
    assert (entry.label, entry.user_label, entry.approved_at) == ("theirs", "mine", 1)


def test_a_stranger_is_not_rostered_before_it_is_active() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("pending")
    assert not bench.engine.roster.is_authorized(bench.peer_id)
    bench.frame(Approve())
    assert bench.engine.roster.is_authorized(bench.peer_id)
    assert any(isinstance(action, SaveRoster) for action in bench.actions)
    [event] = bench.named(PeerApproved)
    assert event.label == "them"


def test_an_approval_before_the_first_meeting_counts() -> None:
    bench = Bench("lower")
    assert bench.approve("Phone") == []
    bench.up_to("handshaking")
    bench.hello()
    assert bench.proof() == ["approve"]


def test_turning_auto_approve_on_lets_the_waiting_in() -> None:
    bench = Bench("lower").up_to("pending")
    bench.engine.configure(EngineConfig(auto_approve=True), bench.now)
    assert bench.collect() == ["approve"]


def test_approve_is_repeated_until_the_peer_approves_too() -> None:
    bench = Bench("lower").up_to("pending")
    bench.approve()
    words = bench.wait(21.0)
    assert words.count("approve") == 4
    bench.frame(Approve())
    assert bench.status == "active"
    assert "approve" not in bench.wait(60.0)


def test_a_lost_approve_is_unlatched_and_sent_again() -> None:
    bench = Bench("lower").up_to("pending")
    bench.approve()
    bench.engine.frame_lost(bench.peer_id, bench.epoch, "approve", bench.now)
    assert not bench.info.local_approve_sent
    bench.frame(Approve())
    assert bench.status == "pending_approval", "the peer does not know that we agree"
    assert "approve" in bench.wait(5.1)
    assert bench.status == "active"


def test_a_lost_approve_of_an_active_link_is_sent_again() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.frame_lost(bench.peer_id, bench.epoch, "approve", bench.now)
    assert bench.status == "active"
    assert "approve" in bench.wait(5.1)


def test_other_losses_change_nothing() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.frame_lost(bench.peer_id, bench.epoch, "ping", bench.now)
    bench.engine.frame_lost(bench.peer_id, bench.epoch - 1, "approve", bench.now)
    bench.engine.frame_lost("q" * 52, 0, "approve", bench.now)
    assert bench.collect() == []


def test_removal_tells_the_peer_and_lets_that_leave() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.remove(bench.peer_id, bench.now)
    assert bench.collect() == ["deny"]
    assert bench.frames[-1] == Deny(reason="removed")
    assert bench.status == "dropped denied"
    assert bench.wait(0.39) == []
    assert bench.wait(0.02) == ["close A1"]
    assert not bench.engine.roster.is_authorized(bench.peer_id)
    assert bench.wait(200.0) == []


def test_removal_of_a_link_that_is_not_open_yet() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.engine.remove(bench.peer_id, bench.now)
    assert bench.collect() == ["close A1"]


def test_removal_of_somebody_unknown_is_no_error() -> None:
    bench = Bench("lower")
    bench.engine.remove(bench.peer_id, bench.now)
    assert bench.collect() == []


def test_a_removed_device_that_is_lost_is_not_dialled_any_more() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(ChannelClosed("gone"))
    bench.engine.remove(bench.peer_id, bench.now)
    assert bench.wait(200.0) == []
    bench = Bench("higher").up_to("active")
    bench.event(ChannelClosed("gone"))
    bench.engine.remove(bench.peer_id, bench.now)
    assert bench.wait(200.0) == []


def test_a_name_stays_until_the_device_says_its_own() -> None:
    """The proof and the approve may both come before the hello (spec 01 §7.5)."""
    roster = Roster(NETWORK).meet(HIGH.device_id, "by gossip", 5)
    bench = Bench("lower", roster=roster).up_to("handshaking")
    bench.proof()
    bench.frame(Approve())
    assert bench.status == "active"
    assert [row.label for row in bench.engine.roster.rows()] == ["by gossip"]
    bench.hello(label="its own")
    assert [row.label for row in bench.engine.roster.rows()] == ["its own"]
    assert bench.engine.roster.entries[0].approved_at == 5


@pytest.mark.parametrize("stage", ["handshaking", "pending"])
def test_a_deny_ends_the_link(stage: str) -> None:
    bench = Bench("lower").up_to("handshaking" if stage == "handshaking" else "pending")
    bench.frame(Deny(reason="evicted"))
    assert bench.status == "dropped denied"
    words = bench.wait(100.0)
    dialled_again = any(word.startswith("offer") for word in words)
    assert dialled_again is (stage == "handshaking"), "an unproven refusal is only a failed attempt"


@pytest.mark.parametrize("auto_approve", [False, True], ids=["for us", "for themselves"])
def test_only_so_many_devices_wait_at_once(auto_approve: bool) -> None:
    bench = Bench("higher", EngineConfig(auto_approve=auto_approve))
    devices = [Identity.from_seed(number.to_bytes(32, "big")) for number in range(MAX_PENDING_APPROVALS + 1)]
    for device in devices:
        bench.mono += 1.0
        wait_for_approval(bench, device)
    waiting = {info.device_id for info in bench.engine.peers(bench.now)}
    assert waiting == {device.device_id for device in devices[1:]}
    assert Deny(reason="too many devices wait for approval") in bench.frames


def test_nobody_waits_longer_than_a_day() -> None:
    bench = Bench("higher").up_to("pending")
    bench.wait(23.9 * 3600)
    assert bench.status == "pending_approval"
    bench.wait(0.2 * 3600)
    assert not bench.has_entry


def test_who_was_approved_before_makes_nobody_wait_outside() -> None:
    devices = [Identity.from_seed(number.to_bytes(32, "big")) for number in range(MAX_PENDING_APPROVALS + 1)]
    roster = Roster(NETWORK).approve(devices[0].device_id, "", 1)
    bench = Bench("higher", roster=roster)
    for device in devices:
        bench.mono += 1.0
        wait_for_approval(bench, device)
    waiting = {info.device_id for info in bench.engine.peers(bench.now)}
    assert waiting == {device.device_id for device in devices}
