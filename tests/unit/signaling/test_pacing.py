"""Waits and rates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.signaling.pacing import Backoff, TokenBucket, announce_wait_ms, jittered_ms
from support.vectors import load

DEVICE_A = load("signaling", "about")["fixed_inputs"]["device_A"]["device_id"]


@pytest.mark.parametrize("case", load("signaling", "jitter")["cases"])
def test_jitter(case: dict[str, Any]) -> None:
    assert jittered_ms(case["base_ms"], case["seed"], case["salt"]) == case["wait_ms"]


@given(st.integers(0, 10**7), st.text(max_size=80).filter(str.isascii), st.integers(0, 2**32))
def test_jitter_stays_within_fifteen_percent_and_repeats(base_ms: int, seed: str, salt: int) -> None:
    wait = jittered_ms(base_ms, seed, salt)
    assert base_ms - base_ms * 15 // 100 <= wait <= base_ms + base_ms * 15 // 100 + 1
    assert wait == jittered_ms(base_ms, seed, salt)


def test_announce_schedule() -> None:
    expected = load("signaling", "announce_schedule")["device_A_waits_ms"]
    assert [announce_wait_ms(DEVICE_A, index) for index in range(len(expected))] == expected


def test_backoff_grows_to_a_minute_and_starts_over_after_a_stable_link() -> None:
    backoff = Backoff("device", "room", "relay")
    waits = [backoff.next_wait_ms() for _ in range(8)]
    assert waits[:2] == [2262, 3476]
    assert waits[5] == waits[6] == waits[7] <= 69_000
    backoff.reset()
    assert backoff.next_wait_ms() == waits[0]


def test_rooms_of_one_device_do_not_retry_in_lockstep() -> None:
    waits = {Backoff("same-device", room, "wss://relay").next_wait_ms() for room in ("room-a", "room-b")}
    assert waits == {2213, 2097}


@pytest.mark.parametrize("case", load("signaling", "relay_server")["token_bucket"])
def test_token_bucket(case: dict[str, Any]) -> None:
    # The vectors are the reference's, whose capacity is one second's worth; ours bursts to four (spec 10 §4).
    bucket = TokenBucket(case["rate"], case["rate"], 0.0)
    assert sum(bucket.take(case["elapsed_s"]) for _ in range(case["calls"])) == case["passed"]


@given(st.lists(st.floats(0, 1), max_size=200), st.integers(1, 50))
def test_a_bucket_never_gives_more_than_its_burst_and_rate(gaps: list[float], rate: int) -> None:
    bucket, now, passed = TokenBucket(rate, rate, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        passed += bucket.take(now)
    assert passed <= rate + now * rate + 1e-6


@given(st.floats(0, 100), st.integers(1, 50), st.integers(0, 200))
def test_a_token_can_be_taken_when_the_bucket_says_so(now: float, rate: int, owed: int) -> None:
    bucket = TokenBucket(rate, rate, 0.0)
    bucket.force(now, owed)
    assert bucket.take(bucket.ready_at(now))
