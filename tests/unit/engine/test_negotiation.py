"""Offers, answers and candidates out of the usual order (spec 04 §5.4–5.9); the usual ones are in test_traces.py."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

import pytest

from mesh_common.events import PeerDropped
from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import Publish
from myownmesh.engine.answers import contest_ended
from myownmesh.engine.core import Core
from myownmesh.engine.decisions import OnOffer, on_offer
from myownmesh.engine.links import (
    ChannelClosed,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PathChanged,
    PathState,
    RemoteApplied,
    SdpType,
)
from myownmesh.engine.moves import Move
from myownmesh.engine.negotiation import hold_ended, look_closer
from myownmesh.engine.peer import Connecting, HeldOffer, Mark, OwnOffer
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import Ping, Pong
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    EchoHeard,
    OfferReceived,
    SendAnswer,
)
from myownmesh.roster import Roster
from unit.engine.bench import HIGH, LOW, Bench, sdp
from unit.engine.stages import active, channel, connecting, handshaking

if TYPE_CHECKING:
    from myownmesh.engine.peer import Link

B1 = first_fingerprint(sdp("B1"))
HOST = Candidate("candidate:9 1 udp 1 a 1 typ host")


def answering(me: Literal["lower", "higher"]) -> Bench:
    """Our offer was answered a moment ago, and the channel is open."""
    bench = Bench(me, EngineConfig(auto_approve=True), obedient=True)
    bench.connect()
    bench.answer("B1")
    bench.take()
    return bench


# ── the rule that decides on an offer ─────────────────────────────────────────────────────────────────────────────────


def link(
    kind: Literal["connecting", "handshaking", "active"] = "connecting",
    *,
    own_offer: OwnOffer = OwnOffer.NONE,
    known: str | None = None,
    applied: bool = False,
    answered_at: float | None = None,
) -> Link:
    made: Link = {"connecting": connecting, "handshaking": handshaking, "active": active}[kind]()
    made.transport.own_offer = own_offer
    made.transport.remote_fingerprint = known
    made.transport.remote_sdp_set = applied
    made.transport.answered_at = answered_at
    return made


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (None, OnOffer.ANSWER),
        (link(), OnOffer.APPLY),
        (link(own_offer=OwnOffer.OPEN, applied=True, known=B1), OnOffer.APPLY),
        (link("active", known=B1, applied=True), OnOffer.APPLY),
        (link("active", known="sha-256 another", applied=True), OnOffer.REBUILD),
        (link("active", applied=True), OnOffer.REBUILD),
        (link("handshaking", known="sha-256 another", applied=True, answered_at=8.0), OnOffer.HOLD),
        (link("handshaking", known="sha-256 another", applied=True, answered_at=7.0), OnOffer.REBUILD),
        (link("handshaking", own_offer=OwnOffer.BUILDING), OnOffer.APPLY),
    ],
)
def test_an_offer(there: Link | None, expected: OnOffer) -> None:
    assert on_offer("a", OfferReceived("b", sdp("B1")), there, 9.9 if there else 0.0, had_link=False) is expected


@pytest.mark.parametrize("open_offer", [OwnOffer.BUILDING, OwnOffer.OPEN])
def test_when_both_offer_the_higher_yields_and_the_lower_holds(open_offer: OwnOffer) -> None:
    assert (
        on_offer("b", OfferReceived("a", sdp("B1")), link(own_offer=open_offer), 1.0, had_link=False) is OnOffer.YIELD
    )
    assert on_offer("a", OfferReceived("b", sdp("B1")), link(own_offer=open_offer), 1.0, had_link=False) is OnOffer.HOLD
    assert (
        on_offer("a", OfferReceived("b", sdp("B1")), link(own_offer=open_offer), 10.0, had_link=False)
        is OnOffer.REPLACE_STUCK
    )


def later(name: str) -> str:
    """An offer as v0.3.8 writes it for a transport that was answered."""
    return sdp(name).replace("a=fingerprint:", "t=0 0\r\na=fingerprint:", 1)


def test_an_offer_of_a_transport_that_a_former_process_answered() -> None:
    offer = OfferReceived("b", later("B1"), "any")
    assert on_offer("a", offer, None, 0.0, had_link=True) is OnOffer.OFFER_INSTEAD
    assert on_offer("a", offer, None, 0.0, had_link=False) is OnOffer.ANSWER
    ours = OfferReceived("b", later("B1"), new_offer_id("b", "a", random.Random(1)))
    assert on_offer("a", ours, None, 0.0, had_link=True) is OnOffer.ANSWER
    for there in (link(own_offer=OwnOffer.OPEN), link("active", known="sha-256 another", applied=True)):
        assert on_offer("a", offer, there, 20.0, had_link=True) is OnOffer.IGNORE
    assert on_offer("a", offer, link("active", known=B1, applied=True), 20.0, had_link=True) is OnOffer.APPLY


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_it_is_answered_by_an_offer_of_a_new_transport(me: Literal["lower", "higher"]) -> None:
    bench = Bench(me, EngineConfig(auto_approve=True), obedient=True)
    bench.up_to("active")
    bench.leave()
    bench.wait(5.0)
    assert bench.status == "dropped user_left"
    offer = OfferReceived(bench.peer_id, later("B9"), "any")
    assert "offer A2" in bench.signal(offer)
    assert bench.signal(offer) == []


# ── how late the room is ──────────────────────────────────────────────────────────────────────────────────────────────


def echo(bench: Bench, late_s: float) -> None:
    assert bench.signal(EchoHeard(bench.us.device_id, late_s)) == []


def test_an_offer_is_not_made_again_before_its_answer_can_be_here() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True), obedient=True)
    echo(bench, 5.0)
    bench.announce()
    assert bench.wait(10.9) == []
    assert bench.announce(again=True) == ["announce"]
    assert "offer A1.2" in bench.wait(0.2)


def test_a_room_that_is_slow_beyond_measure_delays_offers_no_further() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True), obedient=True)
    echo(bench, 3600.0)
    bench.announce()
    assert "offer A1.2" in bench.wait(21.1)


def test_while_an_announce_of_ours_is_out_the_room_may_have_become_slow() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True), obedient=True)
    echo(bench, 0.1)
    bench.announce()
    bench.wait(3.0)
    assert bench.announce(again=True) == ["announce"]
    assert bench.wait(2.9) == []
    assert "offer A1.2" in bench.wait(0.2)


def test_a_process_that_cannot_know_the_offer_gets_it_again_soon() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True), obedient=True)
    echo(bench, 5.0)
    bench.announce()
    bench.wait(0.5)
    bench.announce()
    assert bench.wait(0.1) == []
    assert "offer A1.2" in bench.wait(0.2)


def test_an_attempt_that_a_former_process_answered_is_begun_anew() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.wait(0.2)
    bench.announce()
    assert "close A1" not in bench.wait(0.6)
    assert bench.wait(0.2) == ["close A1", "offer A2"]


def test_the_same_process_again_ends_no_attempt_that_it_answered() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.announce(again=True)
    assert "close A1" not in bench.wait(3.0)


def test_a_mute_channel_to_a_former_process_is_given_up() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.open_channel()
    bench.announce()
    assert bench.wait(0.8) == ["close A1", "offer A2"]


def test_a_channel_that_still_brings_frames_stays_whoever_announces_itself() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.open_channel()
    bench.announce()
    bench.announce()
    bench.hello()
    assert "close A1" not in bench.wait(3.0)


def test_where_the_peer_offers_it_offers_anew_by_itself() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.offer("B1")
    bench.announce()
    assert "close A1" not in bench.wait(3.0)


def test_a_newcomer_is_looked_for_at_once_although_its_predecessor_just_was() -> None:
    bench = Bench("lower").up_to("active")
    bench.announce(again=True)
    bench.wait(0.5)
    bench.announce()
    assert bench.wait(0.2) == ["offer A2"]


def test_a_second_copy_is_no_second_offer() -> None:
    there = link()
    there.transport.last_remote_offer = sdp("B1")
    assert on_offer("a", OfferReceived("b", sdp("B1")), there, 99.0, had_link=False) is OnOffer.IGNORE


def test_who_did_not_offer_was_not_just_answered() -> None:
    there = Connecting("p", 0, link(known="sha-256 another", applied=True, answered_at=9.0).transport)
    there.transport.offerer = False
    assert on_offer("a", OfferReceived("b", sdp("B1")), there, 9.5, had_link=False) is OnOffer.REBUILD


# ── an offer that waits ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_link_that_is_heard_keeps_its_place_for_the_whole_hold() -> None:
    bench = answering("lower")
    bench.open_channel()
    bench.offer("B2")
    bench.hello()
    bench.proof()
    assert "close A1" not in bench.wait(2.4)
    assert "answer A2 to B2" in bench.wait(0.2)


def test_a_link_that_stays_mute_gives_way_to_the_offer_that_waits() -> None:
    bench = answering("lower")
    bench.open_channel()
    assert bench.offer("B2") == []
    assert bench.offer("B3") == [], "the newest counts, and the clock runs on"
    words = bench.wait(0.6)
    assert words == ["close A1", "answer A2 to B3"]


def test_a_path_that_works_speaks_for_a_link_that_may_send_nothing_yet() -> None:
    bench = answering("lower")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.open_channel()
    bench.offer("B2")
    assert "close A1" not in bench.wait(2.0)
    assert "answer A2 to B2" in bench.wait(1.0), "not for longer than the hold"


def test_an_admitted_link_is_pinged_before_it_gives_way() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True))
    bench.connect()
    bench.answer("B1")
    bench.up_to("active")
    assert bench.offer("B2") == ["ping"]
    bench.frame(Pong(t=1))
    assert "close A1" not in bench.wait(2.4)
    assert "answer A2 to B2" in bench.wait(0.2)


def test_a_channel_that_closes_under_a_waiting_offer_was_rebuilt() -> None:
    bench = answering("lower")
    bench.open_channel()
    bench.offer("B2")
    assert "answer A2 to B2" in bench.event(ChannelClosed("gone"))


def test_a_channel_that_was_left_is_not_rebuilt_by_an_offer_that_waits() -> None:
    bench = answering("lower")
    bench.open_channel()
    bench.offer("B2")
    bench.leave()
    bench.take()
    assert bench.event(ChannelClosed("left")) == ["close A1"]


def test_an_id_that_offers_too_often_is_not_answered_even_when_held() -> None:
    bench = Bench("higher")
    for number in range(1, 5):
        bench.offer(f"B{number}")
    bench.connect()
    assert not any(word.startswith("answer") for word in bench.offer("B5"))


def test_the_higher_side_that_yields_too_often_stops() -> None:
    bench = Bench("higher", obedient=False)
    for _ in range(8):
        bench.connect()
        bench.offer("B1")
        bench.leave()
    assert bench.engine.peers(bench.now) == []
    opened = [action for action in bench.actions if type(action).__name__ == "TakeOffer"]
    assert len(opened) == 4


def test_of_a_burst_of_offers_the_newest_is_answered_in_its_turn() -> None:
    """So a process finds them that has stood still; each of the others is void by then."""
    bench = Bench("higher")
    for number in range(1, 8):
        bench.offer(f"B{number}")
    bench.take()
    assert [word for word in bench.wait(0.3) if word.startswith("answer")] == ["answer A5 to B7"]
    assert not any(word.startswith("answer") for word in bench.wait(5.0))


def test_an_offer_in_time_takes_the_place_of_one_that_waits_for_its_turn() -> None:
    bench = Bench("higher")
    for number in range(1, 6):
        bench.offer(f"B{number}")
    bench.mono += 0.25
    assert any(word.startswith("answer") for word in bench.offer("B6"))
    assert not any(word.startswith("answer") for word in bench.wait(1.0))


def test_a_repeated_offer_of_a_live_link_is_answered_and_changes_nothing() -> None:
    """v0.3.8 repeats offers with the credentials that the link has."""
    bench = Bench("higher").up_to("active")
    assert bench.offer("B1.2") == ["answer A1.2 to B1.2"]
    assert bench.status == "active"


# ── answers nobody waits for ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_without_a_link_makes_the_offering_side_offer() -> None:
    bench = Bench("lower")
    assert "offer A1" in bench.answer("B1")
    assert Bench("higher").answer("B1") == []


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_an_answer_to_an_offer_that_is_over_brings_another_one_and_seldom(me: Literal["lower", "higher"]) -> None:
    """The peer is there, and waits over an attempt that leads nowhere, whoever's part offering is."""
    bench = Bench(me)
    bench.connect()
    bench.leave()
    [over] = bench.offer_ids
    assert "offer A2" in bench.answer("B1", over)
    bench.leave()
    assert bench.answer("B2", over) == []
    bench.mono += 30.0
    assert "offer A3" in bench.answer("B3", over)


