"""How long `myownllm join` waits for the inviter: by two clocks that may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from myownllm.cli import invitations

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_800_000_000.0


@attrs.define
class Clock:
    """Takes the place of `time` in the module under test."""

    now: float = START

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(invitations, "time", clock)
    return clock


def after(clock: Clock, seconds: float) -> Callable[[], bool]:
    return lambda: clock.now >= START + seconds


def test_it_ends_as_soon_as_the_device_is_in(clock: Clock) -> None:
    assert invitations.comes_true(after(clock, 7), START + 900)
    assert clock.now - START == pytest.approx(7, abs=invitations.POLL_S)


def test_it_ends_with_the_invitation(clock: Clock) -> None:
    assert not invitations.comes_true(lambda: False, START + 900)
    assert clock.now - START == pytest.approx(900, abs=invitations.POLL_S)


def test_a_link_that_is_over_by_this_clock_is_waited_for_a_minute(clock: Clock) -> None:
    assert invitations.comes_true(after(clock, 50), START - 3600)
    clock.now = START
    assert not invitations.comes_true(lambda: False, START - 3600)
    assert clock.now - START == pytest.approx(60, abs=invitations.POLL_S)
