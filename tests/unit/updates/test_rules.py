"""What a start owes the update before it (spec 09 §10.6), and when the daemon looks for the next one (§10.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from myownmesh.updates import rules
from myownmesh.updates.records import Failures, State
from myownmesh.updates.rules import Duty, at_start
from myownmesh.updates.schedule import due_in, first

NOW = 1_800_000_000.0
OLD, NEW = "0.3.8", "0.3.801"
NEW_STATE = rules.swapped(State(OLD), NEW, "checksum", NOW)


def test_a_home_without_updates_is_left_alone() -> None:
    assert at_start(None, OLD, way_back=False, now=NOW) == (Duty.NOTHING, State(OLD))


def test_the_third_start_of_a_version_that_does_not_stay_up_goes_back() -> None:
    state: State = NEW_STATE
    for boots in (1, 2):
        duty, state = at_start(state, NEW, way_back=True, now=NOW)
        assert (duty, state.boots, state.current) == (Duty.NOTE, boots, NEW)
    duty, state = at_start(state, NEW, way_back=True, now=NOW)
    assert (duty, state.current, state.rolled_back_from) == (Duty.ROLL_BACK, OLD, NEW)
    assert state.quarantined(NEW)
    assert not state.unconfirmed
    assert at_start(state, OLD, way_back=False, now=NOW) == (Duty.NOTHING, state)


def test_without_a_way_back_it_is_tried_again() -> None:
    duty, state = at_start(replace(NEW_STATE, boots=7), NEW, way_back=False, now=NOW)
    assert (duty, state.boots) == (Duty.NOTE, 8)


def test_a_confirmed_version_is_not_counted() -> None:
    state = rules.confirmed(NEW_STATE, NOW)
    assert at_start(state, NEW, way_back=True, now=NOW) == (Duty.NOTHING, state)


def test_an_orderly_stop_takes_its_start_back() -> None:
    _, started = at_start(NEW_STATE, NEW, way_back=True, now=NOW)
    assert rules.stopped_in_order(started).boots == 0
    assert rules.stopped_in_order(NEW_STATE).boots == 0


def test_a_swap_that_was_noted_and_never_done_is_forgotten() -> None:
    duty, state = at_start(NEW_STATE, OLD, way_back=True, now=NOW)
    assert (duty, state.current, state.unconfirmed) == (Duty.NOTE, OLD, False)


def test_a_rollback_that_was_noted_and_never_done_is_finished() -> None:
    noted = rules.rolled_back(NEW_STATE, "a person went back", NOW)
    assert at_start(noted, NEW, way_back=True, now=NOW) == (Duty.ROLL_BACK, noted)


def test_a_version_that_a_person_put_in_is_taken_as_it_is() -> None:
    noted = rules.rolled_back(NEW_STATE, "a person went back", NOW)
    duty, state = at_start(noted, "0.3.9", way_back=True, now=NOW)
    assert (duty, state.current, state.unconfirmed) == (Duty.NOTE, "0.3.9", False)
    assert state.quarantined(NEW), "what did not work is remembered"
    duty, state = at_start(noted, NEW, way_back=False, now=NOW)
    assert (duty, state.current) == (Duty.NOTE, NEW), "the bad one put in again by hand"


def test_taking_a_quarantined_version_all_the_same_ends_its_quarantine() -> None:
    state = State(OLD).with_quarantined(NEW, "x", NOW)
    assert not rules.swapped(state, NEW, "checksum", NOW).quarantined(NEW)


@pytest.mark.parametrize("count", [0, 1, 25])
def test_twenty_bad_versions_are_remembered(count: int) -> None:
    state = State(OLD)
    for each in range(count):
        state = state.with_quarantined(f"0.4.{each}", "x", NOW)
    assert len(state.quarantine) == min(count, 20)


def test_the_version_before_stays_for_a_week() -> None:
    state = rules.confirmed(NEW_STATE, NOW)
    assert not rules.previous_is_done(NEW_STATE, NOW)
    assert not rules.previous_is_done(state, NOW + 6 * 86400)
    assert rules.previous_is_done(state, NOW + 8 * 86400)
    assert not rules.previous_is_done(replace(state, previous=None), NOW + 8 * 86400)


def test_the_first_look_is_soon_and_not_at_the_same_second_everywhere() -> None:
    assert (first(lambda: 0.0), first(lambda: 1.0)) == (30.0, 90.0)


def test_the_next_look_is_an_interval_after_the_last() -> None:
    def wait(last: float | None, draw: float = 0.5, failures: Failures = Failures(), interval_h: int = 6) -> float:  # noqa: B008 - frozen
        return due_in(
            NOW,
            last_check=None if last is None else int(last),
            failures=failures,
            interval_h=interval_h,
            draw=lambda: draw,
        )

    hour = 3600.0
    assert wait(None) == 0.0
    assert wait(NOW + 1) == 0.0, "a clock that was ahead"
    assert wait(NOW) == 6 * hour
    assert wait(NOW, 0.0) == pytest.approx(5.4 * hour)
    assert wait(NOW, 1.0) == pytest.approx(6.6 * hour)
    assert wait(NOW - 7 * hour) == 0.0
    assert wait(NOW, interval_h=0) == hour
    for count, seconds in ((1, 900.0), (2, 1800.0), (6, 6 * hour), (400, 6 * hour)):
        assert wait(NOW - 7 * hour, failures=Failures(count, int(NOW))) == seconds
    assert wait(NOW, failures=Failures(3, int(NOW) + 5)) == 0.0