def test_an_answer_to_an_offer_that_is_over_waits_for_a_network() -> None:
    bench = Bench("higher")
    bench.connect()
    bench.leave()
    [over] = bench.offer_ids
    bench.network(Move.OFFLINE)
    assert bench.answer("B1", over) == []


def test_an_answer_to_an_offer_that_we_never_made_moves_nobody() -> None:
    """Above all not a device of a silent network that only listens."""
    bench = Bench("higher", EngineConfig(kind="silent"))
    assert bench.answer("B1", new_offer_id(HIGH.device_id, LOW.device_id, random.Random(1))) == []


def test_answers_open_no_more_links_than_offers_may() -> None:
    bench = Bench("lower", obedient=False)
    for _ in range(9):
        bench.answer("B1")
        bench.leave()
    opened = [action for action in bench.actions if type(action).__name__ == "OpenSession"]
    assert len(opened) == 4


def test_a_second_answer_leads_to_one_more_offer_after_the_gap() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    assert bench.answer("B1.2") == []
    bench.mono += 2.1
    assert bench.answer("B1.3") == ["offer A1.2"]


def test_an_answer_of_another_certificate_is_a_forgery_while_the_link_speaks() -> None:
    bench = Bench("lower").up_to("active")
    bench.mono += 3.0
    bench.answer("B1.2")
    assert bench.answer("B2") == []
    assert bench.status == "active"


