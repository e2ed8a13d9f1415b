"""Frames that reach a peer over forwarders (spec 01 §14; vectors: peer-protocol.json `routing`)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw, json

from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import Deliver, Emit, Forward
from myownmesh.engine.core import Core
from myownmesh.engine.errors import NoRoute, PeerNotFound
from myownmesh.engine.links import PathState
from myownmesh.engine.peer import Live
from myownmesh.engine.routes import COPIES_KNOWN, FORWARD_BURST_BYTES, Routes
from myownmesh.engine.routing import receive
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import decode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL, RELAY_TAG, Routed, onward, read_routed, wrapped
from myownmesh.protocol.frames import Channel, Ping
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.roster import Roster
from support.vectors import load
from unit.engine.bench import LOW, Bench
from unit.engine.stages import active, pending, shelved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.engine import Engine
    from myownmesh.protocol.modes import TopologyMode

ROUTING: dict[str, Any] = load("peer-protocol", "routing")
BODY = Raw(b'{"k":1}')
NOW = Instant(1000.0, 0)
ME = LOW.device_id
STAR = Star("hub")


class Desk:
    """A core with admitted peers, and what it did with a frame of the relay channel."""

    def __init__(self, mode: TopologyMode, peers: Iterable[str], *, me: str = ME, rostered: Iterable[str] = ()) -> None:
        roster = Roster("home")
        for device_id in (*peers, *rostered):
            roster = roster.approve(device_id, "", 0)
        self.core = Core(LOW, "home", EngineConfig(topology=mode), roster, random.Random(1))
        self.core.me = me
        for number, device_id in enumerate(peers):
            self.core.install(active(device_id, number), NOW)

    def receive(self, carrier: str, frame: Channel, mono: float = NOW.mono) -> list[Any]:
        peer = self.core.peers[carrier]
        self.core.out.clear()
        receive(self.core, peer, frame, Instant(mono, 0))  # type: ignore[arg-type]  # the desk's peers are admitted
        return [each for each in self.core.out if isinstance(each, Deliver | Forward)]

    def routed(self, carrier: str, *, dst: str = "", src: str = "", ttl: int = 4, frame_id: int = 7) -> list[Any]:
        return self.receive(carrier, wrapped(Routed(dst, src, "chat", BODY, ttl, frame_id)))


def inside(action: Forward) -> Routed:
    frame = decode_frame(action.data)
    assert isinstance(frame, Channel)
    assert frame.channel == RELAY_CHANNEL
    routed = read_routed(frame.payload)
    assert routed is not None
    return routed


def to_subscribers(peer: str, epoch: int) -> Deliver:
    return Deliver(peer, epoch, Channel("chat", BODY))


def test_what_is_no_envelope_belongs_to_the_subscribers_of_the_relay_channel() -> None:
    frame = Channel(RELAY_CHANNEL, Raw(b'{"hi":1}'))
    assert Desk(STAR, ["a"]).receive("a", frame) == [Deliver("a", 0, frame)]


def test_only_a_device_that_says_that_it_is_a_relay_names_another_origin() -> None:
    desk = Desk(FullMesh(), ["a"])
    [carrier] = desk.core.live_peers()
    own, foreign = (Channel(RELAY_CHANNEL, onward(src, BODY)) for src in ("a", "far"))
    for advert in (None, Capabilities(("service:turn",))):
        carrier.channel.capabilities = advert
        assert desk.receive("a", own) == [Deliver("a", 0, own)]
        assert desk.receive("a", foreign) == []
    carrier.channel.capabilities = Capabilities(("service:turn", RELAY_TAG))
    assert desk.receive("a", foreign) == [Deliver("a", 0, foreign)]


def test_of_invented_origins_the_diagnostics_say_so_and_not_each_time() -> None:
    desk = Desk(FullMesh(), ["a"], rostered=["far"])
    frames = [Channel(RELAY_CHANNEL, onward("far", BODY)), wrapped(Routed(ME, "far", "chat", BODY, 4, 7))]
    told = []
    for number in range(9):
        desk.receive("a", frames[number % 2])
        told += [each.event.detail["count"] for each in desk.core.out if isinstance(each, Emit)]
    assert told == [1, 2, 4, 8]


def test_of_a_frame_that_is_for_us_the_origin_is_the_sender() -> None:
    desk = Desk(Star("hub"), ["hub"], rostered=["far"])
    assert desk.routed("hub", dst=ME, src="far") == [to_subscribers("far", 0)]
    assert desk.routed("hub", dst=ME, src="", frame_id=8) == [to_subscribers("hub", 0)]
    assert desk.routed("hub", dst="", src="far", frame_id=9) == [to_subscribers("far", 0)], "a spoke passes nothing on"


@pytest.mark.parametrize("src", ["nobody", ME, "bücher", "far-12345", "\u202e"])
def test_a_forwarder_can_name_any_origin_and_none_that_we_do_not_know_is_believed(src: str) -> None:
    assert Desk(Star("hub"), ["hub"], rostered=["far"]).routed("hub", dst=ME, src=src) == []


def test_who_is_no_forwarder_speaks_for_itself_only() -> None:
    rule = ROUTING["origin_rule"]
    assert rule["topology"] == "full_mesh"
    desk = Desk(FullMesh(), [rule["from"]], rostered=[rule["src"]])
    assert desk.routed(rule["from"], dst=ME, src=rule["src"]) == []
    assert desk.core.routes.is_first(rule["src"], 7), "what was dropped is not remembered"
    assert desk.routed(rule["from"], dst=ME) == [to_subscribers(rule["from"], 0)]


def test_a_copy_is_dropped_and_id_0_is_no_copy() -> None:
    desk = Desk(Star("hub"), ["hub"], rostered=["far"])
    assert desk.routed("hub", src="far")
    assert desk.routed("hub", src="far") == []
    assert desk.routed("hub", src="hub"), "another origin"
    assert desk.routed("hub", src="far", frame_id=0)
    assert desk.routed("hub", src="far", frame_id=0)


def test_the_memory_of_copies_is_bounded() -> None:
    routes = Routes()
    for case in ROUTING["dedup"]["cases"]:
        assert routes.is_first(case["origin"], case["id"]) is case["first"]
    assert ROUTING["dedup"]["capacity"] == COPIES_KNOWN
    routes = Routes()
    for number in range(1, COPIES_KNOWN + 2):
        assert routes.is_first("o", number)
    assert routes.is_first("o", 1), "the oldest is forgotten"
    assert not routes.is_first("o", COPIES_KNOWN + 1)


def test_a_hub_passes_a_broadcast_on_to_everybody_else() -> None:
    desk = Desk(Star(ME), ["a", "b", "c"])
    desk.core.install(shelved("d", 3), NOW)
    desk.core.install(pending("e", 4), NOW)
    delivered, forwarded = desk.routed("a", ttl=3)
    assert delivered == to_subscribers("a", 0)
    assert (forwarded.hops, forwarded.to_all) == ((("b", 1), ("c", 2), ("d", 3)), True)
    assert inside(forwarded) == Routed("", "a", "chat", BODY, 2, 7)


def test_the_origin_gets_no_copy_of_its_own() -> None:
    _, forwarded = Desk(Ring(2), ["a", "b", "c"]).routed("a", src="b", ttl=32)
    assert forwarded.hops == (("c", 2),)


@pytest.mark.parametrize("ttl", [0, 256])
def test_a_frame_without_hops_left_ends_here(ttl: int) -> None:
    assert Desk(Star(ME), ["a", "b"]).routed("a", ttl=ttl) == [to_subscribers("a", 0)]
    assert Desk(Star(ME), ["a", "b"]).routed("a", dst="b", ttl=ttl) == []


@pytest.mark.parametrize(("mode", "most"), [(Star(ME), 3), (Ring(1), 32), (Hubs((ME,)), 4)])
def test_hops_are_held_to_what_the_shape_needs(mode: TopologyMode, most: int) -> None:
    desk = Desk(mode, ["a", "b"])
    payload = Raw(b'{"dst":"b","src":"","payload":{"__channel":"c","__body":1,"__ttl":18446744073709551615,"__id":9}}')
    [forwarded] = desk.receive("a", Channel(RELAY_CHANNEL, payload))
    assert inside(forwarded).ttl == most - 1


def test_a_directed_frame_goes_to_its_destination_or_the_next_hops_but_not_back() -> None:
    desk = Desk(Hubs((ME, "h2", "h3"), 2), ["a", "b", "h2", "h3"])
    [forwarded] = desk.routed("a", dst="b")
    assert (forwarded.hops, forwarded.to_all) == ((("b", 1),), False)
    [forwarded] = desk.routed("h2", dst="far", src="a", frame_id=8)
    assert forwarded.hops == (("h3", 3),)
    assert Desk(Star(ME), ["a"]).routed("a", dst="far") == [], "a hub has no further hops"


def test_a_peer_whose_path_is_down_is_no_next_hop_while_another_one_is() -> None:
    desk = Desk(Hubs((ME, "h2", "h3", "h4"), 3), ["a", "b", "h2", "h3", "h4"])

    def cut(device_id: str) -> None:
        peer = desk.core.peers[device_id]
        assert isinstance(peer, Live)
        peer.transport.path = PathState.DISCONNECTED

    cut("h3")
    [forwarded] = desk.routed("a", dst="far")
    assert [hop for hop, _ in forwarded.hops] == ["h2", "h4"]
    cut("b")
    [forwarded] = desk.routed("a", dst="b", frame_id=8)
    assert [hop for hop, _ in forwarded.hops] == ["b"], "its own link is the last one anyway"
    for device_id in ("a", "h2", "h4"):
        cut(device_id)
    [forwarded] = desk.routed("a", dst="far", frame_id=9)
    assert [hop for hop, _ in forwarded.hops] == ["h2", "h3", "h4"], "there is no better one"


def test_a_spoke_and_a_member_of_a_full_mesh_pass_nothing_on() -> None:
    assert Desk(Star("hub"), ["hub", "a"]).routed("hub", dst="a") == []
    assert Desk(FullMesh(), ["a", "b"]).routed("a", dst="b") == []


def test_a_frame_that_grew_too_large_by_its_origin_ends_here() -> None:
    body = Raw(b'"' + b"x" * 65_400 + b'"')
    frame = wrapped(Routed("b" * 52, "", "c", body, 3, 7))
    desk = Desk(Star(ME), ["a" * 52, "b" * 52])
    assert desk.receive("a" * 52, frame) == []


def test_what_is_passed_on_for_a_carrier_is_rationed_and_others_are_not_affected() -> None:
    desk = Desk(Star(ME), ["a", "b", "c"])
    body = Raw(b'"' + b"x" * 60_000 + b'"')
    passed = 0
    for number in range(1, 1000):
        frame = wrapped(Routed("b", "", "c", body, 3, number))
        passed += sum(isinstance(each, Forward) for each in desk.receive("a", frame))
    assert passed * 60_000 == pytest.approx(FORWARD_BURST_BYTES, rel=0.02)
    assert len(desk.routed("c", dst="b")) == 1
    again = desk.receive("a", wrapped(Routed("b", "", "c", body, 3, 2000)), NOW.mono + 1.0)
    assert len(again) == 1, "a second later there is room again"


def test_a_link_that_ended_leaves_no_account() -> None:
    routes = Routes()
    assert routes.may_carry("a", int(FORWARD_BURST_BYTES), 0.0)
    assert not routes.may_carry("a", 1, 0.0)
    routes.forget("a")
    assert routes.may_carry("a", 1, 0.0)
    routes.forget("nobody")


# ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def spoke_of(bench_mode: TopologyMode) -> tuple[Engine, Bench]:
    bench = Bench("lower", EngineConfig(topology=bench_mode))
    bench.connect()
    bench.up_to("active")
    return bench.engine, bench


def test_a_peer_without_a_link_is_reached_over_a_hub() -> None:
    bench = Bench("lower", EngineConfig())
    bench.up_to("active")
    bench.engine.set_topology(Star(bench.peer_id), bench.now)
    out = bench.engine.frame_for("far", Channel("chat", BODY), bench.now)
    assert out.hops == ((bench.peer_id, bench.epoch),)
    frame = decode_frame(out.data)
    assert isinstance(frame, Channel)
    routed = read_routed(frame.payload)
    assert routed is not None
    assert (routed.dst, routed.src, routed.channel, routed.ttl) == ("far", ME, "chat", 3)
    assert routed.id % 2 == 1
    copy = bench.frame(frame)
    assert (copy, bench.delivered) == ([], []), "our own frame that comes back is nobody's"
    direct = bench.engine.frame_for(bench.peer_id, Channel("chat", BODY), bench.now)
    assert decode_frame(direct.data) == Channel("chat", BODY)


def test_without_a_hop_there_is_no_route() -> None:
    engine, bench = spoke_of(Star("hub"))
    with pytest.raises(NoRoute) as refused:
        engine.frame_for("far", Channel("chat", BODY), bench.now)
    assert str(refused.value) == (
        "transport: network: no route to far: not directly connected and the topology names no next hop"
    )


def test_only_channel_frames_are_routed() -> None:
    engine, bench = spoke_of(Ring(1))
    assert engine.frame_for("far", Channel("chat", BODY), bench.now)
    with pytest.raises(PeerNotFound, match="far not found in active set"):
        engine.frame_for("far", Ping(t=1), bench.now)


def test_a_broadcast_in_a_shaped_network_is_a_flood() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.set_topology(Star(bench.peer_id), bench.now)
    out = bench.engine.broadcast(Channel("chat", BODY))
    assert out.hops == ((bench.peer_id, bench.epoch),)
    frame = decode_frame(out.data)
    assert isinstance(frame, Channel)
    routed = read_routed(frame.payload)
    assert routed is not None
    assert (routed.dst, routed.src, routed.ttl) == ("", ME, 3)
    assert json.decode(routed.body) == {"k": 1}
    bench.frame(frame)
    assert bench.delivered == []
