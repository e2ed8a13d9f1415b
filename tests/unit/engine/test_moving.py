"""This machine's network changes, or it sleeps: relays first, then links in place (spec 04 §7.7, §15 no. 6, 7, 9)."""

from __future__ import annotations

import pytest

from myownmesh.engine.actions import RedialRelays
from myownmesh.engine.links import ChannelClosed, PathChanged, PathState
from myownmesh.engine.moves import Move
from myownmesh.engine.timers import LinkTimer, NetworkTimer, PeerTimer, Timers
from myownmesh.engine.timing import DOUBT_WAIT_S, RELAY_WAIT_S, WAKE_COALESCE_S
from myownmesh.protocol.frames import Ping, Pong
from myownmesh.protocol.signals import TwinHeard
from unit.engine.bench import Bench

ROLES = ("lower", "higher")
CHANGES = (Move.MOVED, Move.ONLINE)


def live(me: str = "lower") -> Bench:
    """A link that is up and was negotiated a while ago."""
    bench = Bench("lower" if me == "lower" else "higher").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.frame(Pong(t=1))
    bench.wait(5.0)
    bench.actions.clear()
    return bench


def asked(bench: Bench) -> list[bool]:
    """How the relays were redialled: True for those that are mute alone."""
    return [action.if_mute for action in bench.actions if isinstance(action, RedialRelays)]


def offers(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith("offer")]


def sleep(bench: Bench, seconds: float) -> list[str]:
    """The process stands still; then everything that is due happens at once."""
    bench.take()
    bench.mono += seconds
    bench.engine.handle_timer(bench.now)
    return bench.collect()


# ── moves ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("me", ROLES)
@pytest.mark.parametrize("move", CHANGES)
def test_relays_come_first_and_then_the_link_is_restarted_from_either_side(me: str, move: Move) -> None:
    bench = live(me)
    assert bench.network(move) == []
    assert asked(bench) == [True]
    bench.wait(0.2)
    words = bench.relay_up()
    assert len(offers(words)) == 1
    assert "announce" in words
    assert bench.status == "active"
    assert bench.diags[-1].detail is not None
    assert {"prev": "before", "next": "after"} in [diag.detail for diag in bench.diags if diag.category == "network"]
    assert offers(bench.relay_up()) == [], "once is enough"


def test_without_a_relay_the_links_wait_no_longer_than_fifteen_seconds_and_are_offered_again_with_one() -> None:
    bench = live()
    bench.network(Move.MOVED)
    assert offers(bench.wait(RELAY_WAIT_S - 0.1)) == []
    assert len(offers(bench.wait(0.2))) == 1
    bench.wait(10.0)
    assert len(offers(bench.relay_up())) == 1, "those offers were written to nobody"


def test_where_no_relay_is_nothing_waits_for_one() -> None:
    bench = live()
    bench.network(Move.MOVED)
    bench.engine.has_no_relays(bench.now)
    assert len(offers(bench.collect())) == 1
    bench.engine.leave(bench.now)
    bench.collect()
    bench.engine.has_no_relays(bench.now)
    assert bench.collect() == []


def test_an_offer_of_the_former_network_delays_none_of_the_new_one() -> None:
    bench = live()
    for _ in range(2):
        bench.network(Move.MOVED)
        assert len(offers(bench.relay_up())) == 1
        bench.wait(0.1)


def test_who_is_wanted_back_is_dialled_at_once() -> None:
    bench = live()
    bench.event(ChannelClosed("gone"))
    bench.wait(60.0)
    bench.event(ChannelClosed("again"))
    bench.network(Move.MOVED)
    assert len(offers(bench.relay_up())) == 1


def test_an_attempt_that_nobody_answered_begins_anew_with_the_addresses_of_today() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.network(Move.MOVED)
    words = bench.relay_up()
    assert words[:2] == ["close A1", "offer A2"]
    assert bench.status == "sighted"


def test_an_attempt_under_way_is_restarted_over_its_transport() -> None:
    for me in ROLES:
        bench = Bench("lower" if me == "lower" else "higher").up_to("pending")
        bench.network(Move.MOVED)
        assert len(offers(bench.relay_up())) == 1
        assert bench.status == "pending_approval"


def test_an_attempt_whose_offer_is_still_read_is_left_alone() -> None:
    bench = Bench("higher", obedient=False)
    bench.offer("B1")
    bench.network(Move.MOVED)
    assert offers(bench.relay_up()) == []
    assert bench.status == "sighted"


def test_placeholders_are_nobody_to_renew() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.network(Move.MOVED)
    assert offers(bench.relay_up()) == []


