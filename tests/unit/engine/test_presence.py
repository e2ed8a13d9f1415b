"""Announces and leaves: whom to answer, whom to dial, whom to believe (spec 04 §5.3, §5.7, §7.5; 03 §12.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh_common.events import PeerSighted
from myownmesh.engine import EngineConfig
from myownmesh.engine.links import ChannelClosed, PathChanged, PathState
from myownmesh.protocol.frames import Ping, Pong
from myownmesh.protocol.modes import FullMesh, Ring, Star
from myownmesh.protocol.signals import PeerAnnounced, PeerLeft, StaleAnnounce
from unit.engine.bench import Bench

if TYPE_CHECKING:
    from myownmesh.protocol.modes import TopologyMode

SILENT = EngineConfig(kind="silent")


def answer_ping(bench: Bench) -> None:
    [*_, ping] = [frame for frame in bench.frames if isinstance(frame, Ping)]
    bench.frame(Pong(t=ping.t))


def live(me: str = "lower") -> Bench:
    """A link that has been up for a while."""
    bench = Bench("lower" if me == "lower" else "higher").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.wait(3.0)
    bench.raw(b'{"kind":"pong","t":1}')
    return bench


def test_a_lower_peer_that_does_not_offer_is_dialled_once_in_thirty_seconds() -> None:
    bench = Bench("higher")
    bench.announce()
    assert bench.status == "sighted"
    assert bench.wait(3.0) == ["offer A1"]
    bench.wait(27.5)
    bench.event(ChannelClosed("nobody there"))
    bench.announce()
    assert "offer A2" not in bench.wait(2.0), "3 s, and 30 s since the last dial"
    assert "offer A2" in bench.wait(1.5)


def test_an_offer_in_time_stops_the_dial() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.wait(2.9)
    bench.offer("B1")
    assert "offer" not in " ".join(bench.wait(5.0))


def test_who_was_here_before_us_and_is_kept_apart_by_the_shape_is_noted_and_not_answered() -> None:
    bench = Bench("lower", EngineConfig(topology=Star(hub="z" * 52)))
    assert bench.announce(again=True) == []
    assert bench.status == "sighted"
    assert Bench("lower").announce(again=True) == ["announce", "offer A1"], "wanted, it hears us"


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_nobody_is_dialled_on_a_silent_network(me: str) -> None:
    bench = Bench("lower" if me == "lower" else "higher", SILENT)
    assert bench.announce() == ["announce"]
    assert bench.status == "sighted"
    assert bench.engine.phase == "discovering"
    assert bench.wait(300.0) == []
    assert len(bench.events) == 2, "sighted and the phase, once"


def test_a_silent_network_answers_offers_and_dials_on_command() -> None:
    assert "answer A1 to B1" in Bench("lower", SILENT).offer("B1")
    bench = Bench("higher", SILENT)
    bench.announce()
    assert "offer A1" in bench.connect()


@pytest.mark.parametrize("me", ["lower", "higher"])
@pytest.mark.parametrize("topology", [FullMesh(), Ring()])
def test_whoever_only_listens_shows_itself_to_nobody_until_it_is_told_to_dial(me: str, topology: TopologyMode) -> None:
    """Spec 04 §6.7: neither its role nor DIAL_ANYWAY nor the shape has it dial; its announces the signaling keeps."""
    bench = Bench("lower" if me == "lower" else "higher", EngineConfig(listens_only=True, topology=topology))
    assert bench.announce() == ["announce"]
    assert bench.wait(300.0) == []
    assert bench.status == "sighted"
    assert "offer A1" in bench.connect()


def test_whoever_only_listens_waits_for_the_lower_side_when_a_link_is_lost() -> None:
    bench = Bench("higher", EngineConfig(listens_only=True))
    bench.connect()
    bench.up_to("active")
    bench.event(ChannelClosed("lost"))
    assert not [each for each in bench.wait(60.0) if each.startswith("offer")]
    assert [each for each in bench.offer("B1") if each.startswith("answer")]


def test_whoever_only_listened_dials_who_was_noted_when_it_may_speak() -> None:
    bench = Bench("lower", EngineConfig(listens_only=True))
    bench.announce()
    bench.engine.configure(EngineConfig(), bench.now)
    assert "offer A1" in bench.collect()


def test_noted_peers_are_dialled_when_the_network_stops_being_silent() -> None:
    bench = Bench("lower", SILENT)
    bench.announce()
    bench.engine.configure(EngineConfig(), bench.now)
    assert "offer A1" in bench.collect()


def test_an_idle_link_is_nudged_not_reflected() -> None:
    bench = live()
    assert bench.announce() == ["ping"]
    answer_ping(bench)
    assert bench.wait(1.0) == []


def test_a_link_that_waits_for_a_person_needs_no_reflection() -> None:
    bench = Bench("higher").up_to("pending")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.wait(120.0)
    assert bench.signal(PeerAnnounced(bench.peer_id, again=True)) == []
    assert bench.announce() == ["announce"], "a fresh process does not know us"
    bench.event(PathChanged(PathState.DISCONNECTED))
    bench.wait(10.0)
    assert bench.signal(PeerAnnounced(bench.peer_id, again=True)) == ["announce"]


def test_devices_without_a_link_do_not_answer_each_other_for_ever() -> None:
    bench = Bench("higher", EngineConfig(kind="silent"))
    assert bench.announce() == ["announce"]
    heard = []
    for _ in range(50):
        bench.wait(1.1)
        heard += bench.signal(PeerAnnounced(bench.peer_id, again=True))
    assert heard == ["announce"] * 2, "of all such devices together"
    bench.wait(1200.0)
    assert bench.signal(PeerAnnounced(bench.peer_id, again=True)) == ["announce"]
    bench.wait(1.1)
    assert bench.announce() == ["announce"], "newcomers are answered at once"


def test_a_mute_link_is_looked_at_closer() -> None:
    """The peer may be a fresh process. A plain re-offer tells; the link is not cut on suspicion."""
    bench = live("lower")
    assert bench.announce(again=True) == ["ping"]
    assert bench.wait(0.25) == ["offer A1.2"]
    assert bench.answer("B1.2") == ["apply B1.2"], "it knows this link"
    assert bench.status == "active"


def test_a_far_peer_gets_three_round_trips_to_answer() -> None:
    bench = live("lower")
    bench.announce(again=True)
    bench.mono += 0.3
    answer_ping(bench)
    assert bench.info.rtt_ms == 300
    bench.wait(3.0)
    bench.announce(again=True)
    assert bench.wait(0.85) == []
    assert bench.wait(0.1) == ["offer A1.2"]


def test_a_peer_that_restarts_right_after_the_meeting_is_looked_at_too() -> None:
    bench = Bench("lower").up_to("active")
    bench.mono += 0.5
    bench.announce(again=True)
    assert bench.wait(0.11) == ["offer A1.2"]


def test_a_fresh_process_gives_itself_away() -> None:
    bench = live("lower")
    bench.announce(again=True)
    bench.wait(0.25)
    assert bench.answer("B2") == ["offer A2"]
    assert bench.status == "active", "until the fresh one has proved itself"


def test_another_certificate_in_an_answer_is_a_forgery_while_frames_come() -> None:
    bench = live("lower")
    bench.announce(again=True)
    bench.wait(0.25)
    answer_ping(bench)
    assert bench.answer("B2") == []
    assert bench.status == "active"


def test_a_mute_link_gives_way_to_a_process_that_was_not_heard_before() -> None:
    """Its first announce tells: the offer that it gets is one that it can answer (spec 04 §5.3)."""
    bench = live("lower")
    assert bench.announce() == ["ping"]
    assert bench.wait(0.25) == ["offer A2"]
    assert bench.answer("B2", bench.offer_ids[-1]) == ["apply B2"]


def test_a_link_that_answers_the_ping_is_kept_whoever_announced_itself() -> None:
    bench = live("lower")
    bench.announce()
    answer_ping(bench)
    assert bench.wait(3.0) == []
    bench.announce(again=True)
    assert bench.wait(0.25) == ["offer A1.2"], "that was another announce"


def test_a_newcomer_that_repeats_its_announce_is_a_newcomer_still() -> None:
    bench = live("lower")
    bench.announce()
    bench.announce(again=True)
    assert bench.wait(0.25) == ["offer A2"]


def test_the_higher_side_lets_a_fresh_lower_one_find_it() -> None:
    bench = live("higher")
    bench.announce()
    assert bench.wait(0.25) == ["announce"]


def test_a_long_silent_link_is_probed() -> None:
    bench = live("higher")
    bench.wait(26.0)
    assert "ping" in bench.announce()
    bench.wait(1.4)
    assert bench.status == "active"
    assert bench.wait(0.2) == ["offer A1.2 r2"]
    assert bench.status == "active", "its path works, so it is slow and not gone"


def test_a_long_silent_link_without_a_path_is_given_up() -> None:
    bench = live("higher")
    bench.event(PathChanged(PathState.CHECKING))
    bench.wait(26.0)
    assert "ping" in bench.announce()
    assert "announce" in bench.wait(1.6)
    assert bench.status == "dropped heartbeat_timeout"


def test_an_answered_probe_leaves_the_link_alone() -> None:
    bench = live("higher")
    bench.wait(26.0)
    bench.announce()
    bench.wait(1.0)
    answer_ping(bench)
    bench.wait(5.0)
    assert bench.status == "active"


def test_a_probe_comes_with_one_ping_and_not_again_within_five_seconds() -> None:
    bench = live("higher")
    bench.wait(26.0)
    assert bench.announce().count("ping") == 1
    bench.wait(1.0)
    assert bench.announce() == []


def test_a_probe_pings_by_itself_where_the_announce_before_it_was_pinged_for() -> None:
    bench = live("higher")
    bench.wait(24.5)
    assert bench.announce().count("ping") == 1
    assert bench.wait(1.0).count("ping") == 0
    assert bench.announce().count("ping") == 1


def test_a_silent_link_over_a_dead_path_is_cleared() -> None:
    bench = live("lower")
    bench.event(PathChanged(PathState.FAILED))
    bench.wait(5.0)
    bench.frame(Pong(t=1))  # the restart is over with this, and the link lives on
    bench.wait(26.0)
    words = bench.announce()
    assert "close A1" in words
    assert "offer A2" in words


@pytest.mark.parametrize("state", [PathState.CONNECTED, PathState.CHECKING])
def test_a_silent_link_over_a_live_path_is_not(state: PathState) -> None:
    bench = live("lower")
    bench.event(PathChanged(state))
    bench.wait(26.0)
    assert "close A1" not in bench.announce()


def test_a_link_that_never_carried_a_frame_is_left_alone() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.event(PathChanged(PathState.FAILED))
    bench.wait(26.0)
    bench.announce()
    assert bench.status == "sighted"


# ── what clients are told ────────────────────────────────────────────────────────────────────────────────────────


def test_one_appearance_is_told_once_to_whoever_answers() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.offer("B1")
    assert len(bench.named(PeerSighted)) == 1


def test_one_appearance_is_told_once_to_whoever_dials_anyway() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.wait(3.1)
    assert len(bench.named(PeerSighted)) == 1


def test_a_peer_that_was_only_noted_is_told_again_when_its_link_begins() -> None:
    """As v0.3.8 does (spec 04 §5.2): nobody was going to dial."""
    bench = Bench("lower", EngineConfig(kind="silent"))
    bench.announce()
    bench.connect()
    assert len(bench.named(PeerSighted)) == 2


def test_a_loss_ends_the_appearance() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.offer("B1")
    bench.leave()
    bench.announce()
    bench.offer("B2")
    assert len(bench.named(PeerSighted)) == 2


# ── leaves ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_leave_without_a_channel_is_believed() -> None:
    bench = Bench("lower").up_to("connecting")
    assert bench.leave() == ["close A1"]
    assert bench.status == "dropped user_left"
    assert bench.wait(200.0) == []


def test_a_departure_closes_its_channel() -> None:
    bench = live()
    assert bench.leave() == []
    bench.wait(0.25)
    bench.event(ChannelClosed("left"))
    assert bench.status == "dropped user_left"
    assert bench.wait(200.0) == [], "no intent, no nudge"


def test_a_forged_leave_costs_one_ping() -> None:
    bench = live()
    bench.leave()
    assert bench.wait(0.9) == []
    assert bench.wait(0.2) == ["ping"]
    answer_ping(bench)
    bench.wait(10.0)
    assert bench.status == "active"


def test_frames_of_the_last_quarter_second_refute_nothing() -> None:
    bench = live()
    bench.leave()
    bench.wait(0.2)
    bench.raw(b'{"kind":"pong","t":1}')
    bench.wait(2.2)
    assert bench.status == "active"
    bench.wait(0.2)
    assert bench.status == "dropped user_left"


def test_a_later_loss_is_no_departure() -> None:
    bench = live()
    bench.leave()
    bench.wait(1.1)
    answer_ping(bench)
    bench.wait(2.0)
    bench.event(ChannelClosed("crash"))
    assert bench.status == "dropped ice_failed"


def test_a_peer_that_waits_for_approval_is_judged_by_its_path() -> None:
    """It may not answer pings before it is admitted."""
    bench = Bench("lower").up_to("pending")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.leave()
    bench.wait(10.0)
    assert bench.status == "pending_approval"
    bench.event(PathChanged(PathState.DISCONNECTED))
    bench.leave()
    bench.wait(3.0)
    assert bench.status == "dropped user_left"


def test_the_switch_believes_leaves_at_once() -> None:
    bench = Bench("lower", EngineConfig(immediate_leave=True)).up_to("active")
    assert bench.leave() == ["close A1"]
    assert bench.status == "dropped user_left"


def test_a_leave_ends_a_lost_peers_intent() -> None:
    bench = live()
    bench.event(ChannelClosed("gone"))
    bench.leave()
    assert bench.wait(100.0) == []


def test_where_offering_is_its_part_a_mute_peer_hears_us_a_few_times_an_hour() -> None:
    """A process that was heard before and says nothing over its link may announce itself as often as it likes."""
    bench = live("higher")
    heard = []
    for _ in range(12):
        bench.announce(again=True)
        heard += [word for word in bench.wait(3.0) if word == "announce"]
    assert len(heard) == 5
    assert "announce" in bench.announce(), "a fresh process is told at once"


def test_a_late_copy_of_an_announce_is_answered_and_dials_nobody() -> None:
    """The process may be one whose clock went back, and may not know of us."""
    bench = Bench("higher")
    assert bench.signal(StaleAnnounce(bench.peer_id)) == ["announce"]
    assert bench.wait(60.0).count("offer A1") == 0
    assert not bench.has_entry


def test_an_unsigned_leave_of_a_device_that_signs_costs_a_ping_and_no_more() -> None:
    bench = live()
    assert bench.signal(PeerLeft(bench.peer_id, is_signed=False)) == []
    assert bench.wait(1.1) == ["ping"]
    answer_ping(bench)
    bench.wait(5.0)
    assert bench.status == "active"
    connecting = Bench("lower").up_to("connecting")
    assert connecting.signal(PeerLeft(connecting.peer_id, is_signed=False)) == []
    assert connecting.engine.link(connecting.peer_id) is not None
