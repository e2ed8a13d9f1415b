"""The gate: what a peer that is not admitted can do, which is next to nothing (spec 01 §5)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import to_builtins

from mesh_common.events import PeerDropped
from myownmesh.engine import EngineConfig
from myownmesh.engine.limits import MAX_EARLY_FRAMES
from myownmesh.engine.links import PathChanged, PathState
from myownmesh.engine.peer import ICE_WATCHDOG, STEADY, Live
from myownmesh.engine.views import peer_info
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    KINDS,
    Approve,
    Channel,
    ChannelSeq,
    Hello,
    Ping,
    RosterRequest,
    RpcRequest,
)
from support.vectors import load
from unit.engine.bench import Bench
from unit.engine.stages import every_stage

if TYPE_CHECKING:
    from myownmesh.protocol.frames import (
        Frame,
    )

ADMISSION: dict[str, Any] = load("peer-protocol", "admission")
ACTIVATION: dict[str, Any] = load("peer-protocol", "activation")
RAW = msgspec.Raw(b"1")
GATED: dict[str, Frame] = {
    "channel": Channel(channel="c", payload=RAW),
    "channel_seq": ChannelSeq(stream=1, seq=1, channel="c", payload=RAW),
    "rpc_request": RpcRequest(request_id="r", method="m", payload=RAW),
    "roster_request": RosterRequest(include_all=True),
}


@pytest.mark.parametrize("case", ADMISSION["cases"], ids=lambda case: f"{case['status']} {case['authenticated']}")
def test_who_is_admitted(case: dict[str, Any]) -> None:
    """By the class of its stage alone; what no stage shows cannot be, and so cannot be admitted."""
    infos = [(peer_info(peer), isinstance(peer, Live)) for peer in every_stage()]
    shown = [
        live for info, live in infos if (info.status, info.authenticated) == (case["status"], case["authenticated"])
    ]
    assert all(live is case["admitted"] for live in shown)
    assert shown or not case["admitted"]


def test_the_four_ungated_kinds() -> None:
    assert {kind for kind, frame in KINDS.items() if not frame.GATED} == set(ADMISSION["ungated_kinds"])


@pytest.mark.parametrize("stage", ["handshaking", "pending"])
@pytest.mark.parametrize("kind", [example["kind"] for example in ADMISSION["gated_examples"]])
def test_a_gated_frame_leaves_no_trace(kind: str, stage: Any) -> None:
    bench = Bench("lower").up_to(stage)
    bench.event(PathChanged(PathState.DISCONNECTED))
    bench.mono += 1.0
    before = (bench.info, to_builtins(bench.engine.traffic), bench.engine.next_timer())
    assert bench.frame(GATED[kind]) == []
    assert (bench.info, to_builtins(bench.engine.traffic), bench.engine.next_timer()) == before
    assert bench.info.tier is ICE_WATCHDOG
    assert refusals(bench) == [1]
    assert bench.delivered == []


def refusals(bench: Bench) -> list[int]:
    """The counts at which a refusal was told."""
    return [diag.detail["count"] for diag in bench.diags if diag.detail and "before its admission" in diag.message]


def test_a_gated_frame_is_no_sign_of_life() -> None:
    bench = Bench("lower").up_to("pending")
    bench.event(PathChanged(PathState.FAILED))
    bench.wait(20.0)
    bench.frame(GATED["channel"])
    bench.wait(6.0)
    bench.announce()
    assert bench.named(PeerDropped)[-1].reason.kind == "heartbeat_timeout", "26 s without an accepted frame"


def test_refusals_are_logged_at_powers_of_two() -> None:
    bench = Bench("lower").up_to("handshaking")
    bench.diags.clear()
    for _ in range(20):
        bench.frame(Ping(t=1))
    counts = [diag.detail["count"] for diag in bench.diags if diag.detail and "count" in diag.detail]
    assert counts == [1, 2, 4, 8, 16]


def test_unknown_kinds_are_gated_too() -> None:
    bench = Bench("lower").up_to("pending")
    bench.raw(b'{"kind":"later"}')
    assert refusals(bench) == [1]
    active = Bench("lower").up_to("active")
    traffic = to_builtins(active.engine.traffic)
    active.raw(b'{"kind":"later"}')
    assert refusals(active) == []
    assert to_builtins(active.engine.traffic) != traffic, "taken note of, and no more"


@pytest.mark.parametrize("case", ACTIVATION["cases"])
def test_active_needs_all_three(case: dict[str, Any]) -> None:
    steps = (case["authenticated"], case["local_approve_sent"], case["remote_approve_seen"])
    bench = Bench("lower").up_to("handshaking")
    if case["remote_approve_seen"]:
        bench.frame(Approve())
    if case["local_approve_sent"]:
        bench.approve()
    if case["authenticated"]:
        bench.hello()
        bench.proof()
    assert (bench.status == "active") is case["active"], steps
    assert (bench.status == "active") is all(steps)


@pytest.mark.parametrize("order", list(product([0, 1], repeat=3)))
def test_any_order_of_consents_ends_active(order: tuple[int, int, int]) -> None:
    """No order of hello, auth_response and approve is guaranteed (spec 01 §4.1)."""
    bench = Bench("lower").up_to("handshaking")
    first = [step for step, late in zip(("hello", "proof", "approve"), order, strict=True) if not late]
    late = [step for step, late in zip(("hello", "proof", "approve"), order, strict=True) if late]
    for step in [*first, "user", *late]:
        match step:
            case "hello":
                bench.hello()
            case "proof":
                bench.proof()
            case "approve":
                bench.frame(Approve())
            case _:
                bench.approve()
    assert bench.status == "active"


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 65_537, b"{", b"\xff", b'{"kind":"ping","t":"1"}', b"[1]", b'{"kind":"hello"}', b"null"],
)
def test_bad_messages_harm_nobody(data: bytes) -> None:
    bench = Bench("lower").up_to("active")
    before = (bench.info, to_builtins(bench.engine.traffic))
    bench.mono += 5.0
    assert bench.raw(data) == []
    assert bench.status == "active"
    assert (bench.info, to_builtins(bench.engine.traffic)) == before
    bench.frame(GATED["channel"])
    assert bench.delivered == [GATED["channel"]]


def test_inbound_frames_prove_recovery() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(PathChanged(PathState.DISCONNECTED))
    assert bench.info.tier is ICE_WATCHDOG
    bench.frame(GATED["channel"])
    assert bench.info.tier is STEADY


def test_a_flood_of_control_frames_costs_the_link() -> None:
    bench = Bench("lower").up_to("active")
    for _ in range(150):
        bench.frame(Ping(t=1))
    assert bench.status == "active", "a burst is no abuse"
    for _ in range(2000):
        if bench.has_entry:
            bench.frame(Ping(t=1))
            bench.mono += 0.001
    assert bench.status == "dropped transport_error"


def test_garbage_counts_as_a_flood_too() -> None:
    bench = Bench("lower").up_to("handshaking")
    for _ in range(2000):
        if bench.has_entry:
            bench.raw(b"\x00")
    assert bench.status == "dropped transport_error"


def test_application_frames_are_not_rationed() -> None:
    bench = Bench("lower").up_to("active")
    for _ in range(5000):
        bench.frame(GATED["channel"])
    assert len(bench.delivered) == 5000


def test_frames_before_the_open_event_are_kept_but_not_many() -> None:
    bench = Bench("lower").up_to("connecting")
    for _ in range(100):
        bench.raw(encode_frame(Ping(t=1)))
    bench.open_channel()
    assert refusals(bench) == [1, 2, 4, MAX_EARLY_FRAMES]
    bench.frame(Ping(t=1))
    assert refusals(bench)[-1] == MAX_EARLY_FRAMES


def test_frames_of_a_replaced_transport_are_ignored() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.receive_frame(bench.peer_id, bench.epoch - 1, encode_frame(GATED["channel"]), bench.now)
    bench.engine.receive_frame("q" * 52, 0, encode_frame(GATED["channel"]), bench.now)
    bench.collect()
    assert bench.delivered == []


def test_labels_of_peers_are_cut_and_cleaned() -> None:
    bench = Bench("lower").up_to("handshaking")
    bench.hello(label="evil\x1b[2J\u202e" + "x" * 5000)
    assert bench.info.label.startswith("evil[2J")
    assert len(bench.info.label.encode()) <= 256


def test_a_hello_of_another_device_ends_the_link() -> None:
    bench = Bench("lower").up_to("handshaking")
    other = Hello(protocol=1, device_id="q" * 51 + "a", label="", nonce="n", verification_code="abc123")
    bench.frame(other)
    assert bench.status == "dropped auth_failed"


def test_a_hello_may_name_the_display_form() -> None:
    bench = Bench("lower").up_to("handshaking")
    hello = Hello(protocol=7, device_id=bench.peer_id + "-ABC12", label="", nonce="|||", verification_code="ü" * 99)
    assert bench.frame(hello) == ["auth_response"]


def test_the_event_waits_for_the_hello() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("handshaking")
    bench.proof()
    assert "PeerAuthenticated" not in [type(event).__name__ for event in bench.events]
    bench.hello(label="Phone")
    [event] = [event for event in bench.events if type(event).__name__ == "PeerAuthenticated"]
    assert event.label == "Phone"  # type: ignore[union-attr]  # it is known
