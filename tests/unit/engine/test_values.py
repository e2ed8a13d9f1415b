"""Small pure rules against their vectors: phases, intents, medians, clocks, candidates, short ids, events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mesh_common.events import (
    Diag,
    PeerApproved,
    PeerAuthenticated,
    PeerCapabilitiesChanged,
    PeerDropped,
    PeerShelved,
    PeerSighted,
    PeerUnshelved,
    PhaseChanged,
    encode_event,
)
from mesh_common.views import CapabilityAdvert, DropReason, PeerStatus, Phase
from myownmesh.engine.candidates import kind_of
from myownmesh.engine.clockwatch import CLEAR_MS, SANE_MS, WARN_MS, WARN_TICKS, WINDOW, ClockWatch, median, skew_sample
from myownmesh.engine.diagnostics import reason_word
from myownmesh.engine.intents import IntentBook
from myownmesh.engine.phase import rollup
from myownmesh.engine.timing import RECONNECT_BACKOFF_S, RECONNECT_GRACE_S, STATE_WATCH_S
from myownmesh.protocol.ids import short_id
from support.vectors import load

if TYPE_CHECKING:
    from mesh_common.events import (
        MeshEvent,
    )

ROLLUPS: list[dict[str, Any]] = load("topology", "phase_rollup")
TIMELINE: dict[str, Any] = load("topology", "reconnect_intent_timeline")
MEDIANS: list[dict[str, Any]] = load("topology", "median")
SKEW: dict[str, Any] = load("topology", "clock_skew")
KEEPALIVE: dict[str, Any] = load("peer-protocol", "keepalive")
LOCAL: dict[str, Any] = load("peer-protocol", "local_json")


@pytest.mark.parametrize("case", ROLLUPS, ids=["+".join(case["statuses"]) or "nobody" for case in ROLLUPS])
def test_phase(case: dict[str, Any]) -> None:
    assert rollup([*map(PeerStatus, case["statuses"])]) == case["phase"]


@pytest.mark.parametrize("sticky", [False, True])
def test_intents_retry_on_schedule(sticky: bool) -> None:
    assert TIMELINE["tick_ms"] == STATE_WATCH_S * 1000
    assert TIMELINE["backoff_ms"] == [seconds * 1000 for seconds in RECONNECT_BACKOFF_S]
    assert TIMELINE["give_up_ms"] == RECONNECT_GRACE_S * 1000
    book = IntentBook()
    book.record("P", 0.0, sticky=sticky)
    offers = []
    for tick in range(100):
        mono = tick * STATE_WATCH_S
        for peer in book.due(mono):
            book.attempted(peer, mono)
            offers.append(round(mono * 1000))
    assert offers == TIMELINE["sticky_offer_times_ms" if sticky else "plain_offer_times_ms"]
    assert book.flush(200.0) == (["P"] if sticky else [])
    assert not book.needs_watch


def test_an_intent_keeps_its_window() -> None:
    book = IntentBook()
    book.record("P", 0.0, sticky=False)
    book.record("P", 60.0, sticky=False)
    assert book.due(89.0) == ["P"]
    assert book.due(90.0) == []
    assert book.flush(90.0) == []


def test_a_parked_intent_comes_back_on_request() -> None:
    book = IntentBook()
    book.record("P", 0.0, sticky=True)
    for _ in range(6):
        book.attempted("P", 0.0)
    assert book.due(1000.0) == []
    assert book.flush(1000.0) == ["P"]


def test_intents_are_bounded_and_pins_outlast_strangers() -> None:
    book = IntentBook()
    book.record("pin", 0.0, sticky=True)
    for number in range(1000):
        book.record(f"stranger {number}", number / 100, sticky=False)
    kept = book.flush(10.0)
    assert len(kept) == 256
    assert {"pin", "stranger 999"} <= set(kept)


@pytest.mark.parametrize("case", MEDIANS + [{**case, "median": case["result"]} for case in KEEPALIVE["median"]])
def test_median(case: dict[str, Any]) -> None:
    assert median(case["samples"]) == case["median"]


def test_clock_samples() -> None:
    case = KEEPALIVE["skew_sample"]
    assert skew_sample(case["ping_t"], case["rtt_ms"], case["now_ms"]) == case["sample"]
    assert skew_sample(2**63 - 1, None, 0) == SANE_MS
    assert (SKEW["window"], SKEW["warn_ms"], SKEW["clear_ms"], SKEW["warn_ticks"]) == (
        WINDOW,
        WARN_MS,
        CLEAR_MS,
        WARN_TICKS,
    )


RUNS = [[(step["estimate"], step["verdict"]) for step in run] for run in SKEW["runs"]] + [
    list(zip(run["estimates"], run["verdicts"], strict=True)) for run in KEEPALIVE["skew_watch"]
]


@pytest.mark.parametrize("run", RUNS)
def test_clock_watch(run: list[tuple[int | None, str | None]]) -> None:
    watch = ClockWatch()
    assert [watch.judge(estimate) for estimate, _ in run] == [verdict for _, verdict in run]


@pytest.mark.parametrize("case", load("topology", "candidate_kind"), ids=lambda case: case["candidate"][:20])
def test_candidate_kind(case: dict[str, Any]) -> None:
    assert kind_of(case["candidate"]) == case["kind"]


@pytest.mark.parametrize("case", load("topology", "short_id"), ids=lambda case: case["short"])
def test_short_id(case: dict[str, Any]) -> None:
    assert short_id(case["id"]) == case["short"]


def test_reasons_as_words() -> None:
    assert reason_word("ice_failed") == "IceFailed"
    assert reason_word("denied") == "Denied"


EVENTS: dict[str, MeshEvent] = {
    "sighted": PeerSighted("home", "abc"),
    "authenticated": PeerAuthenticated("home", "abc", "Phone", "ab12cd"),
    "approved": PeerApproved("home", "abc", "Phone"),
    "shelved": PeerShelved("home", "abc", "topology-rebalance", by_us=True),
    "unshelved": PeerUnshelved("home", "abc", by_us=False),
    "capabilities_changed": PeerCapabilitiesChanged("home", "abc", CapabilityAdvert(tags=("x",))),
    "dropped": PeerDropped("home", "abc", DropReason("heartbeat_timeout")),
    "changed": PhaseChanged("home", Phase.ALONE, Phase.ACTIVE),
    "diag": Diag(0, "home", "info", "ice", "hi"),
}


@pytest.mark.parametrize("case", LOCAL["events"], ids=lambda case: case["json"].get("kind", "diag"))
def test_event_json(case: dict[str, Any]) -> None:
    wanted = case["json"]
    made = encode_event(EVENTS[wanted.get("kind", "diag")])
    assert msgspec.json.decode(made) == wanted