def test_an_answer_of_another_certificate_to_a_mute_link_rebuilds_it() -> None:
    bench = Bench("lower").up_to("active")
    bench.mono += 3.0
    bench.announce(again=True)
    assert bench.wait(0.2) == ["offer A1.2"]
    assert bench.answer("B2") == ["offer A2"]


def test_a_mute_link_is_not_rebuilt_by_an_id_that_does_so_all_the_time() -> None:
    bench = Bench("lower").up_to("active")
    bench.mono += 3.0
    for number in (3, 4, 5, 6):
        bench.signal(CandidateReceived(bench.peer_id, HOST))
        bench.offer(f"B{number}")
    bench.take()
    assert bench.offer("B7") == []


# ── answers of another attempt ────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_belongs_to_one_offer_of_one_transport() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.leave()
    bench.announce()
    former, present = bench.offer_ids
    bench.take()
    assert bench.answer("B1", former) == [], "it answers A1, which is gone"
    assert bench.answer("B2", present) == ["apply B2"]
    assert bench.answer("B1.2", former) == []


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_two_who_answer_what_the_other_gave_up_meet_within_seconds(me: Literal["lower", "higher"]) -> None:
    """After a sleep both find an old offer in the room: each answers, and neither waits for that answer."""
    bench = Bench(me)
    bench.connect()
    bench.leave()
    [over] = bench.offer_ids
    bench.offer("B2", "theirs")
    bench.take()
    assert bench.answer("B3", over) == []
    bench.answer("B3.2", over)
    assert bench.wait(1.4) == []
    assert bench.wait(0.2) == ["close A2", "offer A3"]


