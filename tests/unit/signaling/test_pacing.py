"""Waits and rates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.signaling.pacing import BREAKS_FORGIVEN, Backoff, announce_wait_ms, jittered_ms
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


@pytest.mark.parametrize("device_id", ["a" * 52, "b" * 52, "zq" * 26])
def test_where_nobody_is_missed_no_hour_has_more_than_six_announces(device_id: str) -> None:
    """Spec 03 §10.3."""
    at = 0
    moments = [at := at + announce_wait_ms(device_id, index, quiet=True) for index in range(100)]
    assert all(later - earlier > 3_600_000 for earlier, later in zip(moments, moments[6:], strict=False))
    assert moments[-1] < 100 * 850_000


@given(st.floats(0.0, 1e7), st.integers(0, 8))
def test_an_outage_never_waits_longer_than_a_failure(outage_s: float, attempts: int) -> None:
    ordinary, outage = Backoff("device", "room", "relay"), Backoff("device", "room", "relay")
    for _ in range(attempts):
        ordinary.next_wait_ms()
        outage.next_wait_ms(outage_s)
    wait = outage.next_wait_ms(outage_s)
    assert 850 <= wait <= ordinary.next_wait_ms()
    assert wait <= 1.15 * min(15_000.0, max(1000.0, outage_s * 50)) + 1


def test_dials_of_an_outage_do_not_count_against_a_relay_that_is_back() -> None:
    """A relay that is started anew three times within a minute is dialled after 2, 4 and 8 s, not after 60."""
    backoff = Backoff("device", "room", "relay")
    waits = []
    for _ in range(3):
        waits.append(backoff.next_wait_ms())
        for outage_s in (2.0, 3.0, 4.0):
            assert backoff.next_wait_ms(outage_s) < 1200
        backoff.served()
    assert [round(wait / 1000 / 2 ** (n + 1)) for n, wait in enumerate(waits)] == [1, 1, 1]


def test_a_relay_that_is_killed_again_and_again_is_dialled_soon_and_one_that_always_hangs_up_is_not_hammered() -> None:
    backoff = Backoff("device", "room", "relay")
    waits = [round(backoff.next_wait_ms(broke=True) / 1000) for _ in range(BREAKS_FORGIVEN + 6)]
    assert waits[:BREAKS_FORGIVEN] == [2] * BREAKS_FORGIVEN
    assert [round(wait / 2 ** (n + 2)) for n, wait in enumerate(waits[BREAKS_FORGIVEN:][:4])] == [1, 1, 1, 1]
    assert waits[-1] >= 51
    backoff.reset()
    assert round(backoff.next_wait_ms(broke=True) / 1000) == 2
