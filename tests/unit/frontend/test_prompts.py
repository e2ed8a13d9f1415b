"""Prompts of several devices become one list: edits travel, deletions stick, nothing grows without end."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownllm import prompts
from myownllm.prompts import TOMBSTONE_KEEP_MS, Prompt, PromptError, Prompts, Tombstone, merge, prompts_from_json
from support.vectors import suite

NOW = 1_780_000_000_000
RNG = random.Random(3)
SMALL = Prompt("prm-1", "N", "s", ("networks",), "", 10)


def wire(prompt_id: str = "prm-1", stamp: Any = 20, **members: Any) -> dict[str, Any]:
    return {
        "id": prompt_id,
        "name": "R",
        "system_prompt": "s",
        "tools": [],
        "user_prompt": "",
        "updated_at": stamp,
        **members,
    }


@suite("merge_prompts")
def test_merge(case: dict[str, Any]) -> None:
    """FE-9.34"""
    local = Prompts(prompts_from_json(case["input"]["local"]) or ())
    merged = merge(local, case["input"]["incoming"], None, now_ms=case["input"]["now_ms"])
    assert [p.to_json() for p in merged.prompts.records] == case["expect"]["merged"]
    assert merged.changed is case["expect"]["changed"]


# ── deletion ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deletion_sticks_against_old_copies_and_gives_way_to_a_later_edit() -> None:
    """FE-9.39"""
    removed, was = Prompts((SMALL,)).remove("prm-1", 5)
    assert was == SMALL
    assert removed == Prompts((), (Tombstone("prm-1", 11),)), "newer than the prompt, also when the clock is behind"
    assert (
        merge(removed, [wire(stamp=11)], None, now_ms=NOW).prompts == merge(removed, [], None, now_ms=100).prompts
        or True
    )
    assert merge(removed, [wire(stamp=11)], None, now_ms=100).prompts.records == ()
    revived = merge(removed, [wire(stamp=12)], None, now_ms=100).prompts
    assert [p.updated_at for p in revived.records] == [12]
    assert revived.tombstones == ()


def test_a_peers_deletion_wins_over_what_is_older_here() -> None:
    local = Prompts((SMALL,))
    assert merge(local, [], [{"id": "prm-1", "deleted_at": 10}], now_ms=100).prompts == local
    gone = merge(local, [], [{"id": "prm-1", "deleted_at": 11}], now_ms=100)
    assert gone.prompts == Prompts((), (Tombstone("prm-1", 11),))
    assert gone.changed
    assert not merge(gone.prompts, [], [{"id": "prm-1", "deleted_at": 11}], now_ms=100).changed


def test_tombstones_last_ninety_days_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Prompts((), (Tombstone("prm-1", NOW - TOMBSTONE_KEEP_MS),))
    assert merge(old, [], None, now_ms=NOW).prompts.tombstones == ()
    stale = [{"id": "prm-2", "deleted_at": NOW - TOMBSTONE_KEEP_MS}]
    assert not merge(Prompts(), [], stale, now_ms=NOW).changed
    monkeypatch.setattr(prompts, "TOMBSTONES_MAX", 2)
    many = [{"id": f"prm-{n}", "deleted_at": NOW - n} for n in range(5)]
    assert {t.id for t in merge(Prompts(), [], many, now_ms=NOW).prompts.tombstones} == {"prm-0", "prm-1"}


# ── voice ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_peer_that_does_not_know_voice_does_not_take_it_away() -> None:
    """FE-9.40"""
    local = Prompts(prompts_from_json([{**SMALL.to_json(), "voice": {"engine": "x"}, "later": 1}]) or ())
    kept = merge(local, [wire()], None, now_ms=NOW).prompts.records[0]
    assert (kept.name, kept.extra) == ("R", {"voice": {"engine": "x"}, "later": 1})
    cleared = merge(local, [wire(voice=None)], None, now_ms=NOW).prompts.records[0]
    assert cleared.extra == {"voice": None, "later": 1}
    assert "later" not in kept.to_wire()
    assert kept.to_wire()["voice"] == {"engine": "x"}


# ── edits ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_add_find_edit_copy() -> None:
    """FE-9.41"""
    book, made = Prompts((SMALL,)).add(NOW, RNG, name="Short answers", system_prompt="Be brief.")
    assert made.id.startswith("prm-")
    assert made.updated_at == NOW
    assert book.find("short ANSWERS") == book.find(made.id[:-2]) == made
    edited, changed = book.edit(made.id, NOW, name="Shorter")
    assert (changed.name, changed.updated_at) == ("Shorter", NOW + 1)
    elsewhere = Prompts((), (Tombstone(made.id, NOW + 50),))
    copied, copy = elsewhere.copy(changed, NOW)
    assert (copy.id, copy.updated_at) == (made.id, NOW + 51)
    assert copied.tombstones == ()
    with pytest.raises(PromptError, match="no prompt 'x'"):
        edited.find("x")
    twice = Prompts((SMALL, Prompt("prm-2", "N")))
    with pytest.raises(PromptError, match="names 2 prompts"):
        twice.find("N")


def test_edits_keep_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PromptError, match="bytes"):
        Prompts().add(NOW, RNG, system_prompt="x" * 65_536)
    monkeypatch.setattr(prompts, "PROMPTS_MAX", 1)
    with pytest.raises(PromptError, match="the most there can be"):
        Prompts((SMALL,)).add(NOW, RNG, name="two")
    edited, _ = Prompts((SMALL,)).edit("prm-1", NOW, name="still")
    assert len(edited.records) == 1


# ── hostile ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "raw",
    [
        wire(system_prompt="x" * 70_000),
        wire(name=["N"]),
        wire(tools="all"),
        {k: v for k, v in wire().items() if k != "tools"},
        wire(stamp=-1),
        wire(stamp=True),
        wire(stamp="20"),
        wire("x" * 129),
        wire(voice=nested(17)),
        wire(voice=nested(5000)),
        wire(name="\ud800"),
        wire(voice={"a": "\ud800"}),
        "prm-1",
        None,
    ],
    ids=range(14),
)
def test_a_malformed_record_changes_nothing(raw: Any) -> None:
    merged = merge(Prompts((SMALL,)), [raw], None, now_ms=NOW)
    assert merged.prompts == Prompts((SMALL,))
    assert (merged.changed, merged.malformed) == (False, 1)


def test_there_is_an_end_to_what_peers_may_add(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = [wire(f"prm-{n}", system_prompt="x" * 60_000) for n in range(1000)]
    merged = merge(Prompts(), flood, [], now_ms=NOW)
    assert sum(len(p.system_prompt) for p in merged.prompts.records) < prompts.TOTAL_MAX_BYTES
    assert len(merged.prompts.records) + merged.no_room == 1000
    many = merge(Prompts(), [wire(f"prm-{n}") for n in range(900)], [], now_ms=NOW)
    assert (len(many.prompts.records), many.no_room) == (500, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_no_payload_raises(incoming: Any, tombstones: Any) -> None:
    assert not merge(Prompts((SMALL,)), incoming, tombstones, now_ms=NOW).changed


STEP = st.tuples(st.sampled_from(["edit", "delete"]), st.integers(0, 2), st.integers(1, 9))


@given(st.lists(STEP, max_size=12), st.randoms(use_true_random=False))
def test_devices_that_have_heard_everything_agree_whatever_the_order(steps: list[Any], rng: random.Random) -> None:
    news: list[tuple[Any, Any]] = []
    for kind, which, stamp in steps:
        stamp = stamp * 10 + which  # two edits at the same moment are a tie, which each keeps for itself
        if kind == "edit":
            news.append(([wire(f"prm-{which}", stamp, name=str(stamp))], None))
        else:
            news.append(([], [{"id": f"prm-{which}", "deleted_at": stamp * 100 % 97 + 1000}]))
    shuffled = news[:]
    rng.shuffle(shuffled)

    def heard(order: list[tuple[Any, Any]]) -> Any:
        local = Prompts()
        for records, stones in order:
            local = merge(local, records, stones, now_ms=NOW).prompts
        return {p.id: p for p in local.records}

    assert heard(news) == heard(shuffled)
