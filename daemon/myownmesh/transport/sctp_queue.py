"""The queue before the bottleneck: whether there is one, whose it is, and when it runs over. No I/O; `now` is given.

Round trips that stay longer than the path is are a queue. What of it is left when we have stopped filling it is that of
others. Losses beyond the usual share while there is one are those of a full queue; all others are the path's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.transport import sctp_wire as wire

if TYPE_CHECKING:
    from myownmesh.transport.sctp_round_trip import RoundTrip

SAMPLES = 8
"""Long round trips in a row, over a quarter of one, tell a queue from noise."""
MIN_SECONDS = 0.004
MAX_SECONDS = 0.016
"""By so much, or an eighth, a round trip must be longer (as HyStart++, RFC 9406, has it)."""
FULL_LOSS = 0.02
"""More than this share of a round lost, beyond twice what is lost without a queue: the bottleneck drops."""
FEW_BYTES = 2 * wire.MAX_FRAGMENT_BYTES
"""A share of a short round is chance."""
USUAL_WEIGHT = 1 / 8
BUSY_ROUNDS = 2
"""Of them the rate is measured: one is as noisy as any sample."""
REST_SECONDS = 2.0
"""After an overflow nothing is tried for so long: others, whose window it has cut, need it to come back."""


class BottleneckQueue:
    """Fed with round trips, and with what became of each round."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
        self.of_others = 0.0
        """Seconds; the round trip through a queue that is not ours, 0 without one."""
        self.round_shortest = 0.0
        """Seconds; of the round under way, 0 before its first round trip."""
        self._since = 0.0
        self._samples = 0
        """Round trips in a row that were longer than the path is, and since when."""
        self._usual_loss = 0.0
        """Share of the bytes, in rounds without a queue."""
        self._rests_until = 0.0
        self._busy_rounds = 0
        self._busy_since = 0.0
        self._busy_from = 0
        """Rounds with a queue, since when, and what had been delivered then."""

    def take(self, round_trip: float, path: float, now: float) -> None:
        """A round trip, in seconds, over a path that takes `path` seconds without the queue that is looked for."""
        if not self.round_shortest or round_trip < self.round_shortest:
            self.round_shortest = round_trip
        if round_trip <= path + min(max(path / 8, MIN_SECONDS), MAX_SECONDS):
            self._samples = 0
            return
        if not self._samples:
            self._since = now
        self._samples += 1

    def is_there(self, now: float) -> bool:
        """Whether the round trip has been longer than the path is for some time."""
        return self._samples >= SAMPLES and now - self._since > self._round_trip.shortest / 4

    def begin_round(self) -> None:
        self.round_shortest = 0.0

    def becomes_that_of_others(self) -> None:
        """We have added nothing to what the round under way has seen."""
        self.of_others = self.round_shortest

    def is_ours(self) -> None:
        """There is none, or it goes as soon as we send less."""
        self.of_others = 0.0

    def runs_over(self, lost: int, delivered: int, now: float) -> bool:
        """Whether these bytes of a round were lost because it was full."""
        share = lost / (lost + delivered) if lost else 0.0
        if not self.is_there(now):
            self._usual_loss += USUAL_WEIGHT * (share - self._usual_loss)
            return False
        if share <= FULL_LOSS + 2 * self._usual_loss or lost <= FEW_BYTES:
            return False
        self._rests_until = now + REST_SECONDS
        return True

    def carries(self, delivered: int, now: float) -> float:
        """Bytes per second that pass while it is there, at the end of a round; 0 as long as that is not known.

        `delivered` is the count of all bytes so far. What is in a queue all the time is never waited for.
        """
        if not self.is_there(now):
            self._busy_rounds = 0
            return 0.0
        if not self._busy_rounds:
            self._busy_since = now
            self._busy_from = delivered
        self._busy_rounds += 1
        return (delivered - self._busy_from) / (now - self._busy_since) if self._busy_rounds > BUSY_ROUNDS else 0.0

    def may_be_tried(self, now: float) -> bool:
        """Whether it is time to see if more goes through."""
        return now >= self._rests_until
