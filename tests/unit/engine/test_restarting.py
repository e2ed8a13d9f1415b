"""Restarts in place: who offers them when, what confirms them, what ends them (spec 04 §7.1–7.4, §7.8, §10.11)."""

from __future__ import annotations

import random

import pytest

from mesh_common.events import PeerDropped
from myownmesh.engine.links import NegotiationFailed, PathChanged, PathState, SdpType
from myownmesh.engine.memory import PeerMemory
from myownmesh.engine.moves import Move
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Pong
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import AnswerReceived
from unit.engine.bench import Bench

UP = PathChanged(PathState.CONNECTED)
DOWN = PathChanged(PathState.DISCONNECTED)
FAILED = PathChanged(PathState.FAILED)
CHECKING = PathChanged(PathState.CHECKING, PathState.CONNECTED)
CHECKING_DOWN = PathChanged(PathState.CHECKING, PathState.DISCONNECTED)


def live(me: str = "lower") -> Bench:
    """A link that works, and whose last offer is some seconds old."""
    bench = Bench("lower" if me == "lower" else "higher").up_to("active")
    bench.event(UP)
    bench.wait(3.0)
    bench.frame(Pong(t=1))
    bench.take()
    return bench


def offers(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith("offer")]


def reconnect(bench: Bench) -> list[str]:
    bench.engine.reconnect(bench.peer_id, bench.now)
    return bench.collect()


def network_change(bench: Bench) -> list[str]:
    return bench.network(Move.MOVED) + bench.relay_up()


def told(bench: Bench) -> list[str]:
    """The triggers of the restarts that were offered."""
    return [str(diag.detail["trigger"]) for diag in bench.diags if diag.detail and "ice_before" in diag.detail]


def id_of_theirs(bench: Bench) -> str:
    """Of an offer by a peer of our kind."""
    return new_offer_id(bench.peer_id, bench.us.device_id, random.Random(9))


# ── who offers, and when ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_lower_side_restarts_a_path_that_is_down_at_once() -> None:
    bench = live("lower")
    assert bench.event(DOWN) == ["offer A1.2 r2"]
    assert told(bench) == ["ice-disconnected-watchdog"]
    assert bench.info.tier.kind == "ice_restart"


def test_the_higher_side_waits_a_second_for_the_lower_one() -> None:
    bench = live("higher")
    assert bench.event(DOWN) == []
    assert bench.wait(0.9) == []
    assert bench.wait(0.2) == ["offer A1.2 r2"]


def test_an_offer_of_the_lower_one_in_that_second_is_the_restart() -> None:
    bench = live("higher")
    bench.event(DOWN)
    bench.wait(0.5)
    assert bench.offer("B1.2 r2") == ["answer A1.2 r2 to B1.2 r2"]
    assert offers(bench.wait(5.0)) == []


def test_a_path_that_comes_back_in_that_second_is_left_alone() -> None:
    bench = live("higher")
    bench.event(DOWN)
    bench.wait(0.5)
    assert bench.event(UP) == ["ping"]
    bench.frame(Pong(t=1))
    assert offers(bench.wait(20.0)) == []


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_who_is_asked_restarts_a_path_that_works(me: str) -> None:
    bench = live(me)
    assert offers(reconnect(bench)) == ["offer A1.2 r2"]
    assert told(bench) == ["manual-reconnect"]


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_who_sees_the_network_move_restarts_every_link(me: str) -> None:
    assert network_change(live(me)) == ["announce", "offer A1.2 r2"]


def test_offers_of_one_link_are_two_seconds_apart() -> None:
    bench = live()
    reconnect(bench)
    bench.answer("B1.2 r2")
    bench.event(UP)
    bench.frame(Pong(t=1))
    assert offers(reconnect(bench)) == []
    assert offers(bench.wait(1.9)) == []
    assert offers(bench.wait(0.2)) == ["offer A1.3 r3"]


def test_a_live_peer_that_announces_itself_over_a_dead_path_gets_a_restart() -> None:
    """Spec 04 §5.3 step 5: the answering side of v0.3.8 has no other way to ask for one."""
    bench = live("lower")
    bench.event(DOWN)
    bench.answer("B1.2 r2")
    bench.event(PathChanged(PathState.FAILED, PathState.FAILED))
    bench.answer("B1.3 r3")
    bench.wait(29.9)
    bench.frame(Pong(t=1))
    bench.wait(0.2)  # the restart has come to nothing
    before = len(told(bench))
    bench.announce(again=True)
    assert told(bench)[before:] == ["announce-unhealthy"]