# ── other addresses ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_when_other_addresses_come_or_go_only_a_mute_link_is_restarted() -> None:
    answers, mute = live(), live()
    for bench in (answers, mute):
        assert bench.network(Move.SHIFTED) == ["ping"]
        assert asked(bench) == [True]
    answers.frame(Pong(t=1))
    assert offers(answers.wait(3.0)) == []
    assert len(offers(mute.wait(DOUBT_WAIT_S + 0.01))) == 1


def test_a_slow_link_has_three_round_trips() -> None:
    bench = live()
    bench.wait_until(1030.0)
    ping = next(frame for frame in reversed(bench.frames) if isinstance(frame, Ping))
    bench.mono += 0.4
    bench.frame(Pong(t=ping.t))
    bench.network(Move.SHIFTED)
    assert offers(bench.wait(1.1)) == []
    assert len(offers(bench.wait(0.2))) == 1


# ── offline ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_offline_no_attempt_ends_and_its_time_goes_on_afterwards() -> None:
    bench = Bench("higher").up_to("connecting")
    bench.wait(20.0)
    bench.network(Move.OFFLINE)
    assert bench.wait(600.0) == []
    assert bench.status == "sighted"
    assert bench.info.why is not None
    assert (bench.info.why.code, bench.info.why.since_ms, bench.info.why.next) == ("offline", 600_000, None)
    bench.network(Move.ONLINE)
    bench.wait(9.9)
    assert bench.status == "sighted"
    bench.wait(0.2)
    assert bench.status == "dropped ice_failed"


def test_offline_nobody_is_retried_and_the_window_of_the_loss_waits() -> None:
    bench = live()
    bench.event(ChannelClosed("gone"))
    bench.network(Move.OFFLINE)
    assert bench.wait(600.0) == []
    bench.network(Move.ONLINE)
    assert len(offers(bench.relay_up())) == 1


def test_offline_silence_says_nothing_and_afterwards_it_has_its_time() -> None:
    bench = live()
    bench.network(Move.OFFLINE)
    assert bench.wait(600.0) == []
    assert bench.status == "active"
    bench.network(Move.ONLINE)
    bench.relay_up()
    bench.event(PathChanged(PathState.CONNECTED))
    bench.frame(Pong(t=1))
    bench.wait(60.0)
    assert bench.status == "active"


def test_a_relay_of_this_machine_ends_no_outage_but_a_peer_of_it_does() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.network(Move.OFFLINE)
    bench.relay_up()
    bench.offer("B1")
    assert bench.info.why is not None
    assert bench.info.why.code == "offline", "it may have been read as the network went"
    bench.wait(2.0)
    bench.offer("B1.2")
    assert bench.info.why is not None
    assert bench.info.why.code != "offline"


def test_however_often_it_is_said_offline_is_told_once() -> None:
    bench = live()
    for _ in range(3):
        bench.network(Move.OFFLINE)
        bench.wait(1.0)
    told = [diag for diag in bench.diags if diag.category == "network"]
    assert [(diag.message, diag.detail) for diag in told] == [("offline", {"prev": "before"})]


def test_what_is_asked_for_offline_waits_too() -> None:
    bench = live()
    bench.network(Move.OFFLINE)
    bench.engine.reconnect(None, bench.now)
    assert bench.collect() == []
    bench.network(Move.MOVED)
    bench.network(Move.OFFLINE)
    assert offers(bench.wait(RELAY_WAIT_S + 1.0)) == []


# ── sleep ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def woken(bench: Bench, seconds: float = 600.0) -> list[str]:
    bench.engine.woken(seconds, bench.now)
    return bench.collect()


def test_after_a_sleep_we_say_that_we_are_here_ask_the_relays_and_the_links() -> None:
    bench = live()
    assert woken(bench) == ["announce", "ping"]
    assert asked(bench) == [True]
    bench.frame(Pong(t=1))
    assert offers(bench.wait(20.0)) == []
    assert bench.status == "active"
    assert [diag.detail for diag in bench.diags if diag.category == "network"] == [{"slept_ms": 600_000}]


def test_a_link_that_did_not_survive_the_sleep_is_restarted() -> None:
    bench = live()
    woken(bench)
    assert len(offers(bench.wait(DOUBT_WAIT_S + 0.01))) == 1
    assert bench.status == "active"


def test_a_sleep_that_is_noticed_twice_is_one() -> None:
    bench = live()
    assert woken(bench) != []
    bench.wait(WAKE_COALESCE_S / 2)
    assert woken(bench) == []
    bench.wait(WAKE_COALESCE_S)
    assert woken(bench) != []


