"""The one measure of how fast something may happen: a token bucket that is handed the time."""

from __future__ import annotations


class TokenBucket:
    """`capacity` tokens at most and at first, refilled at `rate` per second; lazily, without a timer.

    A rate of 0 never limits. `now` is monotonic seconds; a clock that stands still or goes back refills nothing.
    """

    __slots__ = ("_at", "_capacity", "_rate", "_tokens")

    def __init__(self, rate: float, capacity: float, at: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._at = at
        self._tokens = capacity

    def has_one(self, now: float) -> bool:
        """Is there a token to take?"""
        if self._rate == 0:
            return True
        self._refill(now)
        return self._tokens >= 1

    def take(self, now: float, tokens: float = 1) -> bool:
        """Take so many tokens if there are as many."""
        if self._rate == 0:
            return True
        if now > self._at:  # `_refill`, without a call: each control frame takes one
            self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True

    def force(self, now: float, tokens: float = 1) -> None:
        """Take tokens that may be owed."""
        self._refill(now)
        self._tokens -= tokens

    def ready_at(self, now: float) -> float:
        """When the next token can be taken; `now` when it can be already."""
        if self.has_one(now):
            return now
        # The small surplus absorbs rounding: a waiter that comes back at this time must find a whole token.
        return now + (1 - self._tokens) / self._rate + 1e-6

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
