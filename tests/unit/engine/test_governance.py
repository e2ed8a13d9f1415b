"""What an engine does about signed governance: whom it lets in, whom it ends, whom it believes (02 §14, §15, §24.3)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from myownmesh.engine import EngineConfig, EngineError, gossip, slices
from myownmesh.engine.hearing import ask_for_refused
from myownmesh.engine.timers import NetworkTimer
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import propose
from myownmesh.governance.book import Book
from myownmesh.governance.log import heard
from myownmesh.governance.pins import Pin
from myownmesh.governance.rules import Rules
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.words import OURSELVES
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    Approve,
    Deny,
    NetworkState,
    NetworkStatePropose,
    RosterEntries,
    RosterRequest,
)
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.modes import FullMesh, Ring, Star
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, TopologyChange, Transition
from unit.engine.bench import NETWORK, WALL_MS, Bench
from unit.engine.charters import (
    APP,
    FOUNDING,
    OWNER,
    STRANGER,
    THEN,
    book_of,
    closed,
    code,
    entry,
    evicted,
    grant,
    hints,
    of_kind,
    proposal,
    told,
)


def test_on_a_closed_network_a_stranger_waits_and_a_signed_admit_lets_it_in() -> None:
    bench = closed()
    bench.up_to("pending")
    assert bench.status == "pending_approval", "auto_approve does not count"
    assert code(bench) == "waits_for_signature"
    known = closed(members=(grant(bench.peer_id),))
    known.up_to("active")
    assert known.status == "active"
    # Here it comes from somebody else while the device waits.
    bench.engine.governor.take(book_of(bench.us.device_id, (), (grant(bench.peer_id),)), bench.now, {bench.peer_id})
    bench.collect()
    assert [frame.KIND for frame in bench.frames].count("approve") == 1


def test_an_evicted_device_proves_itself_and_gets_the_proof_and_nothing_else() -> None:
    bench = closed(members=(grant(Bench("lower").peer_id), evicted(Bench("lower").peer_id)))
    bench.up_to("handshaking")
    bench.hello()
    bench.proof()
    [deny] = of_kind(bench, Deny)
    assert (deny.reason, deny.transitions) == ("evicted", (FOUNDING,))
    assert evicted(bench.peer_id) in deny.member_log
    assert "approve" not in [frame.KIND for frame in bench.frames]
    assert not bench.has_entry
    assert not any("close" in line for line in bench.sent), "the deny has 400 ms to leave"
    assert any("close" in line.lower() for line in bench.wait(0.4))


def test_an_eviction_that_is_learnt_ends_the_link_at_once() -> None:
    them = Bench("lower").peer_id
    bench = closed(members=(grant(them),))
    bench.up_to("active")
    bench.frames.clear()
    bench.frame(RosterEntries((), (FOUNDING,), (evicted(them),)))
    bench.wait(0.01)
    assert [frame.KIND for frame in bench.frames] == ["deny"]
    assert not bench.has_entry
    assert them not in bench.engine.roster.ids
    assert "evicted" in hints(bench)
    bench.frame(APP)
    assert bench.delivered == [], "nothing of it is heard any more"


def test_an_approve_of_an_evicted_device_is_refused() -> None:
    them = Bench("lower").peer_id
    bench = closed(members=(evicted(them),))
    with pytest.raises(EngineError, match="was evicted by the network's signed governance"):
        bench.approve()


def test_a_deny_with_proof_is_believed_only_of_a_peer_that_has_proved_itself() -> None:
    me = Bench("lower").us.device_id
    proof = Deny("evicted", (FOUNDING,), (evicted(me),))
    early = closed()
    early.up_to("handshaking")
    early.frame(proof)
    assert not early.engine.governor.is_down
    late = closed()
    late.up_to("pending")
    late.frame(proof)
    assert late.engine.governor.is_down
    assert "self_evicted" in hints(late)
    assert not late.has_entry


def test_a_device_that_stands_down_reacts_to_no_announce_and_dials_nobody() -> None:
    me = Bench("lower").us.device_id
    bench = closed(members=(evicted(me),))
    assert bench.engine.governor.is_down
    bench.take()
    bench.announce()
    bench.wait(30.0)
    assert not any(word in line for line in bench.sent for word in ("offer", "announce"))
    # An offer is answered: over that link it hears that it is welcome again.
    bench.offer("B1")
    assert any("answer" in line for line in bench.sent)


def test_a_readmitted_device_is_dialled_whatever_the_order_of_ids() -> None:
    them = Bench("higher").peer_id
    bench = closed("higher", members=(grant(them), evicted(them)))
    bench.engine.governor.take(
        book_of(
            bench.us.device_id, (), (grant(bench.us.device_id), grant(them), evicted(them), grant(them, at=THEN + 2))
        ),
        bench.now,
        {them},
    )
    assert any("offer" in line for line in bench.collect())


def test_a_joiner_delivers_nothing_of_a_link_before_somebody_who_can_know_has_answered() -> None:
    bench = Bench("lower", EngineConfig(kind="closed"))
    us, them = bench.us.device_id, bench.peer_id
    pin = Pin(NETWORK).founded_by(OWNER.device_id)
    bench.engine.governor.begin(Book(NETWORK, us, pin, configured="closed"), (), bench.now)
    log = finish(heard((FOUNDING,), Checks(NETWORK), Book(NETWORK, us).rules))
    shown = hear_log(bench.engine.governor.book, log, OURSELVES, THEN).book
    # The peer is a member, and shows what might be an old log.
    bench.engine.governor.take(told(shown, (grant(us), grant(them))), bench.now, {us, them})
    bench.up_to("pending")
    bench.frame(Approve())
    assert bench.status == "pending_approval"
    assert of_kind(bench, RosterRequest), "it is asked all the same"
    bench.frame(APP)
    assert bench.delivered == []
    assert code(bench) == "waits_for_authority"
    bench.engine.governor.click(them, bench.now)
    bench.collect()
    assert bench.status == "active", "a person who clicks knows better"


def test_a_governed_shape_outranks_the_records_and_no_command_changes_it() -> None:
    shape = entry(OWNER, TopologyChange(Star(OWNER.device_id)))
    bench = closed(log=(shape,))
    assert bench.engine.topology == Star(OWNER.device_id)
    with pytest.raises(EngineError, match="governed by a signed owner transition"):
        bench.engine.set_topology(FullMesh(), bench.now)
    bench.engine.configure(EngineConfig(topology=Ring()), bench.now)
    assert bench.engine.topology == Star(OWNER.device_id)


def test_a_founding_by_somebody_nobody_agreed_to_waits_for_a_person_and_closes_nothing() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True))
    bench.up_to("active")
    variant = KindChange("closed")
    signature = base32.encode(bench.them.sign(signed_bytes(NETWORK, variant)))
    bench.frame(NetworkStatePropose("prop_0123456789abcdef", variant, bench.peer_id, WALL_MS // 1000, signature))
    assert (bench.engine.kind, len(bench.engine.governor.book.questions.claims)) == ("open", 1)
    bench.frame(RosterEntries((), (FOUNDING,)))
    assert bench.engine.kind == "open"


def test_a_silent_network_ignores_all_logs() -> None:
    bench = Bench("lower", EngineConfig(kind="silent", auto_approve=True))
    bench.up_to("active")
    bench.frame(RosterEntries((), (FOUNDING,)))
    bench.frame(NetworkState("closed", 9, 9, "x"))
    assert bench.engine.kind == "silent"
    assert bench.engine.governor.book.questions.claims == {}
    assert of_kind(bench, RosterRequest) == []


def test_every_frame_of_an_answer_fits_and_together_they_hold_everything() -> None:
    them = Bench("lower").peer_id
    others = [Identity.from_seed(bytes([n]) + bytes(31), "x").device_id for n in range(250)]
    bench = closed(members=(grant(them), *(grant(each) for each in others)))
    bench.up_to("active")
    bench.frames.clear()
    bench.frame(RosterRequest(include_all=True))
    bench.wait(1.0)
    answers = of_kind(bench, RosterEntries)
    assert all(len(encode_frame(each)) <= MAX_FRAME_BYTES for each in answers)
    assert len(answers) > 1
    assert sum(len(each.member_log) for each in answers) == 252
    assert [bool(each.transitions) for each in answers].count(True) == 1


def test_signatures_that_are_none_are_charged_and_then_not_looked_at() -> None:
    them = Bench("lower").peer_id
    bench = closed(members=(grant(them),))
    bench.up_to("active")
    bad = base32.encode(bytes(64))
    wanted = RoleGrant(STRANGER.device_id, "member")
    texts = [bad[:-4] + f"{one}{two}aa" for one in "bcdefghij" for two in "bcdefghij"]
    junk = tuple(Transition(THEN, wanted, (OWNER.device_id,), (text,)) for text in texts)
    checks = bench.engine.governor.checks
    bench.frame(RosterEntries((), (), junk))
    bench.wait(0.5)
    looked_at = checks.count
    bench.frame(RosterEntries((), (), junk))
    bench.wait(0.1)
    assert checks.count - looked_at <= 1, "one is forgiven every second"
    assert bench.status == "active", "honest frames of it still count"
    assert bench.engine.governor.book.role(STRANGER.device_id) is None


# ── what one switch restores (spec 10 §3) ─────────────────────────────────────────────────────────────────────────────


def open_network(**switches: bool) -> Bench:
    bench = Bench("lower", EngineConfig(auto_approve=True, rules=Rules(**switches)))
    return bench.up_to("active")


@pytest.mark.parametrize("on", [False, True])
def test_any_founder_is_believed_with_its_switch_only(on: bool) -> None:
    bench = open_network(adopt_any_genesis=on)
    bench.frame(proposal(bench.them, KindChange("closed")))
    assert bench.engine.kind == ("closed" if on else "open")


@pytest.mark.parametrize("on", [False, True])
def test_a_removal_by_anybody_acts_on_an_open_network_with_its_switch_only(on: bool) -> None:
    bench = open_network(open_network_evict=on)
    bench.approve_stranger(STRANGER.device_id)
    bench.frame(proposal(bench.them, Evict(STRANGER.device_id)))
    assert (STRANGER.device_id in bench.engine.roster.ids) is not on


@pytest.mark.parametrize("on", [False, True])
def test_a_local_approve_admits_on_a_closed_network_with_its_switch_only(on: bool) -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True, rules=Rules(closed_local_approve=on)))
    us = bench.us.device_id
    bench.engine.governor.begin(
        replace(book_of(us, (), (grant(us),)), rules=Rules(closed_local_approve=on)), (), bench.now
    )
    bench.up_to("pending" if not on else "active")
    assert bench.status == ("active" if on else "pending_approval")


@pytest.mark.parametrize("claimed", [False, True], ids=["nobody closes it", "a founder's claim waits"])
def test_an_own_removal_on_an_open_network_acts_here_and_nowhere_else(claimed: bool) -> None:
    bench = open_network()
    if claimed:
        bench.frame(RosterEntries((), (FOUNDING,)))
    assert len(bench.engine.governor.book.questions.claims) == claimed
    assert bench.peer_id in bench.engine.roster.ids
    variant = Evict(bench.peer_id)
    signature = base32.encode(bench.us.sign(signed_bytes(NETWORK, variant)))
    done = propose(bench.engine.governor.book, variant, signature, "prop_0", WALL_MS // 1000)
    assert done.entry is not None, "the answer says that it is in force"
    bench.engine.governor.act(done, bench.now)
    bench.collect()
    assert bench.peer_id not in bench.engine.roster.ids
    assert not bench.has_entry
    assert bench.engine.kind == "open"


def test_what_was_refused_for_its_time_is_asked_for_again_when_the_clock_was_set() -> None:
    bench = closed(members=(grant(closed().peer_id),))
    bench.up_to("active")
    years = 50 * 365 * 24 * 3600
    bench.frame(RosterEntries((), (), (grant(STRANGER.device_id, at=WALL_MS // 1000 + years),)))
    government = bench.engine.core.government
    bench.wait(0.1)
    assert government.refused_at is not None
    asked = len(of_kind(bench, RosterRequest))
    later = Instant(bench.now.mono + 10.0, bench.now.wall_ms + (years + 10) * 1000)
    ask_for_refused(bench.engine.core, later)
    bench.collect()
    assert government.refused_at is None
    assert len(of_kind(bench, RosterRequest)) == asked + 1


def test_a_large_roster_is_told_behind_the_work_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip, "MANY_ROWS", 0)
    bench = closed()
    core, now = bench.engine.core, Instant(bench.now.mono + 60.0, WALL_MS)
    core.timers.cancel(NetworkTimer.GOSSIP, "")
    core.government.is_working = True
    gossip.spread(core, now)
    assert core.timers.when(NetworkTimer.GOSSIP, "") == now.mono + slices.SLICE_GAP_S