def test_who_answers_an_offer_of_ours_that_is_over_and_then_the_next_is_left_alone() -> None:
    """The late answer was the older one: the channel of what is being made opens."""
    bench = Bench("higher")
    bench.connect()
    bench.leave()
    [over] = bench.offer_ids
    bench.offer("B2", "theirs")
    bench.answer("B1", over)
    bench.open_channel()
    assert not any(word.startswith("offer") for word in bench.wait(3.0))


def test_an_answer_to_what_we_never_offered_ends_no_attempt() -> None:
    bench = Bench("higher")
    bench.offer("B2", "theirs")
    bench.take()
    assert bench.answer("B1", "invented") == []
    assert bench.wait(5.0) == []


def test_an_answer_without_a_name_is_known_by_its_certificate() -> None:
    """v0.3.8 names no offer, but takes a new certificate for each transport."""
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.leave()
    bench.announce()
    assert bench.answer("B1.2") == [], "that one was of A1"
    assert bench.answer("B2") == ["apply B2"]


def test_any_offer_of_the_transport_may_be_the_answered_one() -> None:
    """A relay that takes longer than 6 s brings the answer to the first offer after the second one left."""
    bench = Bench("lower")
    bench.announce()
    assert bench.wait(6.1) == ["offer A1.2"]
    first, second = bench.offer_ids
    assert bench.answer("B1", first) == ["apply B1"]
    assert bench.answer("B1.2", second) == [], "both are answered, and nothing is to be repaired"
    bench.mono += 10.0
    assert bench.answer("B1.3", second) == []


