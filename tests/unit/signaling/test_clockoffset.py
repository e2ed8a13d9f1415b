"""Whose time is believed, with literal clocks and every kind of liar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.signaling.clockoffset import CEILING_MS, FLOOR_MS, NEGLIGIBLE_MS, Basis, ClockOffset, Reading, Skew
from support.examples import examples

TRUE_MS = 1_800_000_000_000
MINUTE = 60_000
YEAR = 365 * 86_400_000
OFFSETS = [10 * MINUTE, -10 * MINUTE, YEAR, -YEAR, -TRUE_MS]
"""Of a clock from the truth; the last stands at the beginning of 1970."""

steps = st.integers(-2 * YEAR, 2 * YEAR)


def at(seconds: float, wrong_by: int = 0, *, true_ms: int = TRUE_MS) -> Reading:
    """Seconds after the start, by a clock that is so many milliseconds ahead; the steady one began an hour before."""
    elapsed = round(seconds * 1000)
    return Reading(true_ms + elapsed + wrong_by, 3_600_000 + elapsed)


def truth(seconds: float) -> int:
    return TRUE_MS + round(seconds * 1000)


def test_without_a_word_from_others_the_clock_is_right() -> None:
    offset = ClockOffset()
    assert offset.true_ms(at(0)) == truth(0)
    assert offset.skew(at(0)) is None


@pytest.mark.parametrize("wrong_by", OFFSETS)
def test_one_relay_corrects_a_wrong_clock(wrong_by: int) -> None:
    offset = ClockOffset()
    offset.relay_said("relay.example", truth(0), at(0, wrong_by))
    assert offset.true_ms(at(5, wrong_by)) == truth(5)
    assert offset.skew(at(5, wrong_by)) == Skew(wrong_by, Basis.RELAYS)


def test_a_small_difference_is_no_correction() -> None:
    offset = ClockOffset()
    offset.relay_said("relay.example", truth(0), at(0, NEGLIGIBLE_MS - 1))
    assert offset.true_ms(at(1, NEGLIGIBLE_MS - 1)) == truth(1) + NEGLIGIBLE_MS - 1


@pytest.mark.parametrize("wrong_by", [*OFFSETS, 0])
@pytest.mark.parametrize("lie", [3 * MINUTE, -3 * MINUTE, YEAR, -YEAR])
def test_one_of_three_relays_lies(wrong_by: int, lie: int) -> None:
    offset = ClockOffset()
    for host, said in (("a", truth(0)), ("b", truth(0) + lie), ("c", truth(0) + 700)):
        offset.relay_said(host, said, at(0, wrong_by))
    assert abs(offset.true_ms(at(0, wrong_by)) - truth(0)) <= 700


@pytest.mark.parametrize("lie", [3 * MINUTE, -3 * MINUTE, YEAR, -YEAR])
def test_of_two_relays_the_one_that_agrees_with_our_clock_is_believed(lie: int) -> None:
    offset = ClockOffset()
    offset.relay_said("honest", truth(0), at(0))
    offset.relay_said("liar", truth(0) + lie, at(0))
    assert offset.true_ms(at(0)) == truth(0)


@given(
    honest=st.lists(st.integers(-2000, 2000), min_size=1, max_size=6),
    lies=st.lists(steps, max_size=5),
    wrong_by=steps,
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=examples(200))
def test_a_minority_of_relays_moves_nobody_beyond_what_the_others_say(
    honest: list[int], lies: list[int], wrong_by: int, order: object
) -> None:
    """Between the honest ones if our clock is right, or if the liars are fewer; never beyond both of them and us."""
    lies = lies[: max(0, len(honest) - 1)]
    offset = ClockOffset()
    voices = [(f"h{n}", error) for n, error in enumerate(honest)] + [(f"l{n}", lie) for n, lie in enumerate(lies)]
    order.shuffle(voices)  # type: ignore[attr-defined]  # hypothesis hands out a Random
    for host, error in voices:
        offset.relay_said(host, truth(0) + error, at(0, wrong_by))
    found = offset.true_ms(at(0, wrong_by)) - truth(0)
    assert min(honest) - NEGLIGIBLE_MS <= found <= max(honest) + NEGLIGIBLE_MS


@given(lie=steps, wrong_by=steps)
@settings(max_examples=examples(200))
def test_one_liar_beside_one_honest_relay_keeps_us_between_our_clock_and_the_truth(lie: int, wrong_by: int) -> None:
    offset = ClockOffset()
    offset.relay_said("honest", truth(0), at(0, wrong_by))
    offset.relay_said("liar", truth(0) + lie, at(0, wrong_by))
    found = offset.true_ms(at(0, wrong_by)) - truth(0)
    assert min(0, wrong_by) <= found <= max(0, wrong_by)


def test_all_relays_of_a_host_are_one_voice() -> None:
    offset = ClockOffset()
    for _ in range(5):
        offset.relay_said("liar", truth(0) + YEAR, at(0))
    offset.relay_said("honest", truth(0), at(0))
    assert offset.true_ms(at(0)) == truth(0)


@pytest.mark.parametrize("said", [0, FLOOR_MS - 1, CEILING_MS, 2**63])
def test_times_that_cannot_be_are_not_heard(said: int) -> None:
    offset = ClockOffset()
    offset.relay_said("relay", said, at(0))
    offset.peer_said("peer", said, at(0))
    offset.room_said("device", said, at(0))
    assert offset.skew(at(0)) is None
    assert offset.true_ms(at(0)) == truth(0)


# ── peers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_peer_is_told_of_and_not_followed() -> None:
    """Either clock may be the wrong one."""
    offset = ClockOffset()
    offset.peer_said("p", truth(0), at(0, 10 * MINUTE))
    assert offset.true_ms(at(0, 10 * MINUTE)) == truth(0) + 10 * MINUTE
    assert offset.skew(at(0, 10 * MINUTE)) == Skew(10 * MINUTE, Basis.PEERS)


@pytest.mark.parametrize("wrong_by", OFFSETS)
def test_two_peers_outvote_our_clock(wrong_by: int) -> None:
    offset = ClockOffset()
    for peer in ("p", "q"):
        offset.peer_said(peer, truth(0), at(0, wrong_by))
    assert offset.true_ms(at(0, wrong_by)) == truth(0)


def test_one_peer_outvotes_a_clock_that_was_never_set() -> None:
    offset = ClockOffset()
    offset.peer_said("p", truth(0), at(0, -TRUE_MS))
    assert offset.true_ms(at(0, -TRUE_MS)) == truth(0)


def test_peers_decide_between_two_relays() -> None:
    offset = ClockOffset()
    for peer in ("p", "q"):
        offset.peer_said(peer, truth(0), at(0, YEAR))
    offset.relay_said("honest", truth(0), at(0, YEAR))
    offset.relay_said("liar", truth(0) + YEAR, at(0, YEAR))
    assert offset.true_ms(at(0, YEAR)) == truth(0)


@given(lies=st.lists(steps, max_size=4), wrong_by=st.integers(-2000, 2000), extra=st.integers(0, 2))
@settings(max_examples=examples(200))
def test_as_many_lying_peers_as_honest_ones_move_a_right_clock_nowhere(
    lies: list[int], wrong_by: int, extra: int
) -> None:
    offset = ClockOffset()
    for number in range(len(lies) + extra):
        offset.peer_said(f"h{number}", truth(0), at(0, wrong_by))
    for number, lie in enumerate(lies):
        offset.peer_said(f"l{number}", truth(0) + lie, at(0, wrong_by))
    assert abs(offset.true_ms(at(0, wrong_by)) - truth(0)) <= NEGLIGIBLE_MS


# ── the room ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wrong_by", [-10 * MINUTE, -YEAR, -TRUE_MS])
def test_an_announce_from_the_future_shows_that_we_are_behind(wrong_by: int) -> None:
    offset = ClockOffset()
    offset.room_said("device", truth(0), at(0, wrong_by))
    assert offset.true_ms(at(0, wrong_by)) == truth(0)
    assert offset.skew(at(0, wrong_by)) == Skew(wrong_by, Basis.ROOM)


def test_an_old_announce_shows_nothing() -> None:
    """It may have lain on the relay, so nobody says that our clock is ahead."""
    offset = ClockOffset()
    offset.room_said("device", truth(-300), at(0))
    assert offset.true_ms(at(0)) == truth(0)
    assert offset.skew(at(0)) is None


@given(stamps=st.lists(steps, min_size=1, max_size=9))
@settings(max_examples=examples(200))
def test_the_room_never_contradicts_a_relay(stamps: list[int]) -> None:
    offset = ClockOffset()
    offset.relay_said("relay", truth(0), at(0, 10 * MINUTE))
    for number, stamp in enumerate(stamps):
        offset.room_said(f"d{number}", truth(0) + stamp, at(0, 10 * MINUTE))
    assert offset.true_ms(at(0, 10 * MINUTE)) == truth(0)


@pytest.mark.parametrize("wrong_by", OFFSETS)
def test_when_a_relay_refuses_our_stamps_the_latest_announce_tells_the_time(wrong_by: int) -> None:
    offset = ClockOffset()
    assert not offset.may_ask_the_room
    offset.stamp_refused()
    assert offset.may_ask_the_room
    offset.room_said("a ghost", truth(-90_000), at(0, wrong_by))
    offset.room_said("who is there", truth(-20), at(0, wrong_by))
    assert offset.true_ms(at(0, wrong_by)) == truth(-20)
    assert not offset.may_ask_the_room


# ── the clock moves meanwhile ─────────────────────────────────────────────────────────────────────────────────────────


@given(first=steps, second=steps)
@settings(max_examples=examples(200))
def test_a_clock_that_jumps_either_way_changes_nothing(first: int, second: int) -> None:
    offset = ClockOffset()
    offset.relay_said("relay", truth(0), at(0, first))
    assert abs(offset.true_ms(at(60, second)) - truth(60)) <= NEGLIGIBLE_MS
    skew = offset.skew(at(60, second))
    assert skew is not None
    assert skew.ahead_ms == second


def test_a_clock_that_is_set_right_is_used_again() -> None:
    offset = ClockOffset()
    offset.relay_said("relay", truth(0) + 400, at(0, YEAR))
    assert offset.true_ms(at(10, 0)) == truth(10)


def test_the_newest_word_of_a_voice_counts_so_a_drift_is_followed() -> None:
    """A steady clock that loses a minute a day, say in a virtual machine that is paused."""
    offset = ClockOffset()
    for day in range(30):
        now = Reading(truth(day * 86_400) + YEAR, day * (86_400_000 - MINUTE))
        offset.relay_said("relay", truth(day * 86_400), now)
        assert offset.true_ms(now) == truth(day * 86_400)
        later = Reading(now.wall_ms + 3_600_000, now.steady_ms + 3_600_000)
        assert abs(offset.true_ms(later) - truth(day * 86_400 + 3600)) <= MINUTE


def test_voices_are_bounded_and_the_oldest_goes_first() -> None:
    offset = ClockOffset()
    for number in range(1000):
        offset.relay_said(f"liar{number}", truth(0) + YEAR, at(0))
    for number in range(64):
        offset.relay_said(f"honest{number}", truth(0), at(0))
    assert offset.true_ms(at(0, MINUTE)) == truth(0)
