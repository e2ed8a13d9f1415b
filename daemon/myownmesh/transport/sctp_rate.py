"""How much a path carries: a model of its bandwidth and its shortest round trip, after BBR. No I/O; `now` is given.

The model gives the two figures that the sender obeys: the rate at which packets leave and the bytes that may be in
flight. A loss alone says nothing about bandwidth, so it changes neither. When the bottleneck's queue runs over
(`sctp_queue`), that is either what a probe of ours was for, and it has found nothing; or, since the pace was that of
before, others have come: they are left a part, as CUBIC does it, and nothing is tried for a while.

`STARTUP` doubles every round trip until the rate stops growing or a queue builds up, from one large message on: what
comes behind such a message waits until all of it has left. `DRAIN` empties that queue,
`CRUISE` sends at the rate that was measured, a little more in one round out of eight (`UP`, then less: `DOWN`) to see
whether there is more. Where there was, it goes on as in `STARTUP`. `SHORTEN` empties the path for a round trip when the
shortest one has not been confirmed for long.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_delivery import MeanRate
from myownmesh.transport.sctp_queue import BottleneckQueue

if TYPE_CHECKING:
    from myownmesh.transport.sctp_outstanding import Fragment
    from myownmesh.transport.sctp_round_trip import RoundTrip

INITIAL_WINDOW_BYTES = 10 * wire.MAX_FRAGMENT_BYTES
"""As TCP does it (RFC 6928): a hello or a call goes out in one round trip."""
STARTUP_WINDOW_BYTES = 43 * wire.MAX_FRAGMENT_BYTES
"""A message of 48 KiB, once the round trip is known, so that it can be spread."""
STARTUP_SPREAD = 0.5
"""Of a round trip: what such a message is spread over."""
MIN_WINDOW_BYTES = 10 * wire.MAX_FRAGMENT_BYTES
MAX_WINDOW_BYTES = 4 * 1024 * 1024
UNPACED_SECONDS = 0.003
"""Below this round trip the clock of timers is too coarse, and acknowledgements are a better one."""
HOST_SECONDS = 0.005
"""What two busy hosts take for a batch of packets, beside the path."""
NEAR_HOST_SECONDS = 0.025
"""The same where nothing is paced: large batches are what makes a process fast."""
ROUNDS_KEPT = 10
"""The bandwidth is the highest rate of so many round trips."""

STARTUP_RATE_GAIN = 2.77
STARTUP_WINDOW_GAIN = 2.0
DRAIN_GAIN = 0.5
DRAIN_WINDOW_GAIN = 1.0
UP_GAIN = 1.25
EMPTYING = 0.97
"""Of what has passed while there was a queue all the time: who measured too high fills it, and lets it go again."""
DOWN_GAIN = 0.75
WINDOW_GAIN = 2.0
CRUISE_ROUNDS = 6
DRAIN_ROUNDS = 3
"""Then the queue is somebody else's."""
STARTUP_GROWTH = 1.25
STARTUP_PATIENCE_ROUNDS = 3
PAYING_GROWTH = 1.08
"""A probe that found so much more is followed by another start-up; it is a mean, of rates that grow by a quarter."""
YIELD = 0.7
"""What is kept when others have filled the queue (RFC 9438 §4.6)."""
SHORTEN_GAIN = 0.5


class Phase(enum.Enum):
    """What the sender is about, with its gains: of the rate, and of the bytes in flight; and whether a queue drains."""

    STARTUP = (STARTUP_RATE_GAIN, STARTUP_WINDOW_GAIN)
    DRAIN = (DRAIN_GAIN, DRAIN_WINDOW_GAIN, True)
    UP = (UP_GAIN, WINDOW_GAIN)
    DOWN = (DOWN_GAIN, WINDOW_GAIN, True)
    CRUISE = (1.0, WINDOW_GAIN)
    SHORTEN = (1.0, SHORTEN_GAIN)

    def __init__(self, rate_gain: float, window_gain: float, drains: bool = False) -> None:
        self.rate_gain = rate_gain
        self.window_gain = window_gain
        self.drains = drains


