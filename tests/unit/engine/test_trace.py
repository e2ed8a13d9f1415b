"""The connection trace (spec 04 §9.5, 05 §10.6): which change makes a record, and what stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mesh_common.views import CandidateKind, SelectedPair
from myownmesh.engine.links import ChannelClosed, PairSelected, PathChanged, PathState
from myownmesh.engine.path_words import pair_class
from myownmesh.engine.trace import Tracer
from myownmesh.protocol.frames import Ping, Shelve, Unshelve
from myownmesh.protocol.modes import Star
from support.vectors import load
from unit.engine.bench import HIGH, LOW, NETWORK, Bench

if TYPE_CHECKING:
    from mesh_common.events import ConnTrace

VECTORS = load("control-socket", "conn_trace")


class Reader:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.tracer = Tracer()

    def changes(self) -> list[tuple[str, ...]]:
        return [record.changed for record in self.records()]

    def records(self) -> list[ConnTrace]:
        return self.bench.engine.trace(self.tracer, self.bench.now)


def test_the_first_look_tells_of_everybody_and_the_next_of_what_changed() -> None:
    bench = Bench("lower").up_to("active")
    reader = Reader(bench)
    assert reader.changes() == [("appeared",)]
    assert reader.changes() == []
    bench.event(PathChanged(PathState.DISCONNECTED))
    assert reader.changes() == [("tier", "ice", "pc")]
    bench.event(PathChanged(PathState.CONNECTED))
    bench.event(PairSelected("host", "server_reflexive"))
    assert reader.changes() == [("tier", "ice", "pc", "pair")]
    bench.mono += 1
    bench.frame(Ping(t=1))  # it speaks again
    assert reader.changes() == [("tier",)]
    bench.mono += 1
    bench.frame(Ping(t=2))
    assert reader.changes() == [], "being heard is context, never a change"


def test_from_the_announce_to_the_drop() -> None:
    bench = Bench("lower")
    reader = Reader(bench)
    assert reader.records() == []
    bench.announce()
    assert reader.changes() == [("appeared",)]
    bench.answer("B1")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.open_channel()
    assert reader.changes() == [("status", "ice", "pc")]
    bench.hello()
    bench.proof()
    assert reader.changes() == [("status", "auth")]
    bench.event(ChannelClosed("gone"))
    (gone,) = reader.records()
    assert gone.changed == ("vanished",)
    assert (gone.status, gone.authenticated) == ("pending_approval", True), "as it was last"
    assert gone.ice_state is msgspec.UNSET


def test_a_new_transport_is_another_epoch() -> None:
    bench = Bench("lower").up_to("active")
    reader = Reader(bench)
    (first,) = reader.records()
    bench.event(ChannelClosed("gone"))
    reader.records()
    bench.announce()
    (second,) = reader.records()
    assert second.changed == ("appeared",)
    assert second.epoch > first.epoch


def test_shelving_of_either_side() -> None:
    bench = Bench("lower").up_to("active")
    reader = Reader(bench)
    reader.records()
    bench.frame(Shelve(reason=None))
    assert reader.changes() == [("remote_shelved",)]
    bench.frame(Unshelve())
    reader.records()
    bench.engine.set_topology(Star(hub="z" * 52), bench.now)
    assert reader.changes() == [("status", "local_shelved")]


def test_a_record_has_the_members_of_the_vectors() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.event(PairSelected("host", "host"))
    bench.mono += 0.5
    reader = Reader(bench)
    (record,) = reader.records()
    told: dict[str, Any] = msgspec.to_builtins(record)
    wanted = VECTORS["records"][0]["record"]
    assert set(wanted) - set(told) == {"rtt_ms"}, "nothing has measured it yet"
    assert list(told) == [*(name for name in wanted if name in told), "sealed"], "in their order, and one of ours"
    assert told == {
        "ts_wall_ms": bench.now.wall_ms,
        "t_mono_ms": round((bench.mono - 1000.0) * 1000),
        "network_id": NETWORK,
        "device_id": HIGH.device_id,
        "epoch": told["epoch"],
        "changed": ("appeared",),
        "status": "active",
        "tier": "steady",
        "ice_state": "Connected",
        "pc_state": "Connected",
        "pair_class": "lan",
        "last_recv_age_ms": 500,
        "authenticated": True,
        "local_shelved": False,
        "remote_shelved": False,
        "sealed": False,
    }


def test_a_peer_that_is_not_active_says_why() -> None:
    bench = Bench("higher")
    bench.announce()
    (record,) = Reader(bench).records()
    assert record.device_id == LOW.device_id
    assert record.why is not msgspec.UNSET
    assert record.why.code == "waits_for_offer"
    assert record.ice_state is msgspec.UNSET, "there is no transport"


@pytest.mark.parametrize("case", VECTORS["pair_class_cases"], ids=lambda case: f"{case['local']}-{case['remote']}")
def test_pair_class(case: dict[str, str]) -> None:
    assert pair_class(SelectedPair(case["local"], case["remote"])) == case["class"]


@pytest.mark.parametrize("case", load("topology", "pair_class"), ids=lambda case: f"{case['local']}-{case['remote']}")
def test_pair_class_of_every_kind(case: dict[str, str]) -> None:
    assert pair_class(SelectedPair(CandidateKind(case["local"]), CandidateKind(case["remote"]))) == case["cls"]


def test_pair_class_of_what_nobody_knows() -> None:
    assert pair_class(SelectedPair(CandidateKind.UNKNOWN, CandidateKind.HOST)) == "unknown"


@pytest.mark.parametrize("state", PathState)
@pytest.mark.parametrize("is_open", [False, True])
def test_every_state_has_a_word_that_readers_know(state: PathState, is_open: bool) -> None:
    bench = Bench("lower").up_to("active" if is_open else "connecting")
    bench.event(PathChanged(state))
    (record,) = Reader(bench).records()
    assert record.ice_state in VECTORS["ice_state_values"]
    assert record.pc_state in VECTORS["pc_state_values"]
    assert record.tier in VECTORS["tier_values"]
    assert (record.pc_state == "Connected") is (is_open and state.is_up)
