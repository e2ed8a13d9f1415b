"""What meets the engine seldom: each of these once, by name. The totality test meets them in any order."""

from __future__ import annotations

import random

import msgspec
import pytest
from msgspec import to_builtins

from mesh_common.events import Diag, PeerDropped
from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import CloseSession, Emit, WaiterDone
from myownmesh.engine.config import EngineConfig as Config
from myownmesh.engine.core import Core
from myownmesh.engine.intents import IntentBook
from myownmesh.engine.limits import DIAL_TURN_S, MAX_KEPT_CANDIDATES, MAX_PLACEHOLDERS, MAX_UNPROVEN_LINKS, MAX_WAITERS
from myownmesh.engine.links import ChannelClosed, ChannelOpened, LocalDescription, PathChanged, PathState, SdpType
from myownmesh.engine.memory import Memories
from myownmesh.engine.timers import LinkTimer, NetworkTimer, PeerTimer, Timers
from myownmesh.engine.timing import EARLY_CANDIDATE_AGE_S
from myownmesh.identity import Identity
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    Approve,
    CapabilitiesUpdate,
    Channel,
    ChannelAck,
    NetworkStateSplit,
    Pong,
    RosterRequest,
)
from myownmesh.protocol.signals import Candidate, PeerAnnounced, PeerLeft
from myownmesh.roster import Roster
from unit.engine.bench import HIGH, LOW, OUR_BINDING, THEIR_BINDING, Bench
from unit.engine.stages import active

OPEN = EngineConfig(auto_approve=True)
PAYLOAD = msgspec.Raw(b"1")


def ids(count: int) -> list[str]:
    """Of devices above ours, so that we dial them."""
    made = (Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(5000, 9000))
    return [device_id for device_id in made if device_id > LOW.device_id][:count]


# ── timers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_a_link_cancels_its_own_timers_and_no_other() -> None:
    timers = Timers()
    for timer in (*NetworkTimer, *PeerTimer, *LinkTimer):
        for owner in ("one", "other"):
            timers.set(timer, owner, 1.0)
    timers.cancel_link("one")
    left = []
    while (key := timers.pop_due(1.0)) is not None:
        left.append(key)
    assert [key for key in left if key[1] == "one"] == [(timer, "one") for timer in (*NetworkTimer, *PeerTimer)]
    assert len([key for key in left if key[1] == "other"]) == len((*NetworkTimer, *PeerTimer, *LinkTimer))


def test_a_timer_that_is_moved_again_and_again_rings_once() -> None:
    timers = Timers()
    for number in range(1000):
        timers.set(NetworkTimer.HEARTBEAT, "", 2000.0 - number)
        timers.set(PeerTimer.LINGER, "p", 3000.0)
    assert timers.next() == 1001.0
    assert timers.pop_due(5000.0) == (NetworkTimer.HEARTBEAT, "")
    assert timers.pop_due(5000.0) == (PeerTimer.LINGER, "p")
    assert timers.pop_due(5000.0) is None


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_that_nobody_wants_any_more_is_no_attempt() -> None:
    book = IntentBook()
    book.attempted("p", 0.0)
    assert not book.needs_watch


def test_a_candidate_that_aged_away_is_not_taken_from_another() -> None:
    memories = Memories()
    memories.keep("old", Candidate("1"), 0.0)
    assert memories.of("old").fresh_candidates(EARLY_CANDIDATE_AGE_S) == []
    for number in range(MAX_KEPT_CANDIDATES):
        memories.keep(f"p{number // 64}", Candidate("2"), EARLY_CANDIDATE_AGE_S)
    assert len(memories.of("p0").fresh_candidates(EARLY_CANDIDATE_AGE_S)) == 64


def test_too_many_callers_are_told_at_once() -> None:
    bench = Bench("lower")
    for waiter in range(MAX_WAITERS + 1):
        bench.connect(waiter)
    [told] = [action for action in bench.actions if isinstance(action, WaiterDone)]
    assert told == WaiterDone(MAX_WAITERS, "network: too many callers wait for a connect; try again later")


def test_of_callers_for_many_peers_the_right_one_gives_up() -> None:
    bench = Bench("lower")
    for waiter, peer in enumerate(ids(3)):
        bench.engine.connect(peer, False, waiter, bench.now)
    bench.engine.abandon_waiter(2)
    bench.engine.stop(bench.now)
    bench.collect()
    assert [action.waiter for action in bench.actions if isinstance(action, WaiterDone)] == [0, 1]


def test_a_connect_that_nobody_waits_for_to_a_peer_that_is_there_does_nothing() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    assert bench.connect() == []


# ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_of_ours_that_is_too_long_is_told_and_not_sent() -> None:
    core = Core(LOW, "home", Config(), Roster("home"), random.Random(1))
    frame = CapabilitiesUpdate(capabilities=Capabilities(tags=("x" * 70_000,)))
    core.send(active(), frame, Instant(0.0, 0))
    [told] = core.out
    assert isinstance(told, Emit)
    assert isinstance(told.event, Diag)
    assert told.event.message.startswith("cannot send capabilities_update: ")


@pytest.mark.parametrize(
    "data",
    [
        encode_frame(ChannelAck(stream=1, up_to=1)),
        encode_frame(NetworkStateSplit("p", "n", (), "o", 1, "s")),
        b'{"kind":"later"}',
    ],
    ids=["ack", "governance", "unknown"],
)
def test_frames_that_mean_nothing_here_are_taken_note_of(data: bytes) -> None:
    bench = Bench("lower", OPEN).up_to("active")
    before = to_builtins(bench.engine.traffic)
    assert bench.raw(data) == []
    assert to_builtins(bench.engine.traffic) != before
    assert bench.delivered == []


def test_hellos_above_the_rate_are_not_answered() -> None:
    bench = Bench("lower").up_to("handshaking")
    answers = [bench.hello() for _ in range(250)]
    assert answers.count(["auth_response"]) == 200
    assert answers.count([]) == 50


def test_frames_that_waited_for_the_open_event_end_with_the_link() -> None:
    bench = Bench("lower").up_to("connecting")
    for _ in range(2):
        bench.hello()
    bench.engine.receive_frame(bench.peer_id, bench.epoch, b'{"kind":"deny"}', bench.now)
    bench.raw(encode_frame(Approve()))
    assert bench.open_channel().count("auth_response") == 2
    assert bench.status == "dropped denied"


def test_frames_for_a_peer_that_is_only_listed_are_dropped() -> None:
    bench = Bench("lower", EngineConfig(kind="silent"))
    bench.announce()
    for epoch in range(3):
        bench.engine.receive_frame(bench.peer_id, epoch, encode_frame(Channel(channel="c", payload=PAYLOAD)), bench.now)
    assert bench.collect() == []
    assert bench.status == "sighted"


def test_a_roster_that_is_asked_for_again_and_changed_meanwhile_is_sent_again() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.frame(RosterRequest())
    bench.engine.approve(ids(1)[0], "new", bench.now)
    bench.collect()
    assert bench.frame(RosterRequest()) == ["roster_entries"]


# ── presence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_listed_peer_leaves() -> None:
    bench = Bench("lower", EngineConfig(kind="silent"))
    bench.announce()
    bench.leave()
    assert bench.status == "dropped user_left"
    assert [action for action in bench.actions if isinstance(action, CloseSession)] == []


def test_stop_forgets_whom_it_only_listed() -> None:
    bench = Bench("lower", EngineConfig(kind="silent"))
    bench.announce()
    bench.engine.stop(bench.now)
    assert bench.collect() == []
    assert bench.engine.peers(bench.now) == []


def test_a_second_leave_while_the_first_is_tested_changes_nothing() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.leave()
    before = bench.engine.next_timer()
    bench.leave()
    assert bench.engine.next_timer() == before


def test_an_announce_does_not_move_the_dial_that_is_waiting() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.wait(2.0)
    bench.announce()
    assert "offer A1" in bench.wait(1.1)


def test_a_dial_that_became_void_is_not_made() -> None:
    bench = Bench("higher")
    bench.announce()
    bench.engine.configure(EngineConfig(kind="silent"), bench.now)
    bench.collect()
    assert bench.wait(10.0) == []


@pytest.mark.heavy
def test_a_dial_that_waits_for_its_turn_is_forgotten_with_its_peer() -> None:
    bench = Bench("lower", obedient=False)
    crowd = ids(MAX_UNPROVEN_LINKS)
    for peer in crowd:
        bench.signal(PeerAnnounced(peer))
    late = ids(MAX_UNPROVEN_LINKS + 1)[-1]
    bench.signal(PeerAnnounced(late))
    assert late in [info.device_id for info in bench.engine.peers(bench.now)]
    bench.signal(PeerLeft(late))
    bench.wait(DIAL_TURN_S + 2.0)
    assert late not in bench.epochs


