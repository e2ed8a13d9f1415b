"""Token buckets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol.tokens import TokenBucket
from support.vectors import load


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


def test_asking_takes_nothing() -> None:
    bucket = TokenBucket(1, 1, 0.0)
    assert bucket.has_one(0.0)
    assert bucket.take(0.0)
    assert not bucket.has_one(0.5)
    assert bucket.has_one(1.0)


def test_a_clock_that_goes_back_refills_nothing() -> None:
    bucket = TokenBucket(1, 1, 10.0)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)
    assert not bucket.take(5.9)
    assert bucket.take(6.0)


def test_a_rate_of_zero_never_limits() -> None:
    bucket = TokenBucket(0, 0, 0.0)
    bucket.force(0.0, 100)
    assert all(bucket.take(0.0) for _ in range(1000))
    assert bucket.ready_at(3.0) == 3.0
