"""The engine as its driver sees it: commands, sending, views, the end."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from mesh_common.events import PeerCapabilitiesChanged, PhaseChanged
from mesh_common.version import VERSION
from mesh_common.views import Lane
from myownmesh.engine import EngineConfig, EngineError, FrameTooLarge, PeerNotAdmitted, PeerNotFound, ShutDown
from myownmesh.engine.actions import CloseSession, LinkDown, OpenSession, SaveRoster
from myownmesh.engine.links import (
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PairSelected,
    SdpType,
)
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.codec import decode_frame
from myownmesh.protocol.frames import Approve, CapabilitiesUpdate, Channel, Hello
from myownmesh.protocol.modes import FullMesh, Hubs
from myownmesh.protocol.signals import Candidate
from myownmesh.roster import Roster
from unit.engine.bench import HIGH, NETWORK, Bench, sdp

FRAME = Channel(channel="c", payload=msgspec.Raw(b"1"))


def test_frames_go_to_admitted_peers_only() -> None:
    bench = Bench("lower")
    with pytest.raises(PeerNotFound, match=f"peer {HIGH.device_id} not found in active set"):
        bench.engine.frame_for(bench.peer_id, FRAME, bench.now)
    bench.up_to("pending")
    with pytest.raises(PeerNotAdmitted):
        bench.engine.frame_for(bench.peer_id, FRAME, bench.now)
    bench.approve()
    bench.raw(b'{"kind":"approve"}')
    out = bench.engine.frame_for(bench.peer_id, FRAME, bench.now)
    assert out.hops == ((bench.peer_id, bench.epoch),)
    assert decode_frame(out.data) == FRAME


def test_a_frame_that_no_peer_could_take_is_refused() -> None:
    bench = Bench("lower").up_to("active")
    large = Channel(channel="c", payload=msgspec.Raw(b'"' + b"x" * 65_535 + b'"'))
    with pytest.raises(FrameTooLarge, match="exceeds the 65535-byte limit"):
        bench.engine.frame_for(bench.peer_id, large, bench.now)


def test_counters() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.note_sent("channel", 100)
    bench.frame(FRAME)
    traffic = bench.engine.traffic
    assert traffic.app_tx == Lane(1, 100)
    assert traffic.app_rx.frames == 1
    assert traffic.control_tx.frames == 3, "hello, auth_response, approve"
    assert traffic.control_rx.frames == 3
    assert traffic.gossip_tx.frames == 2, "the approval had nobody to tell; activation tells both"
    assert traffic.announces_rx == traffic.announces_tx == 1
    assert traffic.negotiation_rx == traffic.negotiation_tx == 1


def test_a_device_has_the_name_of_the_roster_until_it_says_its_own() -> None:
    roster = Roster(NETWORK).approve(HIGH.device_id, "Anna's laptop", 1)
    bench = Bench("lower", roster=roster)
    assert bench.peer_id == HIGH.device_id
    bench.announce()
    assert [info.label for info in bench.engine.peers(bench.now)] == ["Anna's laptop"]
    bench.up_to("active")
    assert [info.label for info in bench.engine.peers(bench.now)] == ["them"]


def test_capabilities_ride_in_the_hello_and_in_updates() -> None:
    bench = Bench("lower", EngineConfig(capabilities=Capabilities(tags=("first",))))
    bench.up_to("active")
    hello = next(frame for frame in bench.frames if isinstance(frame, Hello))
    assert hello.capabilities == Capabilities(tags=("first",))
    bench.engine.set_capabilities(Capabilities(tags=("second",)), bench.now)
    assert bench.collect() == ["capabilities_update"]
    assert bench.frames[-1] == CapabilitiesUpdate(capabilities=Capabilities(tags=("second",)))
    with pytest.raises(EngineError, match=r"^capabilities too large$"):
        bench.engine.set_capabilities(Capabilities(tags=("x" * 50_000,)), bench.now)
    bench.frame(CapabilitiesUpdate(capabilities=Capabilities(tags=("theirs",))))
    [event] = bench.named(PeerCapabilitiesChanged)
    assert event.capabilities.tags == ("theirs",)
    assert bench.engine.peers(bench.now)[0].capabilities == event.capabilities


@pytest.mark.parametrize("stage", ["handshaking", "pending"])
def test_an_advert_that_changes_before_the_admission_is_told_after_it(stage: Literal["handshaking", "pending"]) -> None:
    """Only admitted peers read updates, and the hello is out already."""
    bench = Bench("lower").up_to(stage)
    bench.engine.set_capabilities(Capabilities(tags=("new",)), bench.now)
    assert bench.collect() == []
    if stage == "handshaking":
        bench.hello()
        bench.proof()
    bench.approve()
    bench.take()
    assert bench.frame(Approve()) == ["roster_summary", "network_state", "capabilities_update"]
    assert bench.frames[-1] == CapabilitiesUpdate(capabilities=Capabilities(tags=("new",)))


def test_updates_go_only_to_those_who_know_them() -> None:
    bench = Bench("lower").up_to("handshaking")
    bench.hello(features=("network_state_v1",))
    bench.proof()
    bench.approve()
    bench.raw(b'{"kind":"approve"}')
    bench.engine.set_capabilities(Capabilities(), bench.now)
    assert bench.collect() == []


def test_a_label_is_cut_before_it_is_sent() -> None:
    bench = Bench("lower")
    bench.engine.set_label("ü" * 1000)
    bench.up_to("handshaking")
    hello = next(frame for frame in bench.frames if isinstance(frame, Hello))
    assert hello.label == "ü" * 128


def test_more_hubs_than_anybody_could_rank_are_refused() -> None:
    bench = Bench("lower")
    with pytest.raises(EngineError, match=r"^topology: 1025 hubs are too many; name at most 1024$"):
        bench.engine.set_topology(Hubs(tuple(map(str, range(1025)))), bench.now)
    assert bench.engine.topology == FullMesh()
    assert bench.engine.capabilities.app_version == VERSION


def test_a_network_without_peers_is_alone_once_signaling_works() -> None:
    bench = Bench("lower")
    assert bench.engine.phase == "joining"
    bench.engine.signaling_is_up(bench.now)
    bench.collect()
    assert bench.engine.phase == "alone"
    bench.announce()
    assert [(event.prev, event.next) for event in bench.named(PhaseChanged)] == [
        ("joining", "alone"),
        ("alone", "discovering"),
    ]


def test_the_view_of_a_peer() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.event(LocalCandidate(Candidate("candidate:1 1 udp 1 a 1 typ host")))
    bench.candidate("7")
    bench.event(PairSelected("host", "relay"))
    bench.open_channel()
    bench.hello(label="Phone")
    [info] = bench.engine.peers(bench.now)
    assert info.status == "handshaking"
    assert info.label == "Phone"
    assert info.verification_code_received == "abc123"
    assert info.verification_code_sent is not None
    assert (info.local_candidates.host, info.remote_candidates.host) == (1, 1)
    assert info.selected_pair is not None
    assert (info.selected_pair.local, info.selected_pair.remote) == ("host", "relay")
    assert len(info.device_suffix) == 5


def test_the_start_is_told_with_its_options() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True, stun_urls=2, turn_urls=1))
    told = [(diag.category, diag.level, diag.detail) for diag in bench.diags]
    options = {"stun_count": 2, "turn_count": 1, "auto_approve": True}
    assert told[:2] == [("engine", "info", None), ("engine", "info", options)]


def test_late_reports_of_old_transports_reach_nobody() -> None:
    bench = Bench("higher").up_to("connecting")
    old = bench.epoch
    bench.offer("B2")
    assert bench.epoch > old
    for event in (ChannelOpened("a", "b"), LocalDescription(SdpType.ANSWER, sdp("A1"))):
        bench.engine.receive_link_event(bench.peer_id, old, event, bench.now)
    assert bench.collect() == []
    assert bench.status == "sighted"


def test_a_description_that_cannot_be_built_leaves_the_attempt_to_its_clock() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.event(NegotiationFailed(SdpType.OFFER, local=True, error="no sockets"))
    assert bench.status == "sighted"
    assert bench.diags[-1].level == "error"
    bench.wait(30.1)
    assert bench.status == "dropped ice_failed"


def test_an_unusable_answer_is_asked_for_again() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    bench.event(LocalDescription(SdpType.OFFER, sdp("A1")))
    bench.mono += 3.0
    bench.answer("B1")
    bench.event(NegotiationFailed(SdpType.ANSWER, local=False, error="unreadable"))
    bench.event(LocalDescription(SdpType.OFFER, sdp("A1.2")))
    assert bench.take()[-1] == "offer A1.2"


def test_stop_closes_everything_at_once() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.stop(bench.now)
    assert bench.collect() == ["close A1"]
    assert bench.actions[-2] == LinkDown(bench.peer_id, 0)
    assert bench.engine.next_timer() is None
    assert bench.engine.peers(bench.now) == []


def test_after_the_leave_only_the_transports_are_closed() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.leave(bench.now)
    bench.engine.leave(bench.now)
    assert bench.collect() == ["leave"]
    with pytest.raises(ShutDown, match="network shut down"):
        bench.engine.connect(bench.peer_id, False, None, bench.now)
    with pytest.raises(PeerNotFound):
        bench.engine.frame_for(bench.peer_id, FRAME, bench.now)
    assert bench.engine.broadcast(FRAME).hops == ()
    bench.actions.clear()
    bench.raw(b'{"kind":"ping","t":1}')
    bench.announce()
    assert bench.wait(0.3) == ["close A1"]
    bench.engine.stop(bench.now)
    bench.collect()
    assert [type(action) for action in bench.actions] == [CloseSession]


def test_epochs_never_come_back() -> None:
    bench = Bench("higher")
    for number in range(1, 30):
        bench.mono += 1.0
        bench.offer(f"B{number}")
    epochs = [action.epoch for action in bench.actions if isinstance(action, OpenSession)]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 29


def test_addresses_that_are_not_offered_are_told() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.event(GatheringDone())
    bench.event(GatheringDone(("172.17.0.1 of docker0: why",)))
    told = [diag.detail for diag in bench.diags if diag.message == "gathering done"]
    assert [detail.get("left_out") for detail in told if detail is not None] == [None, ("172.17.0.1 of docker0: why",)]
    assert bench.engine.left_out == ("172.17.0.1 of docker0: why",)


def test_a_network_that_leaves_takes_nothing_more_in() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.leave(bench.now)
    phase = bench.engine.phase
    bench.engine.signaling_is_up(bench.now)
    assert bench.engine.phase == phase


def test_what_the_engine_shows_of_its_network() -> None:
    pinned = Bench("higher").peer_id
    bench = Bench("higher", EngineConfig(pinned_peers=frozenset({pinned})))
    assert bench.engine.topology == FullMesh()
    assert bench.engine.capabilities.app_version == VERSION
    assert bench.engine.pinned_peers == {pinned}
    bench.connect(pin=True)
    assert bench.engine.pinned_peers == {pinned}


def test_what_others_noticed_is_told_in_the_diagnostics() -> None:
    bench = Bench("lower")
    bench.engine.tell("warn", "signaling", "relay trouble", {"relay": "wss://r"}, bench.now)
    bench.collect()
    assert bench.diags[-1].message == "relay trouble"


def test_the_roster_remembers_which_of_its_devices_seal() -> None:
    bench = Bench("lower").up_to("active")
    bench.actions.clear()
    bench.engine.note_sealing("somebody else", seals=True)
    bench.collect()
    assert not any(isinstance(action, SaveRoster) for action in bench.actions)
    bench.engine.note_sealing(bench.peer_id, seals=True)
    bench.engine.note_sealing(bench.peer_id, seals=True)
    bench.collect()
    assert sum(isinstance(action, SaveRoster) for action in bench.actions) == 1, "as it was is not saved"
    row = bench.engine.roster.get(bench.peer_id)
    assert row is not None
    assert row.seals