def test_nothing_is_restarted_offline() -> None:
    bench = live()
    bench.network(Move.OFFLINE)
    assert bench.event(DOWN) == []
    assert offers(reconnect(bench)) == []
    assert offers(bench.relay_up()) == []
    assert offers(bench.wait(60.0)) == []


def test_nothing_is_repeated_or_given_up_offline() -> None:
    bench = live()
    bench.event(DOWN)
    bench.network(Move.OFFLINE)
    assert offers(bench.wait(45.0)) == []
    assert bench.status == "active"
    bench.network(Move.ONLINE)
    bench.wait(45.1)
    assert [drop.reason.kind for drop in bench.named(PeerDropped)] == ["ice_failed"]


@pytest.mark.parametrize("event", [DOWN, FAILED])
def test_answered_checks_are_left_alone(event: PathChanged) -> None:
    bench = live("lower")
    bench.event(event)
    bench.answer("B1.2 r2")
    bench.event(PathChanged(PathState.CHECKING, event.state))
    bench.announce(again=True)
    assert not any("r3" in word for word in offers(bench.wait(20.0)))


def test_checks_that_fail_are_followed_by_another_restart() -> None:
    bench = live("lower")
    bench.event(DOWN)
    bench.answer("B1.2 r2")
    bench.event(CHECKING_DOWN)
    bench.announce(again=True)
    bench.wait(20.0)
    assert bench.event(PathChanged(PathState.FAILED, PathState.DISCONNECTED)) == ["offer A1.4 r3"]


def test_checks_from_an_address_that_is_gone_are_not_waited_for() -> None:
    bench = live("lower")
    network_change(bench)
    bench.answer("B1.2 r2")
    bench.event(CHECKING)
    assert offers(network_change(bench)) == []
    assert offers(bench.wait(1.9)) == []
    assert offers(bench.wait(0.2)) == ["offer A1.3 r3"]


def test_a_change_during_checks_that_end_well_is_restarted_right_then() -> None:
    bench = live("lower")
    network_change(bench)
    bench.wait(1.9)
    bench.answer("B1.2 r2")
    bench.event(CHECKING)
    network_change(bench)
    bench.wait(0.3)
    assert bench.event(UP) == ["ping", "offer A1.3 r3"]


# ── what becomes of it ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_over_the_new_path_confirms_it() -> None:
    bench = live()
    network_change(bench)
    assert bench.answer("B1.2 r2") == ["apply B1.2 r2"]
    bench.event(CHECKING)
    assert bench.event(UP) == ["ping"]
    assert bench.info.tier.kind == "ice_restart"
    bench.frame(Pong(t=1))
    assert bench.info.tier.kind == "steady"
    bench.wait(29.0)
    assert bench.status == "active"
    assert any("carries frames" in diag.message for diag in bench.diags)


def test_a_frame_over_the_old_path_confirms_nothing() -> None:
    bench = live()
    network_change(bench)
    bench.answer("B1.2 r2")
    bench.event(CHECKING)
    bench.frame(Pong(t=1))
    assert not any("carries frames" in diag.message for diag in bench.diags)
    bench.event(UP)
    bench.wait(5.0)
    assert bench.info.tier.kind == "ice_restart"
    bench.frame(Pong(t=1))
    assert any("carries frames" in diag.message for diag in bench.diags)


def test_over_a_new_path_that_carries_nothing_another_link_is_offered_after_ten_seconds() -> None:
    bench = live()
    bench.event(DOWN)
    bench.answer("B1.2 r2")
    bench.event(CHECKING_DOWN)
    bench.wait(3.0)
    bench.event(UP)
    assert offers(bench.wait(9.9)) == []
    assert offers(bench.wait(0.2)) == ["offer A2"]
    assert bench.status == "active", "it may only be slow"
    assert bench.info.why is not None
    assert bench.info.why.code == "rebuilding"
    assert bench.info.why.next is not None
    assert bench.answer("B2", bench.offer_ids[-1]) == ["apply B2"]
    bench.open_channel()
    bench.hello("n2")
    assert "close A1" in bench.proof()


def test_a_peer_that_answers_late_over_a_new_path_keeps_its_link() -> None:
    bench = live()
    first = bench.epoch
    bench.event(DOWN)
    bench.answer("B1.2 r2")
    bench.event(CHECKING_DOWN)
    bench.event(UP)
    bench.wait(25.0)
    bench.engine.receive_frame(bench.peer_id, first, encode_frame(Pong(t=1)), bench.now)
    bench.collect()
    assert bench.info.why is None
    bench.wait(20.0)
    assert bench.status == "active"
    assert bench.named(PeerDropped) == []