def test_an_answer_counts_while_the_next_offer_is_built() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.event(LocalDescription(SdpType.OFFER, sdp("A1")))
    bench.wait(6.1)
    [first] = bench.offer_ids
    assert bench.answer("B1", first) == ["apply B1"]
    assert bench.event(LocalDescription(SdpType.OFFER, sdp("A1.2"))) == [], "it is not needed any more"


def test_our_answer_names_the_offer_that_it_answers() -> None:
    bench = Bench("higher", obedient=False)
    bench.offer("B1", "one")
    bench.offer("B1.2", "two")
    bench.offer("B1.3", "three")
    bench.event(LocalDescription(SdpType.ANSWER, sdp("A1")))
    bench.event(NegotiationFailed(SdpType.OFFER, local=False, error="no"))
    bench.event(LocalDescription(SdpType.ANSWER, sdp("A1.2")))
    answers = [action.signal for action in bench.actions if isinstance(action, Publish)]
    assert [each.offer_id for each in answers if isinstance(each, SendAnswer)] == ["one", "three"]


def test_of_two_answers_to_one_offer_the_channel_shows_which_is_right() -> None:
    """v0.3.8 answered the former offer and then this one; what was applied first brings no channel."""
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.mono += 0.5
    assert bench.answer("B2") == []
    assert bench.answer("B3") == []
    assert bench.wait(0.9) == []
    assert bench.wait(0.2) == ["close A1", "offer A2"]
    assert bench.answer("B4") == ["apply B4"]


def test_a_channel_that_opens_settles_which_answer_was_right() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    bench.answer("B2")
    bench.open_channel()
    assert "close A1" not in bench.wait(3.0)


def test_an_answer_that_names_no_certificate_contests_the_one_that_does() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.answer("B1")
    nameless = sdp("B2").split("a=fingerprint")[0]
    assert bench.signal(AnswerReceived(bench.peer_id, nameless, "")) == []
    assert bench.wait(1.7) == ["close A1", "offer A2"]


def test_a_mute_peer_that_is_being_offered_something_is_offered_nothing_more() -> None:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    peer = active(core.me + "z")  # theirs is the higher id, so offering is our part
    peer.upkeep.nudge = Mark(0.0, peer.channel.frames_in)
    peer.transport.own_offer = OwnOffer.BUILDING
    look_closer(core, peer, Instant(60.0, 0))
    assert core.out == []


def test_a_contest_opens_no_more_links_than_the_id_may() -> None:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    peer = connecting()
    core.install(peer, Instant(0.0, 0))
    while core.memories.of("p").may_open_link(5.0):
        pass
    contest_ended(core, peer, Instant(5.0, 0))
    assert core.peers["p"] is peer


# ── both offered ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_peer_that_gives_way_hears_our_offer_again() -> None:
    """However slow the relay is: nobody has to guess how long an answer may take."""
    bench = Bench("lower")
    bench.announce()
    mark = new_offer_id(bench.peer_id, bench.us.device_id, random.Random(3))
    bench.mono += 2.5
    assert bench.offer("B1", mark) == ["offer A1.2"]
    assert bench.offer("B1.2", mark) == [], "not twice within the gap"
    assert bench.wait(2.1) == ["offer A1.3"]
    bench.wait(12.0)
    assert "close A1" not in bench.offer("B1.3", mark), "not even after ten seconds"
    assert bench.answer("B2", bench.offer_ids[0]) == ["apply B2"]


def test_to_the_lower_one_the_higher_gives_way_whoever_it_is() -> None:
    bench = Bench("higher")
    bench.connect()
    bench.take()
    mark = new_offer_id(bench.peer_id, bench.us.device_id, random.Random(3))
    assert bench.offer("B1", mark) == ["close A1", "answer A2 to B1"]


# ── candidates and descriptions ───────────────────────────────────────────────────────────────────────────────────────


def test_candidates_wait_for_the_description_and_are_used_again_after_the_next() -> None:
    bench = Bench("lower", obedient=False)
    assert bench.signal(CandidateReceived(bench.peer_id, Candidate(""))) == []
    bench.announce()
    assert bench.candidate("c1") == [], "no description is applied"
    assert bench.info.remote_candidates.host == 1
    assert bench.event(RemoteApplied(SdpType.ANSWER, B1)) == ["add candidate c1"]
    assert bench.candidate("c2") == ["add candidate c2"]
    assert bench.event(RemoteApplied(SdpType.OFFER, None)) == ["add candidate c1", "add candidate c2"]
    bench.mono += 10.0
    assert bench.event(RemoteApplied(SdpType.OFFER, None)) == []


