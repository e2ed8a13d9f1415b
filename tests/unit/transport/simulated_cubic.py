"""A TCP connection with CUBIC (RFC 9438) that always has something to send, in virtual time: what others share with.

Loss detection by three later packets (RFC 6675), a probe of the tail, HyStart by delay (RFC 9406, as Linux has it: slow
start ends at the first sign of a queue). What a receiver would announce never limits it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unit.transport.simulated_path import Bottleneck, Clock

SEGMENT_BYTES = 1_448
PACKET_BYTES = 1_500
INITIAL_WINDOW = 10
SCALE, DECREASE = 0.4, 0.7
RENO_INCREASE = 3 * (1 - DECREASE) / (1 + DECREASE)
REORDERING = 3
MIN_TIMEOUT_SECONDS = 0.2
HYSTART_SAMPLES = 8


class CubicFlow:
    """`delay` in seconds is for one way; acknowledgements, of each packet, come back after it."""

    def __init__(self, clock: Clock, bottleneck: Bottleneck, *, delay: float) -> None:
        self.received_bytes = 0
        self.losses = 0
        """Times that the window was cut."""
        self.window = float(INITIAL_WINDOW)
        """Packets."""
        self._clock = clock
        self._bottleneck = bottleneck
        self._delay = delay
        self._line: deque[tuple[int, float]] = deque()
        """In flight: number of the sending, and when it was."""
        self._sent = 0
        self._in_flight = 0
        self._recovers_until = 0
        """What was sent before this number belongs to a loss that has been answered."""
        self._threshold = float("inf")
        self._epoch_began: float | None = None
        self._window_before_loss = 0.0
        self._origin = 0.0
        self._reno_window = 0.0
        self._shortest = float("inf")
        self._round_ends = 0
        self._round_shortest = float("inf")
        self._round_samples = 0
        self._heard_at = clock.now

    def start(self) -> None:
        self._fill()
        self._watch()

    def _fill(self) -> None:
        while self._in_flight < int(self.window):
            self._sent += 1
            number, sent_at = self._sent, self._clock.now
            self._line.append((number, sent_at))
            self._in_flight += 1
            leaves = self._bottleneck.pass_through(PACKET_BYTES)
            if leaves is not None:
                self._clock.at(leaves + 2 * self._delay, lambda n=number, at=sent_at: self._acknowledged(n, at))

    def _watch(self) -> None:
        """A tail that was lost whole is sent again after a timeout."""
        if self._line and self._clock.now - self._heard_at > MIN_TIMEOUT_SECONDS + self._shortest:
            self._in_flight = 0
            self._line.clear()
            self._lost(self._sent)
            self.window = 1.0
            self._heard_at = self._clock.now
            self._fill()
        self._clock.at(self._clock.now + MIN_TIMEOUT_SECONDS / 4, self._watch)

    def _acknowledged(self, number: int, sent_at: float) -> None:
        now = self._clock.now
        took = now - sent_at
        self._heard_at = now
        self.received_bytes += SEGMENT_BYTES
        self._shortest = min(self._shortest, took)
        line = self._line
        while line and line[0][0] <= number - REORDERING:
            lost, _ = line.popleft()
            self._in_flight -= 1
            if lost > self._recovers_until:
                self._lost(self._sent)
        for index, (each, _) in enumerate(line):
            if each == number:
                del line[index]
                self._in_flight -= 1
                break
            if each > number:
                break
        if number > self._recovers_until:
            self._grow(number, took)
        self._fill()

    def _lost(self, up_to: int) -> None:
        self.losses += 1
        self._recovers_until = up_to
        before = self.window
        # fast convergence: who has become smaller leaves more to others
        self._window_before_loss = before * (1 + DECREASE) / 2 if before < self._window_before_loss else before
        self.window = self._threshold = max(before * DECREASE, 2.0)
        self._epoch_began = None

    def _grow(self, number: int, took: float) -> None:
        if self.window < self._threshold:
            self.window += 1
            self._watch_delay(number, took)
            return
        now = self._clock.now
        if self._epoch_began is None:
            self._epoch_began = now
            self._origin = max(self._window_before_loss, self.window)
            self._reno_window = self.window
            self._climb = ((self._origin - self.window) / SCALE) ** (1 / 3)
        target = self._origin + SCALE * (now + self._shortest - self._epoch_began - self._climb) ** 3
        self._reno_window += RENO_INCREASE / self.window
        target = min(max(target, self._reno_window), 1.5 * self.window)
        if target > self.window:
            self.window += (target - self.window) / self.window

    def _watch_delay(self, number: int, took: float) -> None:
        if number > self._round_ends:
            self._round_ends = self._sent
            self._round_shortest = float("inf")
            self._round_samples = 0
        self._round_samples += 1
        self._round_shortest = min(self._round_shortest, took)
        patience = min(max(self._shortest / 8, 0.004), 0.016)
        if self._round_samples >= HYSTART_SAMPLES and self._round_shortest > self._shortest + patience:
            self._threshold = self.window