def test_an_id_that_opens_too_many_links_is_offered_none_then(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = live()
    bench.event(DOWN)
    bench.answer("B1.2 r2")
    bench.event(CHECKING_DOWN)
    bench.event(UP)
    bench.wait(9.99)
    monkeypatch.setattr(PeerMemory, "may_open_link", lambda *_: False)
    assert offers(bench.wait(0.02)) == []
    assert bench.status == "active"


def test_a_restart_that_nobody_answers_is_made_again_and_given_up_after_half_a_minute() -> None:
    bench = live()
    bench.event(DOWN)
    begin = bench.mono
    at = []
    while bench.status == "active" and bench.mono < begin + 40.0:
        at += [round(bench.mono - begin) for _ in offers(bench.wait(0.5))][:1]
    assert at == [2, 6, 14, 22, 30][: len(at)]
    assert bench.status == "dropped ice_failed"
    assert 29.9 < bench.mono - begin <= 30.5


def test_repeats_stop_when_the_old_path_comes_back() -> None:
    bench = live()
    bench.event(DOWN)
    bench.event(CHECKING)
    bench.frame(Pong(t=1))
    assert offers(bench.wait(28.0)) == []
    bench.wait(5.0)
    assert bench.status == "active"


def test_a_link_whose_old_path_works_outlives_a_restart_that_comes_to_nothing() -> None:
    """Whoever is slow to send a frame is not dropped for it: silence has its own limit."""
    bench = live()
    network_change(bench)
    bench.event(CHECKING)
    bench.wait(29.0)
    bench.event(PathChanged(PathState.FAILED, PathState.CONNECTED))
    bench.wait(10.0)
    assert bench.status == "active"
    assert bench.info.selected_pair is None or bench.info.status == "active"


def test_an_offer_that_cannot_be_built_is_tried_again() -> None:
    bench = live()
    bench.obedient = False
    network_change(bench)
    bench.event(NegotiationFailed(SdpType.OFFER, local=True, error="no socket"))
    bench.obedient = True
    assert offers(bench.wait(2.1)) == ["offer A1.2 r2"]


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_without_new_credentials_brings_the_offer_again_after_two_seconds() -> None:
    """Spec 04 §10.11: v0.3.8 refuses a restart while it gathers, and answers with what it had."""
    bench = live()
    network_change(bench)
    bench.answer("B1.2")
    bench.event(NegotiationFailed(SdpType.ANSWER, local=False, error="the peer did not restart ICE"))
    assert offers(bench.wait(1.9)) == []
    assert offers(bench.wait(0.2)) == ["offer A1.3 r3"]


def test_a_late_answer_to_an_offer_of_other_credentials_is_ignored() -> None:
    bench = live()
    bench.engine.reconnect(None, bench.now)
    bench.collect()
    first = bench.offer_ids[-1]
    bench.offer("B1.2 r2")  # rolls ours back
    bench.event(UP)
    bench.frame(Pong(t=1))
    bench.wait(3.0)
    network_change(bench)
    assert bench.answer("B1.3 r3", first) == []
    assert bench.answer("B1.4 r4", bench.offer_ids[-1]) == ["apply B1.4 r4"]


def test_a_repeated_offer_takes_the_answer_to_the_first_one() -> None:
    bench = live()
    bench.obedient = False
    network_change(bench)
    bench.obedient = True
    bench.describe(bench.epoch, SdpType.OFFER)
    bench.collect()
    first = bench.offer_ids[-1]
    bench.obedient = False
    bench.wait(2.1)
    bench.obedient = True
    bench.describe(bench.epoch, SdpType.OFFER)  # the session repeats the credentials of an open restart
    bench.collect()
    assert bench.answer("B1.2 r2", first) == ["apply B1.2 r2"]


def test_a_foreign_answer_changes_nothing() -> None:
    bench = live()
    network_change(bench)
    assert bench.answer("B7.2 r2") == []
    assert bench.answer("B1.2 r2") == ["apply B1.2 r2"]
    assert bench.status == "active"


def test_a_second_answer_changes_nothing() -> None:
    bench = live()
    network_change(bench)
    bench.answer("B1.2 r2", bench.offer_ids[-1])
    assert bench.answer("B1.3 r3", bench.offer_ids[-1]) == []


# ── both at once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_of_two_restarts_that_cross_the_lower_ones_counts() -> None:
    """Spec 04 §5.9 row 3. Each would otherwise answer an offer that its maker has given up."""
    low, high = live("lower"), live("higher")
    network_change(low)
    network_change(high)
    assert low.offer("B1.2 r2", id_of_theirs(low)) == []
    assert high.offer("B1.2 r2", id_of_theirs(high)) == ["answer A1.3 r3 to B1.2 r2"]


def test_a_peer_that_never_rolls_back_gets_its_answer() -> None:
    bench = live("lower")
    network_change(bench)
    assert bench.offer("B1.2 r2") == ["answer A1.3 r3 to B1.2 r2"]
    assert offers(bench.wait(25.0)) == [], "with its new credentials ours are new, too"


def test_a_restart_that_a_plain_offer_overtakes_is_made_again() -> None:
    bench = live("lower")
    network_change(bench)
    assert bench.offer("B1.2") == ["answer A1.3 r2 to B1.2"]
    assert offers(bench.wait(2.1)) == ["offer A1.4 r3"]


# ── the peer restarts ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_a_restart_of_the_peer_is_answered_on_the_same_transport(me: str) -> None:
    bench = live(me)
    assert bench.offer("B1.2 r2") == ["answer A1.2 r2 to B1.2 r2"]
    bench.event(CHECKING)
    assert bench.event(UP) == ["ping"]
    bench.frame(Pong(t=1))
    bench.wait(25.0)
    assert bench.status == "active"


def test_restarts_are_taken_at_a_bounded_rate() -> None:
    bench = live()
    answered = sum(bool(bench.offer(f"B1.{n} r{n}")) for n in range(2, 40))
    assert answered <= 4


def test_a_forged_restart_costs_the_link_nothing() -> None:
    bench = live()
    bench.offer("B1.2 r2")
    bench.event(CHECKING)
    bench.wait(31.0)
    bench.event(PathChanged(PathState.FAILED, PathState.CONNECTED))
    bench.wait(20.0)
    assert bench.status == "active"


def test_a_restart_of_one_link_leaves_others_alone() -> None:
    bench = live()
    bench.engine.reconnect("a" * 52, bench.now)
    assert offers(bench.collect()) == []


def test_an_answer_that_fails_when_nothing_is_restarted_any_more_changes_nothing() -> None:
    bench = live()
    network_change(bench)
    bench.answer("B1.2 r2")
    bench.event(CHECKING)
    bench.event(UP)
    bench.frame(Pong(t=1))
    bench.event(NegotiationFailed(SdpType.ANSWER, local=False, error="late"))
    assert offers(bench.wait(20.0)) == []


def test_an_answer_to_a_plain_offer_that_fails_asks_for_no_restart() -> None:
    bench = live()
    bench.event(NegotiationFailed(SdpType.ANSWER, local=False, error="late"))
    assert told(bench) == []


# ── answers to a transport that was given up ──────────────────────────────────────────────────────────────────────────


def rebuilt(waited: float = 0.0) -> Bench:
    """A fresh process announces itself while a restart offer to the former one is open: we offer a new transport."""
    bench = live("lower")
    network_change(bench)
    bench.wait(waited)
    bench.announce()
    bench.wait(0.2)
    assert bench.offer_ids
    return bench


def test_an_answer_that_may_be_to_the_former_transport_is_held_until_the_next() -> None:
    bench = rebuilt()
    assert bench.answer("B2") == []
    assert bench.answer("B2") == []
    assert bench.answer("B3") == ["apply B3"]
    bench.wait(2.0)
    assert bench.answer("B2.2") == []
    assert bench.status == "active"


def test_without_another_it_was_the_one() -> None:
    bench = rebuilt()
    assert bench.answer("B2") == []
    assert bench.wait(1.4) == ["apply B2"]


def test_one_without_a_certificate_is_forgotten_for_the_next() -> None:
    bench = rebuilt()
    bench.signal(AnswerReceived(bench.peer_id, "v=0\r\ns=B2\r\n", ""))
    assert bench.answer("B3") == ["apply B3"]


@pytest.mark.parametrize("name_it", [True, False])
def test_one_that_names_its_offer_or_comes_long_after_the_former_is_taken(name_it: bool) -> None:
    bench = rebuilt(0.0 if name_it else 1.5)
    assert bench.answer("B2", bench.offer_ids[-1] if name_it else "") == ["apply B2"]