@pytest.mark.heavy
def test_whoever_finds_the_list_full_is_not_dialled_by_a_clock() -> None:
    bench = Bench("higher", obedient=False)
    everybody = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(20_000, 25_000)]
    lower = [peer for peer in everybody if peer < HIGH.device_id]
    assert len(lower) > MAX_PLACEHOLDERS
    for peer in lower[: MAX_PLACEHOLDERS + 1]:
        bench.signal(PeerAnnounced(peer))
    late = lower[MAX_PLACEHOLDERS]
    assert late not in [info.device_id for info in bench.engine.peers(bench.now)]
    bench.wait(3.5)
    assert lower[0] in bench.epochs
    assert late not in bench.epochs


# ── paths ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_path_without_a_channel_is_judged_by_the_channels_own_clock() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.event(PathChanged(PathState.CHECKING))
    bench.event(PathChanged(PathState.DISCONNECTED))
    bench.event(PathChanged(PathState.DISCONNECTED))
    assert bench.info.tier.kind == "ice_watchdog"
    bench.event(PathChanged(PathState.FAILED))
    bench.event(PathChanged(PathState.CLOSED))
    assert bench.info.selected_pair is None
    bench.wait(31.0)
    assert bench.named(PeerDropped)[0].reason.kind == "ice_failed"


def test_a_failed_path_that_is_tried_again_is_not_judged() -> None:
    bench = Bench("lower").up_to("pending")
    for state in (PathState.DISCONNECTED, PathState.FAILED, PathState.DISCONNECTED, PathState.FAILED):
        bench.event(PathChanged(state))
    bench.event(PathChanged(PathState.CHECKING))
    bench.wait(31.0)
    assert bench.status == "pending_approval"


def test_a_failed_path_that_came_back_is_not_judged() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.event(PathChanged(PathState.FAILED))
    bench.event(PathChanged(PathState.CONNECTED))
    bench.frame(Pong(t=1))
    bench.wait(31.0)
    assert bench.status == "active"


def test_the_higher_side_asks_a_mute_peer_by_an_announce() -> None:
    bench = Bench("higher", OPEN).up_to("active")
    bench.wait(3.0)
    bench.announce()
    assert bench.wait(0.2) == ["announce"]


def test_a_mute_link_whose_offer_is_being_built_gets_no_second_one() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.obedient = False
    bench.wait(3.0)
    bench.announce()
    bench.wait(0.2)
    bench.wait(2.0)
    bench.announce()
    before = len(bench.actions)
    bench.wait(0.3)
    assert "MakeOffer" not in [type(action).__name__ for action in bench.actions[before:]]
    assert bench.event(LocalDescription(SdpType.OFFER, "s=A1.2\r\n")) == ["offer A1.2"]


def test_a_second_open_event_is_none() -> None:
    bench = Bench("lower").up_to("handshaking")
    assert bench.event(ChannelOpened(OUR_BINDING, THEIR_BINDING)) == []
    bench.event(ChannelClosed("gone"))
    assert bench.named(PeerDropped)[-1].reason.kind == "ice_failed"


def test_only_the_named_link_is_tested() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.mono += 2.0
    bench.engine.reconnect(ids(1)[0], bench.now)
    assert bench.collect() == ["announce"]


def test_who_does_not_know_gossip_gets_none() -> None:
    bench = Bench("lower", OPEN)
    bench.announce()
    bench.answer("B1")
    bench.open_channel()
    bench.hello(features=())
    bench.proof()
    bench.frame(Approve())
    bench.take()
    bench.engine.approve(ids(1)[0], "new", bench.now)
    assert bench.collect() == []


def test_what_lingers_is_closed_at_the_end() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.engine.remove(bench.peer_id, bench.now)
    assert bench.collect() == ["deny"]
    bench.engine.stop(bench.now)
    assert bench.collect() == ["close A1"]


def test_a_leave_of_nobody_ends_no_joining() -> None:
    bench = Bench("lower")
    bench.leave()
    assert bench.engine.phase == "joining"
    bench.engine.signaling_is_up(bench.now)
    assert bench.engine.phase == "alone"


def test_a_failed_path_over_which_frames_still_come_is_believed_later() -> None:
    bench = Bench("lower", OPEN).up_to("handshaking")
    bench.event(PathChanged(PathState.FAILED))
    for _ in range(2):
        bench.wait(14.0)
        bench.hello()
    assert bench.has_entry


def test_a_peer_that_announced_itself_just_before_its_path_is_given_up_is_offered_to_at_once() -> None:
    bench = Bench("lower", OPEN).up_to("active")
    bench.event(PathChanged(PathState.FAILED))
    bench.wait(29.95)
    bench.announce()
    assert any(word.startswith("offer A2") for word in bench.wait(0.2))