class RateModel:
    """Fed with every acknowledgement; `pacing_rate` and `window_bytes` are what follows from it."""

    def __init__(self, round_trip: RoundTrip, delivered: int = 0) -> None:
        """`delivered` bytes have been acknowledged before."""
        self._round_trip = round_trip
        self._queue = BottleneckQueue(round_trip)
        self._delivered = delivered
        self.phase = Phase.STARTUP
        self.bandwidth = 0.0
        """Bytes per second; 0 before the first measurement."""
        self.pacing_rate = 0.0
        """Bytes per second; 0 for none."""
        self.window_bytes = INITIAL_WINDOW_BYTES
        self._rates: deque[tuple[int, float]] = deque()
        """Round and rate, falling: the first is the highest of the last rounds."""
        self._means = MeanRate()
        self._round = 0
        """Number of rounds in which the path was the limit."""
        self._round_ends = delivered
        self._round_is_limited = False
        self._round_delivered = 0
        self._round_lost = 0
        self._is_new = True
        """Nothing has ended the first start-up."""
        self._grown_from = 0.0
        """The bandwidth that the start-up or the probe under way must exceed."""
        self._rounds_without_growth = 0
        self._startup_rounds = 0
        self._cruised = 0
        """Rounds of `CRUISE`."""
        self._steady_rounds = 0
        """Since the pace has changed last, in `CRUISE`."""
        self._forgot_at = delivered
        """What had been delivered when the bandwidth was set back; rates of what left before are those of before."""
        self._drained = 0
        """Rounds of `DRAIN` or `DOWN`."""
        self._changed = False
        """Whether something has that the two figures follow from."""

    def acknowledged(
        self, newest: Fragment, rate: float, size: int, lost: int, round_trip: float, in_flight: int, now: float
    ) -> None:
        """Take an acknowledgement of `size` bytes, `newest` being what was sent last of it; `in_flight` are left.

        `rate` in bytes per second (0: not known) is what was measured over it, `round_trip` in seconds (0: none);
        `lost` bytes were found lost since the last call.
        """
        self._delivered += size
        self._round_delivered += size
        self._round_lost += lost
        if round_trip:
            path = self._round_trip.shortest
            if self.phase is Phase.STARTUP and self._queue.of_others > path:
                path = self._queue.of_others
            self._queue.take(round_trip, path, now)
        left_at, _, _, app_limited = newest.mark
        if not app_limited:
            self._round_is_limited = True
        if rate and (rate > self.bandwidth or not app_limited):
            if left_at < self._forgot_at and rate > self.bandwidth:
                rate = self.bandwidth
            if self.phase is Phase.STARTUP or app_limited:
                self._take_rate(rate)
            elif mean := self._means.take(rate):
                self._take_rate(mean)
        if left_at >= self._round_ends:
            self._round_ends = self._delivered
            if self._round_is_limited:
                self._end_round(in_flight, now)
            else:  # what an idle round measures says nothing about the path
                self._queue.begin_round()
                self._round_delivered = self._round_lost = 0
        elif self._startup_rounds and self.phase is Phase.STARTUP and self._queue.is_there(now):
            self._drain(Phase.DRAIN)
        if self.phase.drains and (
            in_flight <= self.bandwidth * self._round_trip.shortest or self._drained >= DRAIN_ROUNDS
        ):
            self._end_drain()
        if self._changed:
            self._obey()

    # ── measurements ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_rate(self, rate: float) -> None:
        rates = self._rates
        while rates and rates[-1][1] <= rate:
            rates.pop()
        rates.append((self._round, rate))
        while rates[0][0] < self._round - ROUNDS_KEPT:
            rates.popleft()
        if rates[0][1] != self.bandwidth:
            self.bandwidth = rates[0][1]
            self._changed = True

    def _end_round(self, in_flight: int, now: float) -> None:
        """A round trip's worth has been acknowledged."""
        self._changed = True
        queue = self._queue
        if mean := self._means.end_round():
            self._take_rate(mean)
        if queue.runs_over(self._round_lost, self._round_delivered, now):
            self._queue_ran_over(in_flight)
        match self.phase:
            case Phase.STARTUP:
                self._end_startup_round(now)
            case Phase.UP:
                self._drain(Phase.DOWN)
            case Phase.DOWN | Phase.DRAIN:
                self._drained += 1
                if self._drained >= DRAIN_ROUNDS:
                    queue.becomes_that_of_others()
            case Phase.CRUISE:
                self._end_cruise_round(in_flight, now)
            case Phase.SHORTEN:
                if queue.round_shortest:
                    self._round_trip.measure_shortest_anew(queue.round_shortest, now)
                    self._cruise()
        self._round_is_limited = False
        self._round_delivered = self._round_lost = 0
        self._round += 1
        queue.begin_round()

    def _queue_ran_over(self, in_flight: int) -> None:
        if self.phase is Phase.CRUISE and self._steady_rounds:  # what was lost left at the pace that it is
            self._forget(YIELD * self.bandwidth, in_flight)
            self._steady_rounds = -1  # the round that ends now is counted, too
        elif self.phase in (Phase.UP, Phase.DOWN):  # the probe did it
            kept = YIELD if self._queue.of_others else 1.0
            self._forget(kept * min(self._grown_from, self.bandwidth), in_flight)

    def _forget(self, bandwidth: float, in_flight: int) -> None:
        """Go on from this bandwidth."""
        self.bandwidth = bandwidth
        self._rates.clear()
        self._rates.append((self._round, bandwidth))
        self._forgot_at = self._delivered + in_flight

    # ── phases ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _end_startup_round(self, now: float) -> None:
        self._startup_rounds += 1
        if self._startup_rounds == 1:  # little of ours was there yet
            self._queue.becomes_that_of_others()
            return
        if self.bandwidth >= STARTUP_GROWTH * self._grown_from:
            self._grown_from = self.bandwidth
            self._rounds_without_growth = 0
        else:
            self._rounds_without_growth += 1
        if self._queue.is_there(now) or self._rounds_without_growth >= STARTUP_PATIENCE_ROUNDS:
            self._drain(Phase.DRAIN)

    def _drain(self, phase: Phase) -> None:
        self._is_new = False
        self.phase = phase
        self._drained = 0
        self._changed = True

    def _end_drain(self) -> None:
        if self.phase is Phase.DRAIN:
            self._cruise(CRUISE_ROUNDS - 1)
        elif self._drained:  # what was sent in `UP` has been acknowledged
            self._end_probe()

    def _end_cruise_round(self, in_flight: int, now: float) -> None:
        self._cruised += 1
        carried = self._queue.carries(self._delivered, now)
        if not self._queue.of_others:
            carried *= EMPTYING
        if 0.0 < carried < self.bandwidth:
            self._forget(carried, in_flight)
        self._steady_rounds += 1
        if self._round_trip.shortest_is_stale(now):
            self.phase = Phase.SHORTEN
        elif self._cruised >= CRUISE_ROUNDS and self._queue.may_be_tried(now):
            self._grown_from = self.bandwidth
            if self._queue.is_there(now):  # at the pace that was measured none of it is ours
                self._queue.becomes_that_of_others()
            else:
                self._queue.is_ours()
            self.phase = Phase.UP

    def _end_probe(self) -> None:
        if self.bandwidth >= PAYING_GROWTH * self._grown_from:
            self._grown_from = self.bandwidth
            self._rounds_without_growth = 0
            self._startup_rounds = 0
            self.phase = Phase.STARTUP
            self._changed = True
        else:
            self._cruise()

    def _cruise(self, rounds_done: int = 0) -> None:
        self.phase = Phase.CRUISE
        self._cruised = rounds_done
        self._steady_rounds = 0
        self._changed = True

    def _obey(self) -> None:
        """Let the two figures follow from the model."""
        self._changed = False
        bandwidth, shortest = self.bandwidth, self._round_trip.shortest
        if not bandwidth or not shortest:
            return
        is_near = shortest < UNPACED_SECONDS
        host = NEAR_HOST_SECONDS if is_near else HOST_SECONDS
        through = self.phase.window_gain * shortest
        if not is_near and self._queue.of_others > through:
            through = self._queue.of_others
        window = bandwidth * (through + host)
        least = STARTUP_WINDOW_BYTES if self._is_new else MIN_WINDOW_BYTES
        self.window_bytes = int(min(max(window, least), MAX_WINDOW_BYTES))
        if is_near:
            self.pacing_rate = 0.0
        else:
            spread = self._round_trip.smoothed * (STARTUP_SPREAD if self._is_new else 1.0)
            self.pacing_rate = max(self.phase.rate_gain * bandwidth, least / spread)