def test_a_heartbeat_that_comes_far_too_late_is_a_waking() -> None:
    bench = live()
    words = sleep(bench, 100.0)
    assert (words.count("announce"), words.count("ping")) == (1, 1)
    assert asked(bench) == [True]
    assert bench.status == "active", "its frames may still be unread"
    bench.frame(Pong(t=1))
    bench.wait(20.0)
    assert bench.status == "active"


def test_after_a_sleep_without_a_network_nobody_is_asked() -> None:
    bench = live()
    bench.network(Move.OFFLINE)
    assert woken(bench) == ["announce"]
    assert bench.wait(60.0) == []


def test_who_stands_aside_for_another_with_its_name_says_nothing_after_a_sleep() -> None:
    bench = live()
    bench.signal(TwinHeard(bench.us.device_id, True))
    assert woken(bench) == []


def test_whoever_leaves_heeds_nothing_of_it() -> None:
    bench = live()
    bench.engine.leave(bench.now)
    bench.collect()
    bench.actions.clear()
    assert [*bench.network(Move.MOVED), *woken(bench), *bench.relay_up()] == []
    assert asked(bench) == []


# ── relays that come up by themselves ─────────────────────────────────────────────────────────────────────────────────


def test_a_relay_that_comes_up_brings_the_restart_of_a_path_that_is_down() -> None:
    bench = live()
    bench.event(PathChanged(PathState.DISCONNECTED))
    bench.wait(20.0)
    assert len(offers(bench.relay_up())) == 1


def test_a_relay_that_comes_up_leaves_a_path_that_works() -> None:
    bench = live()
    assert offers(bench.relay_up()) == []


# ── timers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_held_offline_has_as_long_afterwards_as_it_had_left() -> None:
    timers = Timers()
    timers.set(LinkTimer.CHANNEL_OPEN, "p", 110.0)
    timers.set(NetworkTimer.HEARTBEAT, "", 120.0)
    timers.set(PeerTimer.LINGER, "p", 130.0)
    timers.hold(100.0)
    timers.hold(105.0)
    timers.set(LinkTimer.REOFFER, "p", 140.0)
    timers.set(LinkTimer.HELLO, "p", 900.0)
    timers.set(LinkTimer.PROBE, "p", 150.0)
    timers.cancel(LinkTimer.PROBE, "p")
    assert timers.is_set(LinkTimer.CHANNEL_OPEN, "p")
    assert timers.when(LinkTimer.CHANNEL_OPEN, "p") is None
    assert not timers.is_set(LinkTimer.PROBE, "p")
    assert timers.pop_due(500.0) == (NetworkTimer.HEARTBEAT, "")
    assert timers.pop_due(500.0) == (PeerTimer.LINGER, "p")
    assert timers.pop_due(500.0) is None
    timers.release(600.0)
    assert timers.when(LinkTimer.CHANNEL_OPEN, "p") == 610.0
    assert timers.when(LinkTimer.REOFFER, "p") == 600.0
    assert timers.when(LinkTimer.HELLO, "p") == 900.0
    timers.release(700.0)
    assert timers.when(LinkTimer.CHANNEL_OPEN, "p") == 610.0


def test_what_is_held_for_a_successor_is_held_for_the_link_that_it_becomes() -> None:
    timers = Timers()
    timers.set(LinkTimer.CHANNEL_OPEN, "p/2", 110.0)
    timers.set(LinkTimer.HELLO, "p", 110.0)
    timers.hold(100.0)
    timers.rename_link("p/2", "p")
    timers.release(200.0)
    assert timers.when(LinkTimer.CHANNEL_OPEN, "p") == 210.0
    assert timers.pop_due(300.0) == (LinkTimer.CHANNEL_OPEN, "p")
    assert timers.pop_due(300.0) is None


def test_what_is_held_can_be_cancelled_with_its_link_and_with_everything() -> None:
    timers = Timers()
    timers.hold(100.0)
    for owner in ("one", "other"):
        timers.set(LinkTimer.REOFFER, owner, 1.0)
        timers.set(PeerTimer.DIAL_ANYWAY, owner, 1.0)
    timers.cancel_link("one")
    timers.cancel_all(PeerTimer.DIAL_ANYWAY)
    timers.release(100.0)
    assert [timers.pop_due(100.0), timers.pop_due(100.0)] == [(LinkTimer.REOFFER, "other"), None]
    timers.hold(100.0)
    timers.set(LinkTimer.REOFFER, "one", 1.0)
    timers.clear()
    timers.release(100.0)
    assert timers.pop_due(1e9) is None
