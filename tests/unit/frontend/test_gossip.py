"""What devices tell each other by themselves: when, in which payloads, and what is read out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownllm.gossip import wire
from myownllm.gossip.timing import CatchUps, Debounce
from myownllm.gossip.wire import CEILING_BYTES
from myownllm.peers import CatalogEntry
from myownllm.policy import Policy
from myownllm.prompts import Prompt, Prompts, Tombstone, prompts_from_json
from support.vectors import suite

if TYPE_CHECKING:
    from collections.abc import Callable

TS = 1_780_000_000_000


# ── when ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@suite("catch_up")
def test_catch_up(case: dict[str, Any]) -> None:
    """FE-7.10"""
    catch_ups = CatchUps(case["input"]["active_at_start"])
    steps = []
    for number, active in enumerate(case["input"]["snapshots"]):
        due = catch_ups.look(active, number * 10.0)
        steps.append({"broadcast": bool(due), "seen_after": sorted(catch_ups.seen)})
    assert steps == case["expect"]["steps"]


def test_a_peer_that_flaps_is_told_late_not_never() -> None:
    """FE-12.42"""
    catch_ups = CatchUps()
    assert catch_ups.look(["p"], 100.0) == ("p",)
    assert catch_ups.look([], 101.0) == ()
    assert catch_ups.look(["p"], 102.0) == ()
    assert catch_ups.next_look(["p"]) == 105.0
    assert catch_ups.look(["p", "q"], 104.9) == ("q",)
    assert catch_ups.look(["p", "q"], 105.0) == ("p",)
    assert catch_ups.next_look(["p", "q"]) is None


def test_a_peer_that_has_just_started_is_told_again() -> None:
    catch_ups = CatchUps(["p"])
    catch_ups.forget("p")
    catch_ups.forget("stranger")
    assert catch_ups.look(["p"], 0.0) == ("p",)


@suite("catalog_debounce")
def test_debounce(case: dict[str, Any]) -> None:
    """FE-7.11"""
    debounce, published = Debounce(), []
    stop_at = case["input"].get("stop_at")
    for now in range(20_000):
        if debounce.due is not None and debounce.due * 1000 <= now:
            published.append(now)
            debounce.clear()
        if now in case["input"]["calls"]:
            debounce.poke(now / 1000)
        if now == stop_at:
            debounce.clear()
    assert published == case["expect"]["publishes"]


# ── written ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@suite("gossip_wire")
def test_payloads(case: dict[str, Any]) -> None:
    """FE-7.5, FE-7.6"""
    given_, expected = case["input"], case["expect"]
    match case["id"]:
        case "permissions":
            policy = Policy.from_json(given_["policy"])
            assert policy is not None
            channel, payload = wire.PERMISSIONS, wire.permissions_payload(policy, given_["ts"])
        case "prompts":
            prompts = Prompts(prompts_from_json(given_["prompts"]) or ())
            (payload,), oversize = wire.prompts_payloads(prompts, given_["ts"])
            assert oversize == []
            channel = wire.PROMPTS
        case _:
            entries = [
                CatalogEntry(c["id"], c["title"], c["mode"], c["updated_at"], c["path"])
                for c in given_["conversations"]
            ]
            channel, payload = wire.CATALOG, wire.newest_that_fit(entries, given_["ts"])
    assert (channel, payload) == (expected["channel"], expected["payload"])


def entries(count: int, title: str = "A title of usual length") -> list[CatalogEntry]:
    return [CatalogEntry(f"m{n}-abc", title, "text", f"2026-05-{n:05d}", "Work/Q4") for n in range(count)]


def test_a_large_catalog_tells_the_newest_that_fit() -> None:
    """FE-9.50"""
    payload = wire.newest_that_fit(entries(3000), TS, fresh=True)
    assert payload["truncated"] is True
    assert payload["fresh"] is True
    assert CEILING_BYTES - 200 < wire.size(payload) <= CEILING_BYTES
    told = [e["guid"] for e in payload["entries"]]
    assert told == [f"m{n}-abc" for n in range(2999, 2999 - len(told), -1)]


def test_many_prompts_are_told_in_parts_below_the_ceiling() -> None:
    """FE-9.50."""
    records = (*(Prompt(f"prm-{n}", "N", "x" * 9000) for n in range(30)), Prompt("prm-big", "N", "x" * 65_000))
    prompts = Prompts(records, tuple(Tombstone(f"prm-gone-{n}", TS) for n in range(900)))
    parts, oversize = wire.prompts_payloads(prompts, TS)
    assert all(wire.size(part) <= CEILING_BYTES for part in parts)
    assert [p["prompts"][0]["id"] for p in oversize] == ["prm-big"]
    told = [p["id"] for part in parts for p in part["prompts"]]
    assert told == [p.id for p in records[:-1]]
    assert len([t for part in parts for t in part.get("tombstones", [])]) == 900
    assert all(wire.read_prompts(part) is not None for part in parts)
    assert len(parts) < 7


def test_no_prompts_are_one_empty_snapshot() -> None:
    assert wire.prompts_payloads(Prompts(), TS) == ([{"prompts": [], "ts": TS}], [])
    only_large = Prompts((Prompt("prm-big", "N", "x" * 65_000),))
    assert wire.prompts_payloads(only_large, TS)[0] == []


# ── read ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

READERS: dict[str, Callable[[Any], Any]] = {
    wire.CATALOG: wire.read_catalog,
    wire.PERMISSIONS: wire.read_permissions,
    wire.PROMPTS: wire.read_prompts,
}


@suite("gossip_ingest")
def test_ingest(case: dict[str, Any]) -> None:
    reader = READERS.get(case["input"]["channel"], lambda _: None)
    assert (reader(case["input"]["payload"]) is not None) is case["expect"]["accepted"]


def test_a_hostile_catalog_is_cut_to_what_can_be_shown() -> None:
    good = {"guid": "m1-abc", "title": "t" * 500, "path": "../../etc/\u202ex", "mode": "text", "updated_at": "2026"}
    wrong = [
        {**good, "guid": "../config"},
        {**good, "guid": ["m1-abc"]},
        {**good, "guid": "x" * 65},
        {**good, "mode": "m" * 65},
        {**good, "pending_move": "yes"},
        {**good, "path": None},
        {"title": "no guid"},
        "m1-abc",
        None,
    ]
    read = wire.read_catalog({"entries": [*wrong, good, good], "ts": "late"})
    assert read == wire.Announcement((CatalogEntry("m1-abc", "t" * 200, "text", "2026", "etc/_x"),), 0)
    many = wire.read_catalog({"entries": [{"guid": f"m{n}"} for n in range(6000)], "ts": float("nan")})
    assert many is not None
    assert len(many.entries) == 5000


@pytest.mark.parametrize(
    ("before", "ts", "late"),
    [(0, 5, False), (10, 10, False), (10, 11, False), (600_010, 11, True), (600_010, 10, False), (10, 9, True)],
)
def test_a_late_copy_is_told_from_a_clock_that_was_set(before: int, ts: int, late: bool) -> None:
    """FE-12.38"""
    assert wire.is_late_copy(before, ts) is late


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
SHAPED = st.dictionaries(st.sampled_from(["entries", "tools", "prompts", "tombstones", "ts", "fresh"]), JSON)


@given(st.sampled_from(sorted(READERS)), SHAPED | JSON)
def test_no_payload_raises(channel: str, payload: Any) -> None:
    READERS[channel](payload)
