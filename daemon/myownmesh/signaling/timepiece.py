"""The time that a device reckons with among others: its own, corrected by what they say (spec 03 §20)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.protocol.clock import Instant
from myownmesh.signaling.clockoffset import ClockOffset, Reading
from myownmesh.signaling.validity import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.signaling.clockoffset import Skew
    from myownmesh.signaling.validity import Period


class Timepiece:
    """This device's clocks and what is known of their error. One serves all networks: the clock is the device's."""

    def __init__(self, now: Callable[[], Instant], steady: Callable[[], float]) -> None:
        """`now` reads the clocks as they are; `steady` is in seconds, counts sleep and is never set."""
        self._now = now
        self._steady = steady
        self._offset = ClockOffset()

    def now(self) -> Instant:
        """This moment; its wall clock is the corrected one."""
        mono, wall_ms = self._now()
        return Instant(mono, self._offset.true_ms(self._reading(wall_ms)))

    def skew(self) -> Skew | None:
        """How wrong the wall clock is at the moment; None when nobody has told the time."""
        return self._offset.skew(self._reading(self._now().wall_ms))

    def relay_said(self, host: str, date_s: int) -> None:
        """A relay has just told its time, in whole seconds."""
        # A clock that shows whole seconds is half of one behind, on average.
        self._offset.relay_said(host, date_s * 1000 + 500, self._reading(self._now().wall_ms))

    def doubts(self, host: str, chain: Sequence[Period], date_s: int | None) -> str:
        """Why a relay's certificates, out of date by our clock, do not hold; empty when it is our clock that is wrong.

        `date_s` is the time that it tells. Where that alone is not enough it is kept, and helps to judge others.
        """
        wall_ms = self._now().wall_ms
        reading = self._reading(wall_ms)
        verdict = judge(
            chain,
            clock_ms=wall_ms,
            holder_ms=None if date_s is None else date_s * 1000 + 500,
            others_ms=self._offset.told_by_others(host, reading),
        )
        if verdict.problem and verdict.told_ms is not None:
            self._offset.relay_claimed(host, verdict.told_ms, reading)
        return verdict.problem

    def peer_is_ahead(self, device_id: str, ahead_ms: int) -> None:
        """By its pings an admitted peer's clock is so much ahead of ours as it is."""
        reading = self._reading(self._now().wall_ms)
        self._offset.peer_said(device_id, reading.wall_ms + ahead_ms, reading)

    def room_said(self, device_id: str, stamp_s: int) -> None:
        """A genuine announce has just come; it was written at that second by its writer's clock, or claims so."""
        self._offset.room_said(device_id, stamp_s * 1000, self._reading(self._now().wall_ms))

    def stamp_refused(self) -> None:
        """A relay has just found a stamp of ours too old or from the future."""
        self._offset.stamp_refused()

    @property
    def may_ask_the_room(self) -> bool:
        """Nobody has told the time though a relay refuses our stamps: announces of any age would tell it."""
        return self._offset.may_ask_the_room

    def _reading(self, wall_ms: int) -> Reading:
        return Reading(wall_ms, round(self._steady() * 1000))
