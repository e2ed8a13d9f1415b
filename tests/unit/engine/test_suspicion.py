"""A peer that owes us a frame is asked, then its path is restarted; whoever answers late keeps its link."""

from __future__ import annotations

from msgspec import Raw

from mesh_common.events import PeerDropped
from myownmesh.engine.links import PathChanged, PathState
from myownmesh.protocol.frames import Ping, Pong, RpcRequest
from unit.engine.bench import Bench


def live() -> Bench:
    bench = Bench("higher").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.wait(3.0)
    bench.frame(Pong(t=1))
    bench.take()
    return bench


def call(bench: Bench) -> None:
    bench.engine.frame_for(bench.peer_id, RpcRequest(request_id="r", method="m", payload=Raw(b"1")), bench.now)


def answer(bench: Bench) -> None:
    [*_, ping] = [frame for frame in bench.frames if isinstance(frame, Ping)]
    bench.frame(Pong(t=ping.t))


def test_a_call_behind_which_nothing_comes_ends_in_a_restart_within_four_seconds() -> None:
    bench = live()
    call(bench)
    assert bench.wait(1.9) == []
    assert bench.wait(0.2) == ["ping"]
    assert bench.wait(1.0) == ["ping"]
    assert bench.wait(0.9) == ["offer A1.2 r2"]


def test_a_call_that_takes_long_is_no_reason_while_pings_are_answered() -> None:
    bench = live()
    call(bench)
    assert bench.wait(2.1) == ["ping"]
    answer(bench)
    assert bench.wait(20.0) == []


def test_a_call_whose_peer_says_anything_asks_nothing() -> None:
    bench = live()
    call(bench)
    bench.wait(1.0)
    bench.frame(Ping(t=5))
    bench.take()
    assert bench.wait(10.0) == []


def test_of_a_peer_that_is_not_admitted_nothing_is_due() -> None:
    bench = Bench("lower").up_to("pending")
    bench.engine.call_goes_out(bench.peer_id, bench.now)
    assert "ping" not in bench.wait(10.0)


def test_many_calls_ask_once() -> None:
    bench = live()
    for _ in range(50):
        call(bench)
    assert bench.wait(2.1) == ["ping"]
    call(bench)
    assert bench.wait(0.8) == []


def test_an_unanswered_heartbeat_ends_in_a_restart() -> None:
    bench = live()
    bench.wait(27.0)  # to the beat
    assert bench.wait(1.9) == []
    assert bench.wait(0.2) == ["ping"]
    assert bench.wait(1.0) == ["ping"]
    assert bench.wait(1.0) == ["offer A1.2 r2"]


def test_an_answered_heartbeat_costs_nothing_more() -> None:
    bench = live()
    bench.wait(27.0)
    answer(bench)
    assert bench.wait(10.0) == []


def test_a_slow_path_gets_three_round_trips() -> None:
    bench = live()
    bench.wait(27.0)
    bench.wait(1.5)
    answer(bench)
    assert bench.info.rtt_ms == 1500
    call(bench)
    assert bench.wait(4.4) == []
    assert bench.wait(0.2) == ["ping"]
    assert bench.wait(4.3) == []


def test_a_peer_that_answers_after_a_minute_keeps_its_link() -> None:
    """v0.3.8 has been seen to stand for 45 s on a slow machine, while its ICE went on."""
    bench = live()
    call(bench)
    for _ in range(2):
        bench.wait(75.0)
        bench.event(PathChanged(PathState.CHECKING, PathState.CONNECTED))
        bench.event(PathChanged(PathState.CONNECTED))
        answer(bench)
    assert bench.status == "active"
    assert bench.named(PeerDropped) == []


def test_one_silence_causes_one_restart() -> None:
    bench = live()
    call(bench)
    bench.wait(4.1)
    bench.offer("B1.2 r2")
    bench.event(PathChanged(PathState.CHECKING, PathState.CONNECTED))
    bench.event(PathChanged(PathState.CONNECTED))
    assert not any(word.startswith("offer") for word in bench.wait(60.0))


def test_a_silent_peer_is_dropped_by_the_heartbeat_as_before() -> None:
    bench = live()
    bench.wait(115.0)
    assert bench.status == "active"
    bench.wait(2.1)
    assert [drop.reason.kind for drop in bench.named(PeerDropped)] == ["heartbeat_timeout"]


def test_one_that_falls_silent_again_is_asked_again() -> None:
    bench = live()
    call(bench)
    bench.wait(2.1)
    answer(bench)
    bench.wait(5.0)
    call(bench)
    assert bench.wait(2.1) == ["ping"]