def test_nothing_is_kept_of_whom_nothing_was_heard() -> None:
    bench = Bench("lower", obedient=False)
    bench.connect()
    assert bench.event(RemoteApplied(SdpType.ANSWER, B1)) == []


def test_our_candidates_are_counted_and_sent_and_their_end_is_only_told() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.event(LocalCandidate(HOST))
    bench.event(LocalCandidate(HOST))
    assert bench.info.local_candidates.host == 2
    assert bench.event(GatheringDone()) == []
    [told] = [diag.detail for diag in bench.diags if diag.message == "gathering done"]
    assert told == {"peer": bench.peer_id, "host": 2, "srflx": 0, "relay": 0}


def test_an_offer_that_was_overtaken_does_not_leave() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    assert bench.event(LocalDescription(SdpType.OFFER, sdp("A1"))) == ["offer A1"]
    assert bench.event(LocalDescription(SdpType.OFFER, sdp("A1.2"))) == []


def test_an_offer_that_could_not_be_built_is_made_again() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.event(NegotiationFailed(SdpType.OFFER, local=True, error="no"))
    bench.mono += 2.1
    before = len(bench.actions)
    bench.announce()
    assert "MakeOffer" in [type(action).__name__ for action in bench.actions[before:]]


def test_an_offer_that_could_not_be_applied_may_come_again() -> None:
    bench = Bench("higher", obedient=False)
    bench.offer("B1")
    bench.event(NegotiationFailed(SdpType.OFFER, local=False, error="no"))
    before = len(bench.actions)
    bench.offer("B1")
    assert "TakeOffer" in [type(action).__name__ for action in bench.actions[before:]]


@pytest.mark.parametrize("local", [True, False])
def test_an_answer_that_failed_is_ours_to_repair_only_if_it_was_the_peers(local: bool) -> None:
    bench = Bench("lower")
    bench.announce()
    bench.mono += 2.1
    words = bench.event(NegotiationFailed(SdpType.ANSWER, local=local, error="no"))
    assert words == ([] if local else ["offer A1.2"])


def test_the_offer_of_an_open_link_is_not_repeated_by_the_clock() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.open_channel()
    bench.event(LocalDescription(SdpType.OFFER, sdp("A1")))
    assert not any(word.startswith("offer") for word in bench.wait(10.0))


def test_a_postponed_offer_is_void_once_a_description_is_there() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.event(LocalDescription(SdpType.OFFER, sdp("A1")))
    bench.event(RemoteApplied(SdpType.OFFER, B1))
    before = len(bench.actions)
    bench.wait(10.0)
    assert "MakeOffer" not in [type(action).__name__ for action in bench.actions[before:]]


def test_a_ping_says_nothing_of_a_channel_without_frames() -> None:
    assert channel().last_recv is None
    bench = Bench("lower").up_to("active")
    assert bench.frame(Ping(t=1)) == ["pong"]


def test_an_offer_clears_a_link_that_is_silent_over_a_dead_path() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("active")
    bench.event(PathChanged(PathState.FAILED))
    bench.mono += 26.0
    assert bench.offer("B1.2") == ["close A1", "answer A2 to B1.2"]
    assert bench.named(PeerDropped)[-1].reason.kind == "heartbeat_timeout"


def test_an_offer_that_waited_is_not_answered_for_an_id_that_opens_too_many_links() -> None:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    peer = handshaking()
    core.install(peer, Instant(0.0, 0))
    while core.memories.of("p").may_open_link(5.0):
        pass
    hold_ended(core, peer, HeldOffer(OfferReceived("p", sdp("B2")), 2.0, 0), Instant(5.0, 0))
    assert core.peers["p"] is peer


def test_a_mute_link_is_not_rebuilt_by_the_answers_of_an_id_that_opens_too_many_links() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True))
    for number in range(1, 5):
        bench.offer(f"B{number}")
    bench.up_to("active")
    bench.announce(again=True)
    assert bench.wait(0.2) == ["offer A4.2"]
    assert bench.answer("B9") == []
    assert bench.status == "active"


def test_an_offer_without_a_certificate_is_handed_to_the_session_to_refuse() -> None:
    bench = Bench("higher", obedient=False)
    bench.signal(OfferReceived(bench.peer_id, "v=0\r\n"))
    assert "TakeOffer" in [type(action).__name__ for action in bench.actions]
