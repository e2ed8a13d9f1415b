"""Whether certificates that our clock calls out of date hold all the same."""

from __future__ import annotations

import pytest

from myownmesh.signaling.clockoffset import ClockOffset, Reading
from myownmesh.signaling.validity import Period, judge

DAY = 86_400_000
NOW = 1_780_000_000_000
"""The real time in these tests."""
YEAR = 365 * DAY
LEAF, ROOT = Period(NOW - 30 * DAY, NOW + 60 * DAY), Period(NOW - 900 * DAY, NOW + 900 * DAY)
CHAIN = (LEAF, ROOT)


@pytest.mark.parametrize(
    ("clock_ms", "holder_ms", "others_ms", "holds"),
    [
        (NOW - YEAR, NOW, None, True),  # our clock is behind, and the relay says so
        (0, NOW, None, True),
        (NOW - YEAR, LEAF.begins_ms, None, True),
        (NOW - YEAR, LEAF.begins_ms - 1, None, False),
        (NOW - YEAR, LEAF.ends_ms, None, True),
        (NOW - YEAR, LEAF.ends_ms + 1, None, False),
        (NOW - YEAR, None, None, False),
        (NOW + YEAR, NOW, None, False),  # whoever has an expired certificate may say anything
        (NOW + YEAR, NOW + YEAR, None, False),
        (NOW + YEAR, NOW, NOW, True),  # but not for others
        (NOW + YEAR, None, NOW, True),
        (NOW - YEAR, NOW, NOW - YEAR, False),  # others say that our clock is right
        (NOW + YEAR, NOW, NOW + YEAR, False),
        (NOW - YEAR, None, NOW, True),
    ],
)
def test_whose_word_counts(clock_ms: int, holder_ms: int | None, others_ms: int | None, holds: bool) -> None:
    verdict = judge(CHAIN, clock_ms=clock_ms, holder_ms=holder_ms, others_ms=others_ms)
    assert (verdict.problem == "") is holds


def test_every_certificate_of_the_chain_must_be_valid_at_that_time() -> None:
    expired_issuer = Period(NOW - 900 * DAY, NOW - DAY)
    verdict = judge((LEAF, expired_issuer, ROOT), clock_ms=NOW - YEAR, holder_ms=NOW, others_ms=NOW)
    assert verdict.problem
    assert verdict.told_ms is None


def test_no_time_before_this_protocol_is_believed() -> None:
    old = Period(NOW - 20 * YEAR, NOW - 10 * YEAR)
    assert judge((old,), clock_ms=0, holder_ms=NOW - 15 * YEAR, others_ms=None).problem


def test_what_is_refused_says_by_how_much_the_clocks_differ() -> None:
    verdict = judge(CHAIN, clock_ms=NOW + YEAR, holder_ms=NOW, others_ms=None)
    assert verdict.problem == (
        "its certificate is valid from 2026-04-28 to 2026-07-27, and this device's clock shows 2027-05-28, "
        "365 days later than the relay's: it has expired, or this device's clock is wrong"
    )
    assert verdict.told_ms == NOW


def test_a_year_that_no_calendar_has_is_told() -> None:
    assert (
        "clock shows 10001969:"
        in judge(CHAIN, clock_ms=9_999_999 * 31_557_600_000, holder_ms=None, others_ms=None).problem
    )


def test_others_are_asked_in_the_order_of_their_worth_and_never_the_relay_itself() -> None:
    offset, at = ClockOffset(), Reading(NOW + YEAR, 5_000)
    assert offset.told_by_others("a", at) is None
    offset.relay_claimed("a", NOW, at)
    assert offset.told_by_others("a", at) is None
    assert offset.told_by_others("b", at) == NOW
    offset.peer_said("peer", NOW + DAY, at)
    assert offset.told_by_others("b", at) == NOW + DAY
    offset.relay_said("a", NOW + 2 * DAY, at)
    assert offset.told_by_others("b", at) == NOW + 2 * DAY
    assert offset.told_by_others("a", at) == NOW + DAY


def test_a_claim_about_an_impossible_time_is_not_heard() -> None:
    offset, at = ClockOffset(), Reading(NOW, 0)
    offset.relay_claimed("a", 0, at)
    assert offset.told_by_others("b", at) is None
