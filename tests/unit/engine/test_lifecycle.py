"""How entries come, go and come back (spec 04 §4, §6; 01 §7.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh_common.events import PeerDropped, PeerSighted
from myownmesh.engine import EngineConfig, EngineError
from myownmesh.engine.actions import CloseSession, LinkDown, OpenSession, WaiterDone
from myownmesh.engine.limits import (
    DIAL_TURN_S,
    MAX_KEPT_CANDIDATES,
    MAX_PASSING_DIALS,
    MAX_PLACEHOLDERS,
    MAX_REMEMBERED_PEERS,
    MAX_SDP_CHARS,
    MAX_SHAPED_DIALS,
    MAX_UNPROVEN_LINKS,
)
from myownmesh.engine.links import ChannelClosed, ChannelOpened, PathChanged, PathState, RemoteApplied, SdpType
from myownmesh.engine.memory import Memories
from myownmesh.engine.timing import HEARD_LATELY_S
from myownmesh.identity import Identity
from myownmesh.protocol.frames import Deny
from myownmesh.protocol.modes import Ring, Star
from myownmesh.protocol.signals import AnswerReceived, Candidate, CandidateReceived, OfferReceived, PeerAnnounced
from myownmesh.roster import Roster
from unit.engine.bench import HIGH, NETWORK, OUR_BINDING, THEIR_BINDING, Bench, prove_successor, sdp

if TYPE_CHECKING:
    from myownmesh.engine.actions import Action


def waiters_told(actions: list[Action]) -> list[tuple[int, str | None]]:
    return [(action.waiter, action.error) for action in actions if isinstance(action, WaiterDone)]


def strangers(count: int) -> list[str]:
    return [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(1000, 1000 + count)]


def test_a_channel_that_never_opens_ends_the_attempt() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.wait(29.9)
    assert bench.status == "sighted"
    assert bench.wait(0.2) == ["close A1", "announce"]
    assert bench.status == "dropped ice_failed"


def test_a_lost_link_is_offered_again_on_schedule() -> None:
    """Our side of an attempt takes 30 s; a failed retry keeps the window of the loss (spec 04 §6.3)."""
    bench = Bench("lower").up_to("active")
    bench.event(ChannelClosed("gone"))
    bench.take()
    offers = [at for at, word in timeline(bench, 400.0) if word.startswith("offer") and "." not in word]
    assert offers == pytest.approx([1.0, 31.0, 61.0], abs=1.1), "after 90 s only an announce helps"
    assert bench.engine.next_timer() is not None
    bench.wait(500.0)
    assert not bench.has_entry


def timeline(bench: Bench, seconds: float) -> list[tuple[float, str]]:
    begin, seen = bench.mono, []
    while bench.mono < begin + seconds:
        seen += [(round(bench.mono - begin, 1), word) for word in bench.wait(0.1)]
    return seen


def test_the_higher_side_leaves_the_retry_to_the_lower_and_tries_once() -> None:
    bench = Bench("higher").up_to("active")
    bench.event(ChannelClosed("gone"))
    assert bench.wait(2.9) == []
    assert bench.wait(0.2) == ["offer A2"]
    assert [word for word in bench.wait(300.0) if word.startswith("offer") and "." not in word] == []


def test_the_higher_side_waits_for_nothing_when_the_lower_offers() -> None:
    bench = Bench("higher").up_to("active")
    bench.event(ChannelClosed("gone"))
    bench.wait(1.0)
    assert bench.offer("B2") == ["answer A2 to B2"]
    assert bench.wait(20.0) == []


def test_a_pin_dials_whatever_the_roles() -> None:
    config = EngineConfig(pinned_peers=frozenset({Bench("higher").peer_id}))
    bench = Bench("higher", config)
    assert "offer A1" in bench.announce()


def test_an_unpinned_peer_is_not_wanted_back() -> None:
    bench = Bench("higher", EngineConfig(pinned_peers=frozenset({Bench("higher").peer_id})))
    bench.up_to("active")
    bench.event(ChannelClosed("gone"))
    bench.engine.configure(EngineConfig(), bench.now)
    bench.take()
    assert [word for word in bench.wait(100.0) if word.startswith("offer") and "." not in word] == ["offer A2"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ChannelClosed("x"), "ice_failed"),
        (ChannelOpened(OUR_BINDING, None), "auth_failed"),
        (ChannelOpened(None, THEIR_BINDING), "auth_failed"),
    ],
)
def test_reasons_before_the_handshake(event: ChannelClosed | ChannelOpened, reason: str) -> None:
    bench = Bench("lower").up_to("connecting")
    bench.event(event)
    assert bench.status == f"dropped {reason}"


def test_a_failed_proof_delays_the_next_dial_more_and_more() -> None:
    """Spec 01 §7.9: 5 s, doubled each time; announces that come earlier wait."""
    bench = Bench("lower")
    bench.announce()
    for number, delay in enumerate((5.0, 10.0, 20.0), start=1):
        bench.answer(f"B{number}")
        bench.open_channel()
        bench.proof(good=False)
        assert bench.status == "dropped auth_failed"
        bench.announce()
        assert not any(word.startswith("offer") for word in bench.wait(delay - 0.1))
        assert [word for word in bench.wait(2.1) if word.startswith("offer")] == [f"offer A{number + 1}"]


def test_a_waiting_peer_that_offers_is_answered() -> None:
    bench = Bench("lower").up_to("handshaking")
    bench.hello()
    bench.proof(good=False)
    assert any(word.startswith("answer") for word in bench.offer("B2"))


def test_an_authentication_ends_the_delay() -> None:
    bench = Bench("lower").up_to("handshaking")
    bench.proof(good=False)
    bench.offer("B2")
    bench.open_channel()
    bench.proof()
    bench.hello("n2")
    bench.proof(good=False)
    assert bench.status == "dropped auth_failed"
    bench.announce()
    assert not any(word.startswith("offer") for word in bench.wait(4.9))
    assert "offer A3" in bench.wait(2.1), "5 s again, not 10"


def test_a_channel_lost_in_the_handshake_is_an_accident_once() -> None:
    """Most likely the far end could not trust us, and it would not a second later either."""
    bench = Bench("lower").up_to("handshaking")
    bench.event(ChannelClosed("no trust"))
    assert "offer A2" in bench.wait(1.1)
    bench.answer("B2")
    bench.open_channel()
    bench.event(ChannelClosed("no trust"))
    assert bench.wait(4.9) == []
    assert "offer A3" in bench.wait(2.1)


def test_a_link_goes_down_once() -> None:
    bench = Bench("lower").up_to("active")
    epoch = bench.epoch
    bench.event(ChannelClosed("gone"))
    assert [action for action in bench.actions if isinstance(action, LinkDown)] == [LinkDown(bench.peer_id, epoch)]


def test_dropped_comes_before_sighted_again() -> None:
    bench = Bench("higher").up_to("active")
    bench.events.clear()
    bench.offer("B2")
    prove_successor(bench)
    kinds = [type(event) for event in bench.events if isinstance(event, PeerDropped | PeerSighted)]
    assert kinds == [PeerDropped, PeerSighted]


def test_a_failed_path_is_not_believed_while_frames_come() -> None:
    bench = Bench("higher").up_to("active")
    bench.event(PathChanged(PathState.FAILED))
    for _ in range(6):
        bench.wait(20.0)
        bench.raw(b'{"kind":"pong","t":1}')
    assert bench.status == "active"
    bench.wait(29.0)
    assert bench.status == "active"
    bench.wait(2.0)
    assert bench.status == "dropped ice_failed"


def test_a_path_that_comes_back_is_pinged_at_once() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.event(PathChanged(PathState.DISCONNECTED))
    assert bench.info.tier.kind == "ice_watchdog"
    assert bench.event(PathChanged(PathState.CONNECTED)) == ["ping"]
    bench.raw(b'{"kind":"pong","t":1}')
    assert bench.info.tier.kind == "steady"


# ── connect ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_waiter_is_told_when_the_peer_is_active() -> None:
    bench = Bench("higher", EngineConfig(auto_approve=True))
    bench.connect(7)
    assert waiters_told(bench.actions) == []
    bench.up_to("active")
    assert waiters_told(bench.actions) == [(7, None)]
    bench.connect(8)
    assert waiters_told(bench.actions)[-1] == (8, None)


def test_a_waiter_outlives_what_may_heal() -> None:
    bench = Bench("lower")
    bench.connect(1)
    bench.wait(31.0)
    bench.up_to("handshaking")
    bench.hello()
    bench.proof(good=False)
    assert waiters_told(bench.actions) == []


@pytest.mark.parametrize(("how", "word"), [("deny", "Denied"), ("leave", "UserLeft")])
def test_a_waiter_hears_the_final_reason(how: str, word: str) -> None:
    bench = Bench("lower")
    bench.connect(3)
    bench.up_to("pending")
    if how == "deny":
        bench.frame(Deny())
    else:
        bench.leave()
        bench.event(ChannelClosed("left"))
    assert waiters_told(bench.actions) == [(3, f"network: connect {bench.peer_id}: {word}")]


def test_an_abandoned_waiter_hears_nothing() -> None:
    bench = Bench("lower")
    bench.connect(3)
    bench.connect(4)
    bench.engine.abandon_waiter(3)
    bench.engine.abandon_waiter(99)
    bench.engine.stop(bench.now)
    bench.collect()
    assert waiters_told(bench.actions) == [(4, "network: network shut down")]


def test_nobody_dials_himself() -> None:
    bench = Bench("lower")
    with pytest.raises(EngineError, match="this device"):
        bench.engine.connect(bench.us.device_id, False, None, bench.now)
    bench.signal(PeerAnnounced(bench.us.device_id))
    assert bench.engine.peers(bench.now) == []


# ── bounds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_strangers_share_a_fixed_number_of_transports() -> None:
    bench = Bench("higher")
    ids = strangers(MAX_UNPROVEN_LINKS + 30)
    for stranger in ids:
        bench.signal(OfferReceived(stranger, sdp("B1")))
    opened = [action.peer for action in bench.actions if isinstance(action, OpenSession)]
    closed = [action.peer for action in bench.actions if isinstance(action, CloseSession)]
    assert opened == ids
    assert closed == ids[:30], "the oldest gives way"


def test_rostered_devices_are_not_crowded_out() -> None:
    friend = HIGH.device_id
    bench = Bench("lower", roster=Roster(NETWORK).approve(friend, "friend", 1))
    bench.announce()
    for stranger in strangers(MAX_UNPROVEN_LINKS * 2):
        bench.signal(OfferReceived(stranger, sdp("B1")))
    assert bench.status == "sighted"
    assert bench.epoch not in [action.epoch for action in bench.actions if isinstance(action, CloseSession)]


def test_dials_to_a_crowd_take_turns() -> None:
    """In a large room attempts that gave way to each other at once would never end."""
    bench = Bench("lower", obedient=False)
    crowd = [stranger for stranger in strangers(300) if stranger > bench.us.device_id][:70]
    for stranger in crowd:
        bench.signal(PeerAnnounced(stranger))

    def opened() -> list[str]:
        return [action.peer for action in bench.actions if isinstance(action, OpenSession)]

    assert opened() == crowd[:MAX_UNPROVEN_LINKS]
    assert len(bench.engine.peers(bench.now)) == len(crowd)
    bench.wait(DIAL_TURN_S - 0.1)
    assert opened() == crowd[:MAX_UNPROVEN_LINKS]
    bench.wait(2.0)
    assert opened() == crowd
    pinned = strangers(301)[-1]
    bench.engine.connect(pinned, True, None, bench.now)
    bench.collect()
    assert opened() == [*crowd, pinned]


def test_a_delay_that_grew_meanwhile_is_kept() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.event(ChannelOpened(None, None))
    bench.announce()
    bench.wait(3.0)
    bench.offer("B1")
    bench.event(ChannelOpened(None, None))
    bench.announce()
    assert not any(word.startswith("offer") for word in bench.wait(9.5))
    assert "offer A3" in bench.wait(2.5)


def test_one_id_opens_four_links_a_second() -> None:
    bench = Bench("higher")
    for number in range(1, 10):
        bench.offer(f"B{number}")
    assert len([action for action in bench.actions if isinstance(action, OpenSession)]) == 4


def test_placeholders_are_bounded() -> None:
    bench = Bench("lower", EngineConfig(kind="silent"))
    for stranger in strangers(MAX_PLACEHOLDERS + 5):
        bench.signal(PeerAnnounced(stranger))
    assert len(bench.engine.peers(bench.now)) == MAX_PLACEHOLDERS


@pytest.mark.heavy
def test_a_crowd_is_news_only_as_far_as_it_is_listed() -> None:
    """A room of more than 1,024: whoever is listed stays as long as it is heard, and nobody is sighted twice."""
    bench = Bench("lower", EngineConfig(kind="silent"))
    listed, *_, late = crowd = strangers(MAX_PLACEHOLDERS + 500)
    for _ in range(20):
        for stranger in crowd:
            bench.signal(PeerAnnounced(stranger, again=True))
        bench.wait(120)
    assert len(bench.named(PeerSighted)) == MAX_PLACEHOLDERS
    bench.wait(HEARD_LATELY_S)
    for stranger in crowd[1:]:
        bench.signal(PeerAnnounced(stranger, again=True))
    known = {info.device_id for info in bench.engine.peers(bench.now)}
    assert listed not in known, "it is silent for so long that another one takes its place"
    assert len(known) == MAX_PLACEHOLDERS
    assert late not in known
    bench.approve_stranger(late)
    bench.signal(PeerAnnounced(late, again=True))
    assert late in {info.device_id for info in bench.engine.peers(bench.now)}, "members are listed beyond that"


def test_where_the_shape_prunes_few_strangers_are_dialled_at_once() -> None:
    bench = Bench("lower", obedient=False)
    bench.engine.set_topology(Star(hub=bench.us.device_id), bench.now)
    for stranger in [each for each in strangers(200) if each > bench.us.device_id]:
        bench.signal(PeerAnnounced(stranger))
    assert len(bench.epochs) == MAX_SHAPED_DIALS


def test_where_the_shape_follows_the_members_fewer_strangers_are_dialled_at_once() -> None:
    """The first ones bring the roster, and with it whom the shape wants."""
    bench = Bench("lower", EngineConfig(topology=Ring()), obedient=False)
    for stranger in [each for each in strangers(200) if each > bench.us.device_id]:
        bench.signal(PeerAnnounced(stranger))
    assert len(bench.epochs) == MAX_PASSING_DIALS


def test_a_crowd_that_waits_for_its_turn_is_dialled_as_far_as_it_is_listed() -> None:
    bench = Bench("lower", obedient=False)
    crowd = [each for each in strangers(2600) if each > bench.us.device_id]
    assert len(crowd) > MAX_UNPROVEN_LINKS + MAX_PLACEHOLDERS
    *_, late = crowd = crowd[: MAX_UNPROVEN_LINKS + MAX_PLACEHOLDERS + 1]
    for stranger in crowd:
        bench.signal(PeerAnnounced(stranger))
    bench.wait(DIAL_TURN_S + 2.5)
    assert any(each in bench.epochs for each in crowd[MAX_UNPROVEN_LINKS:-1]), "their turn came"
    assert late not in bench.epochs


def test_strangers_do_not_push_out_what_is_known_of_members() -> None:
    memories = Memories()
    member = memories.of("member")
    member.proved()
    everybody = strangers(3000)
    for stranger in everybody:
        memories.of(stranger)
    assert memories.of("member") is member
    known = [stranger for stranger in everybody if memories.get(stranger) is not None]
    assert known == everybody[1 - MAX_REMEMBERED_PEERS :]


def test_of_a_stranger_among_too_many_members_nothing_is_kept() -> None:
    memories = Memories()
    [stranger, *members] = strangers(MAX_REMEMBERED_PEERS + 1)
    for member in members:
        memories.of(member).proved()
    assert memories.of(stranger).may_open_link(0.0)
    assert memories.get(stranger) is None
    assert all(memories.get(member) is not None for member in members)


def test_kept_candidates_are_bounded_over_all_peers() -> None:
    memories = Memories()
    everybody = strangers(200)
    for number in range(64):
        for stranger in everybody:
            memories.keep(stranger, Candidate(f"candidate:{number} 1 udp 1 a 1 typ host"), 0.0)
    kept = [len(memories.of(stranger).fresh_candidates(0.0)) for stranger in everybody]
    assert sum(kept) == MAX_KEPT_CANDIDATES
    assert max(kept) - min(kept) <= 1, "the oldest go first, whoever sent them"


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate("candidate:" + "1" * 600 + " 1 udp 1 a 1 typ host"),
        Candidate("candidate:1 1 udp 1 a 1 typ host", sdp_mid="0" * 600),
        Candidate("candidate:1 1 udp 1 a 1 typ host", username_fragment="0" * 600),
    ],
)
def test_huge_candidates_are_ignored(candidate: Candidate) -> None:
    bench = Bench("lower").up_to("connecting")
    assert bench.signal(CandidateReceived(bench.peer_id, candidate)) == []
    assert bench.event(RemoteApplied(SdpType.ANSWER, None)) == [], "and none of them is kept"


def test_huge_descriptions_are_ignored() -> None:
    bench = Bench("higher")
    padding = "a=x:" + "y" * MAX_SDP_CHARS
    assert bench.signal(OfferReceived(bench.peer_id, sdp("B1") + padding)) == []
    assert not bench.has_entry
    bench = Bench("lower")
    bench.announce()
    assert bench.signal(AnswerReceived(bench.peer_id, sdp("B1") + padding)) == []
    assert bench.answer("B1") == ["apply B1"]
