"""A transport made beside a live link: it takes over by its proof, and costs the link nothing before (03 §23-F)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from mesh_common.events import PeerApproved, PeerAuthenticated, PeerDropped, PeerSighted, PhaseChanged
from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import CloseSession, OpenSession
from myownmesh.engine.limits import MAX_EARLY_FRAMES
from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    PathState,
    SdpType,
)
from myownmesh.engine.memory import PeerMemory
from myownmesh.engine.moves import Move
from myownmesh.engine.timing import ANSWER_MARGIN_S, SUCCESSOR_FIRST_S
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Approve, Deny, Ping, Pong
from myownmesh.protocol.limits import MAX_INBOUND_BYTES
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import Candidate
from unit.engine.bench import Bench, prove_successor

if TYPE_CHECKING:
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.frames import Frame

OPEN = EngineConfig(auto_approve=True)


class Twofold(Bench):
    """A bench whose link is up for a while; what it says goes over the newest transport, `main_*` over the first."""

    def __init__(self, me: str = "higher") -> None:
        super().__init__("lower" if me == "lower" else "higher", OPEN)
        self.up_to("active")
        self.main = self.epoch
        self.event(PathChanged(PathState.CONNECTED))
        self.wait(5.0)
        self.main_frame(Pong(t=1))
        self.events.clear()
        self.take()

    def main_frame(self, frame: Frame) -> list[str]:
        self.engine.receive_frame(self.peer_id, self.main, encode_frame(frame), self.now)
        return self.collect()

    def main_event(self, event: LinkEvent) -> list[str]:
        self.engine.receive_link_event(self.peer_id, self.main, event, self.now)
        return self.collect()

    @property
    def open_sessions(self) -> int:
        opened = sum(isinstance(action, OpenSession) for action in self.actions)
        return opened - sum(isinstance(action, CloseSession) for action in self.actions)

    @property
    def is_untouched(self) -> bool:
        """The link is what it was, alone, and nobody was told of anything."""
        return self.status == "active" and self.open_sessions == 1 and self.events == []

    @property
    def told(self) -> list[type]:
        """What clients heard of the peer."""
        return [type(event) for event in self.events if not isinstance(event, PhaseChanged)]

    @property
    def has_successor(self) -> bool:
        return self.open_sessions > 1


def offered_anew() -> Twofold:
    """We are lower, and a fresh process has announced itself: it is offered another transport."""
    bench = Twofold("lower")
    bench.announce()
    assert bench.wait(0.25) == ["offer A2"]
    return bench


def restarts(words: list[str]) -> list[str]:
    """Offers for the link."""
    return [word for word in words if word.startswith("offer A1")]


# ── the proof decides ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_offer_of_another_certificate_is_answered_beside_the_link() -> None:
    bench = Twofold()
    assert bench.offer("B2") == ["answer A2 to B2"]
    assert bench.status == "active"
    assert bench.open_sessions == 2
    assert bench.main_frame(Ping(t=7)) == ["pong"]
    assert bench.events == []


def test_it_takes_over_once_it_has_proved_itself() -> None:
    bench = Twofold()
    bench.offer("B2")
    assert "close A1" not in bench.open_channel() + bench.hello("n2")
    assert bench.status == "active"
    assert "close A1" in bench.proof()
    bench.frame(Approve())
    assert bench.status == "active"
    assert bench.open_sessions == 1
    assert bench.told == [PeerDropped, PeerSighted, PeerAuthenticated, PeerApproved]


def test_one_that_says_no_before_its_open_event_ends() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.frame(Deny())
    bench.hello("n2")
    assert "close A2" in bench.open_channel()
    assert bench.is_untouched


def test_an_approve_that_came_before_the_proof_counts() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.open_channel()
    bench.hello("n2")
    bench.frame(Approve())
    bench.proof()
    assert bench.status == "active"
    assert bench.epoch != bench.main


def test_what_came_before_the_open_event_counts() -> None:
    bench = Twofold()
    bench.offer("B2")
    for number in range(12):
        assert bench.hello(f"n{number}") == []
    assert "auth_response" in bench.open_channel()


def test_what_is_too_long_takes_no_room_before_the_open_event() -> None:
    bench = Twofold()
    bench.offer("B2")
    for _ in range(MAX_EARLY_FRAMES):
        bench.raw(b" " * (MAX_INBOUND_BYTES + 1))
    bench.hello("n2")
    assert "auth_response" in bench.open_channel()


# ── forgeries cost nothing ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_offer_behind_which_nobody_stands_is_forgotten_after_half_a_minute() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.wait(20.0)
    bench.main_frame(Pong(t=1))
    bench.wait(10.1)
    assert bench.is_untouched
    bench.main_frame(Pong(t=1))
    bench.wait(29.0)
    assert bench.is_untouched


def test_offers_of_ever_new_certificates_leave_two_transports_at_most() -> None:
    bench = Twofold()
    answered = 0
    for number in range(200):
        answered += bool(bench.offer(f"B{number + 2}"))
        assert bench.open_sessions <= 2
        bench.wait(0.1)
        bench.main_frame(Pong(t=1))
    assert answered <= 4 * 20 + 4
    assert bench.status == "active"
    assert bench.events == []


@pytest.mark.parametrize(
    "end",
    [
        NegotiationFailed(SdpType.OFFER, local=False, error="senseless"),
        ChannelClosed("gone"),
        ChannelOpened(None, None),
    ],
    ids=["unusable", "closed", "no certificate"],
)
def test_one_that_fails_ends_without_a_word(end: LinkEvent) -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.event(PairSelected("host", "host"))
    assert "close A2" in bench.event(end)
    assert bench.is_untouched


@pytest.mark.parametrize("how", ["wrong proof", "deny", "flood", "silence"])
def test_one_that_proves_nothing_ends_without_a_word(how: str) -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.open_channel()
    match how:
        case "wrong proof":
            bench.hello("n2")
            bench.proof(good=False)
        case "deny":
            bench.frame(Deny())
        case "flood":
            for _ in range(300):
                bench.raw(b"{")
                bench.frame(Ping(t=1))
        case _:
            assert bench.wait(6.0).count("hello") == 1, "ours is said again"
            bench.main_frame(Pong(t=1))
            bench.wait(24.5)
    assert not bench.has_successor
    assert bench.is_untouched


def test_what_it_says_before_its_proof_changes_nothing() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.open_channel()
    assert bench.frame(Ping(t=1)) == []
    assert bench.raw(b"{") == []
    assert bench.delivered == []


# ── the link ends meanwhile ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", ["connecting", "handshaking"])
def test_when_the_link_ends_the_successor_is_the_link(stage: str) -> None:
    bench = Twofold()
    bench.offer("B2")
    if stage == "handshaking":
        bench.open_channel()
    bench.main_event(ChannelClosed("gone"))
    assert bench.status == ("handshaking" if stage == "handshaking" else "sighted")
    assert bench.told == [PeerDropped, PeerSighted]
    if stage == "connecting":
        bench.open_channel()
    bench.hello("n2")
    bench.proof()
    bench.frame(Approve())
    assert bench.status == "active"
    assert bench.open_sessions == 1


def test_its_clock_goes_on_when_it_becomes_the_link() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.wait(20.0)
    bench.main_event(ChannelClosed("gone"))
    bench.wait(9.9)
    assert bench.open_sessions == 1
    assert "close A2" in bench.wait(0.2)


@pytest.mark.parametrize("how", ["deny", "removed", "left", "flood"])
def test_an_end_for_good_ends_both(how: str) -> None:
    bench = Twofold()
    bench.offer("B2")
    match how:
        case "deny":
            bench.main_frame(Deny())
        case "removed":
            bench.engine.remove(bench.peer_id, bench.now)
            bench.collect()
            bench.wait(0.5)
        case "left":
            bench.leave()
            bench.main_event(ChannelClosed("gone"))
        case _:
            for _ in range(1300):
                bench.engine.receive_frame(bench.peer_id, bench.main, b"{", bench.now)
                bench.collect()
    assert bench.open_sessions == 0
    assert not bench.has_successor


def test_stopping_closes_both() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.engine.stop(bench.now)
    bench.collect()
    assert bench.open_sessions == 0


def test_a_leave_is_about_the_newest_process() -> None:
    bench = Twofold()
    bench.offer("B2")
    assert "close A2" in bench.leave()
    assert bench.status == "active"
    bench.offer("B3")
    bench.wait(2.6)
    assert bench.status == "sighted", "the link is silent and goes, who offered since stays"
    assert prove_successor(bench)
    bench.frame(Approve())
    assert bench.status == "active"


def test_a_stale_link_that_is_cleared_for_an_offer_makes_room_for_its_successor() -> None:
    bench = Twofold()
    bench.main_event(PathChanged(PathState.FAILED))
    bench.wait(4.0)
    bench.main_frame(Pong(t=1))
    bench.wait(1.0)
    bench.offer("B2")
    bench.wait(28.9)
    assert bench.offer("B2.2") == ["close A1", "close A2", "answer A3 to B2.2"]
    assert bench.status == "sighted"


# ── several offers ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_its_offer_again_is_answered_again_and_a_copy_is_not() -> None:
    bench = Twofold()
    bench.offer("B2")
    assert bench.offer("B2.2") == ["answer A2.2 to B2.2"]
    assert bench.offer("B2.2") == []
    assert bench.open_sessions == 2


def test_the_newest_offer_counts() -> None:
    bench = Twofold()
    bench.offer("B2")
    assert bench.offer("B3") == ["close A2", "answer A3 to B3"]
    bench.answer("B2")
    assert bench.open_sessions == 2


def test_candidates_are_for_both() -> None:
    bench = Twofold()
    bench.offer("B2")
    assert bench.candidate("late") == ["add candidate late", "add candidate late"]


def test_ours_are_told_as_they_come() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.event(LocalCandidate(Candidate("candidate:1 1 udp 1 a 1 typ host")))
    bench.event(GatheringDone())
    assert any(diag.message == "gathering done" for diag in bench.diags)


# ── we offer ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_named", [True, False])
def test_a_fresh_process_is_offered_a_transport_beside_the_mute_one(is_named: bool) -> None:
    bench = offered_anew()
    assert bench.status == "active"
    assert bench.answer("B2", bench.offer_ids[-1] if is_named else "") == ["apply B2"]
    prove_successor(bench)
    bench.frame(Approve())
    assert bench.status == "active"
    assert bench.open_sessions == 1


def test_an_answer_to_the_link_is_none_to_its_successor() -> None:
    bench = offered_anew()
    assert bench.answer("B1.2") == []
    assert bench.answer("B2") == ["apply B2"]


def test_an_unanswered_one_is_offered_again_and_nothing_of_the_link() -> None:
    bench = offered_anew()
    words = bench.wait(7.0)
    assert [word for word in words if word.startswith("offer")] == ["offer A2.2"]
    bench.main_event(PathChanged(PathState.DISCONNECTED))
    assert not any(word.startswith("offer A1") for word in bench.wait(10.0))


def test_the_same_process_again_brings_the_same_offer() -> None:
    bench = offered_anew()
    bench.wait(3.0)
    bench.announce(again=True)
    words = bench.wait(3.0)
    assert not any(word.startswith(("offer A3", "close")) for word in words)


def test_another_process_in_its_place_gets_another_transport() -> None:
    bench = offered_anew()
    bench.answer("B2", bench.offer_ids[-1])
    bench.announce()
    assert bench.wait(1.0) == ["close A2", "offer A3"]
    assert bench.status == "active"


def test_a_successor_whose_channel_stays_mute_is_replaced_for_a_newcomer() -> None:
    bench = offered_anew()
    bench.answer("B2", bench.offer_ids[-1])
    bench.open_channel()
    bench.announce()
    assert "offer A3" in bench.wait(1.0)


def test_an_id_that_does_so_all_the_time_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = offered_anew()
    bench.answer("B2", bench.offer_ids[-1])
    bench.announce()
    bench.wait(0.69)
    monkeypatch.setattr(PeerMemory, "may_open_link", lambda *_: False)
    assert "offer A3" not in bench.wait(0.02)


def test_both_offer_another_transport_and_the_peer_gives_way() -> None:
    bench = offered_anew()
    bench.wait(2.0)
    theirs = new_offer_id(bench.peer_id, bench.us.device_id, random.Random(2))
    words = bench.offer("B2", theirs) + bench.wait(5.0)
    assert not any(word.startswith("answer") for word in words)
    assert "offer A2.2" in words


def test_both_offer_and_v0_3_8_never_gives_way() -> None:
    bench = offered_anew()
    assert bench.offer("B2") == []
    assert bench.wait(2.4) == []
    assert bench.wait(0.2) == ["close A2", "answer A3 to B2"]
    assert bench.status == "active"


def test_an_offer_held_for_the_first_answer_is_then_built_beside() -> None:
    bench = Bench("lower", OPEN)
    bench.announce()
    bench.answer("B1")
    bench.open_channel()
    bench.hello()
    bench.proof()
    bench.frame(Approve())
    bench.take()
    assert bench.offer("B2") == ["ping"]
    assert bench.wait(0.6) == ["answer A2 to B2"]
    assert bench.status == "active"


# ── our network changes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_move_restarts_one_that_was_answered_beside_its_link() -> None:
    bench = Twofold()
    bench.offer("B2")
    bench.network(Move.MOVED)
    words = bench.relay_up()
    assert [word for word in words if word.startswith("offer")] == ["offer A1.2 r2", "offer A2.2 r2"]
    assert bench.has_successor


def test_a_path_that_goes_down_is_restarted_only_when_the_peers_new_offer_came_to_nothing() -> None:
    bench = Twofold("lower")
    assert bench.offer("B2") == ["answer A2 to B2"]
    assert restarts(bench.main_event(PathChanged(PathState.DISCONNECTED))) == []
    assert restarts(bench.wait(SUCCESSOR_FIRST_S + ANSWER_MARGIN_S - 0.1)) == []
    assert restarts(bench.wait(0.2)) == ["offer A1.2 r2"]


def test_forged_offers_put_a_restart_off_only_once() -> None:
    bench = Twofold("higher")
    bench.offer("F2")
    bench.main_event(PathChanged(PathState.DISCONNECTED))
    offered: list[str] = []
    for number in range(3, 20):
        bench.offer(f"F{number}")
        offered += restarts(bench.wait(0.5))
    assert "offer A1.2 r2" in offered


def test_a_move_ends_one_that_nobody_has_answered() -> None:
    bench = offered_anew()
    bench.network(Move.MOVED)
    words = bench.relay_up()
    assert "close A2" in words
    assert not bench.has_successor
    assert bench.status == "active"
