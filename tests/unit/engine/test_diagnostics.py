"""Every row of spec 04 §9.3 that is the engine's: level, category and what stands in `detail`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh_common.events import Diag
from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import Emit, OpenSession
from myownmesh.engine.links import (
    CandidateRejected,
    ChannelClosed,
    GatheringDone,
    LocalCandidate,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    PathState,
    SdpType,
)
from myownmesh.engine.moves import Move
from myownmesh.engine.shaping import take_pass
from myownmesh.protocol.frames import Ping
from myownmesh.protocol.modes import Star
from myownmesh.protocol.signals import Candidate
from unit.engine.bench import Bench, sdp

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = "candidate:1 1 UDP 12345 192.168.1.5 54321 typ host"
Play = "Callable[[Bench], object]"


def _mute_path(bench: Bench) -> None:
    bench.event(PathChanged(PathState.FAILED))
    bench.wait(31)


def _clocks_differ(bench: Bench) -> None:
    for _ in range(5):
        bench.frame(Ping(t=bench.now.wall_ms + 3_600_000))
    for _ in range(8):
        bench.wait(30)
        bench.frame(Ping(t=bench.now.wall_ms + 3_600_000))


def _clocks_agree_again(bench: Bench) -> None:
    _clocks_differ(bench)
    for _ in range(12):
        bench.wait(30)
        bench.frame(Ping(t=bench.now.wall_ms))


def _probed(bench: Bench) -> None:
    bench.event(PathChanged(PathState.CONNECTED))
    _announce_after(bench, 40)


def _announce_after(bench: Bench, seconds: float) -> None:
    bench.mono += seconds
    bench.announce()


ROWS: list[tuple[str, str, str | None, Callable[[Bench], object], set[str]]] = [
    # level, category, stage to begin with, what happens, members of detail
    ("debug", "signaling", None, lambda bench: bench.announce(), {"peer", "role"}),
    ("debug", "signaling", None, lambda bench: bench.offer("B1"), {"peer", "sdp_bytes"}),
    ("debug", "signaling", "connecting", lambda bench: bench.answer("B1"), {"peer", "sdp_bytes"}),
    ("debug", "signaling", "active", lambda bench: bench.answer("B2"), {"peer", "reason"}),
    ("info", "signaling", "active", lambda bench: bench.leave(), {"peer"}),
    ("info", "signaling", None, lambda bench: bench.engine.signaling_is_up(bench.now), set()),
    ("info", "peer", None, lambda bench: bench.announce(), {"peer", "role", "why"}),
    ("warn", "peer", "active", lambda bench: bench.event(ChannelClosed("gone")), {"peer", "reason"}),
    ("warn", "transport", "active", lambda bench: bench.event(ChannelClosed("gone")), {"peer", "reason"}),
    (
        "error",
        "signaling",
        "connecting",
        lambda bench: bench.event(NegotiationFailed(SdpType.ANSWER, local=False, error="no transport")),
        {"peer", "sdp_type", "error"},
    ),
    ("debug", "ice", "connecting", lambda b: b.event(LocalCandidate(Candidate(LINE))), {"peer", "kind"}),
    ("debug", "ice", None, lambda b: (b.announce(), b.candidate(LINE)), {"peer", "kind"}),
    ("warn", "ice", "connecting", lambda b: b.event(CandidateRejected(LINE, "no")), {"peer", "kind", "error"}),
    ("debug", "ice", "connecting", lambda b: b.event(GatheringDone()), {"peer", "host", "srflx", "relay"}),
    ("debug", "ice", "active", lambda b: b.event(PathChanged(PathState.CHECKING)), {"peer", "ice_state"}),
    ("info", "ice", "active", lambda b: b.event(PathChanged(PathState.DISCONNECTED)), {"peer", "ice_state"}),
    ("debug", "transport", "active", lambda b: b.event(PathChanged(PathState.DISCONNECTED)), {"peer", "state"}),
    (
        "info",
        "ice",
        "active",
        lambda b: b.event(PairSelected("host", "relay")),
        {"peer", "local", "remote", "transport"},
    ),
    ("warn", "ice", "active", _mute_path, {"peer"}),
    ("warn", "ice", "connecting", lambda b: b.wait(31), {"peer", "connect_timeout_ms"}),
    ("warn", "heartbeat", "active", lambda b: b.wait(125), {"peer"}),
    ("warn", "clock", "active", _clocks_differ, {"skew_ms", "peers"}),
    ("info", "network", "active", lambda b: b.engine.reconnect(None, b.now), {"manual"}),
    ("info", "network", "active", lambda b: b.engine.reconnect(b.peer_id, b.now), {"manual", "peer"}),
    ("info", "engine", None, lambda b: b.engine.stop(b.now), {"reason"}),
    ("debug", "signaling", "active", _probed, {"peer", "stale_inbound_ms"}),
    ("warn", "signaling", "active", lambda b: (_probed(b), b.wait(6)), {"peer"}),
    ("info", "signaling", "active", lambda b: _announce_after(b, 85), {"peer", "stale_inbound_ms"}),
    (
        "debug",
        "ice",
        "active",
        lambda b: (b.wait(3), b.engine.reconnect(b.peer_id, b.now)),
        {"peer", "trigger", "role", "forced", "ice_before", "ice_restarts"},
    ),
    ("info", "clock", "active", _clocks_agree_again, {"skew_ms"}),
    ("info", "network", "active", lambda b: b.engine.network_moved(Move.OFFLINE, {"prev": 1}, b.now), {"prev"}),
    (
        "info",
        "network",
        "active",
        lambda b: b.engine.network_moved(Move.MOVED, {"prev": 1, "next": 2}, b.now),
        {"prev", "next"},
    ),
]


def _said(bench: Bench) -> list[tuple[str, str, frozenset[str]]]:
    bench.collect()
    return [(diag.level, diag.category, frozenset(diag.detail or ())) for diag in bench.diags]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[1]}-{row[0]}-{'-'.join(sorted(row[4]))}")
def test_a_row(row: tuple[str, str, str | None, Callable[[Bench], object], set[str]]) -> None:
    level, category, stage, play, members = row
    bench = Bench("lower")
    if stage is not None:
        bench.up_to(stage)  # type: ignore[arg-type]  # the table's own words
    bench.diags.clear()
    play(bench)
    assert (level, category, frozenset(members)) in _said(bench)


def test_the_start() -> None:
    started = [(diag.level, set(diag.detail or ())) for diag in Bench("lower").diags if diag.category == "engine"]
    assert started == [
        ("info", set()),
        ("info", {"stun_count", "turn_count", "auto_approve"}),
        ("debug", {"tickers"}),
    ]


def test_signaling_is_up_once() -> None:
    bench = Bench("lower")
    for _ in range(3):
        bench.engine.signaling_is_up(bench.now)
        bench.collect()
    assert [diag.message for diag in bench.diags].count("drivers online") == 1


def _offers(bench: Bench) -> list[Diag]:
    return [diag for diag in bench.diags if "offer to" in diag.message]


def test_an_offer_that_is_not_the_first_says_why() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.wait(7)
    first, second = _offers(bench)
    assert set(first.detail or ()) == {"peer", "sdp_bytes"}
    assert second.detail is not None
    assert (set(second.detail), second.detail["reason"]) == ({"peer", "sdp_bytes", "reason"}, "unanswered")
    bench.mono += 3
    bench.announce()
    assert (_offers(bench)[-1].detail or {})["reason"] == "stuck-at-sighted"


@pytest.mark.parametrize(
    ("local", "remote", "words"),
    [
        ("host", "host", ("Host", "Host", "direct")),
        ("server_reflexive", "host", ("ServerReflexive", "Host", "direct (STUN)")),
        ("host", "peer_reflexive", ("Host", "PeerReflexive", "direct (STUN)")),
        ("relay", "host", ("Relay", "Host", "relayed (TURN)")),
    ],
)
def test_the_selected_pair_is_labelled_by_its_kind(local: str, remote: str, words: tuple[str, ...]) -> None:
    """Spec 04 §15.1 no. 25."""
    bench = Bench("lower").up_to("active")
    bench.diags.clear()
    bench.event(PairSelected(local, remote))
    detail = bench.diags[0].detail or {}
    assert (detail["local"], detail["remote"], detail["transport"]) == words


def test_the_shape_says_whom_it_dials_and_lets_go() -> None:
    bench = Bench("lower", EngineConfig(topology=Star(hub="z" * 52)))
    bench.announce()
    bench.diags.clear()
    bench.engine.set_topology(Star(hub=bench.us.device_id), bench.now)
    bench.wait(3)
    assert ("info", "peer", frozenset({"peer", "role", "why"})) in _said(bench)
    other = Bench("lower", EngineConfig(topology=Star(hub="z" * 52)))
    other.announce()
    other.engine.core.set_topology(Star(hub=other.us.device_id))
    take_pass(other.engine.core, other.now)
    assert [level for level, category, _ in _said(other) if category == "topology"] == ["info"]


def test_nobody_reads_and_nothing_is_made() -> None:
    bench = Bench("lower")
    bench.diags.clear()
    bench.engine.be_watched(watched=False)
    bench.announce()
    bench.answer("B1")
    bench.event(ChannelClosed("gone"))
    bench.offer("B2")
    bench.candidate(LINE)
    bench.wait(130)
    assert bench.diags == []
    bench.engine.be_watched(watched=True)
    bench.announce()
    assert bench.diags


def test_nobody_reads_what_the_shape_does_and_nothing_is_made() -> None:
    bench = Bench("lower", EngineConfig(topology=Star(hub="z" * 52)))
    bench.diags.clear()
    bench.engine.be_watched(watched=False)
    bench.announce()
    assert bench.status == "sighted"
    core = bench.engine.core
    core.set_topology(Star(hub=bench.us.device_id))
    take_pass(core, bench.now)
    assert any(isinstance(action, OpenSession) for action in core.out)
    assert not any(isinstance(action, Emit) and isinstance(action.event, Diag) for action in core.out)


def test_descriptions_are_counted_in_bytes() -> None:
    bench = Bench("lower")
    bench.offer("B1")
    assert bench.diags[-1].detail is not None
    assert len(sdp("B1")) in [diag.detail.get("sdp_bytes") for diag in bench.diags if diag.detail]
