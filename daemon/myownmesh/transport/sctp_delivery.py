"""How fast the path delivers (draft-cheng-iccrg-delivery-rate-estimation). No I/O; `now` is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myownmesh.transport.sctp_outstanding import Fragment, Mark


class Delivery:
    """Counts what is acknowledged; each fragment carries the mark of the moment at which it left."""

    def __init__(self) -> None:
        self.delivered = 0
        """Bytes acknowledged so far."""
        self.mark: Mark = (0, 0.0, 0.0, False)
        """What the next fragment carries."""
        self._limited_until = 0
        """What is in flight up to this count left while there was nothing else to send."""

    def begin(self, now: float) -> None:
        """A fragment is about to leave, and nothing else is in flight."""
        self.mark = (self.delivered, now, now, self._limited_until > 0)

    def ran_dry(self, in_flight: int) -> None:
        """There is nothing to send although the path would take it: what is measured is us, not the path."""
        self._limited_until = self.delivered + in_flight or 1
        delivered, delivered_at, first_sent_at, _ = self.mark
        self.mark = (delivered, delivered_at, first_sent_at, True)

    def acknowledged(self, newest: Fragment, size: int, shortest: float, now: float) -> float:
        """So many bytes arrived, `newest` being what was sent last. Returns bytes per second; 0: not known."""
        self.delivered = delivered = self.delivered + size
        if delivered > self._limited_until:
            self._limited_until = 0
        sent_at = newest.sent_at
        self.mark = (delivered, now, sent_at, self._limited_until > 0)
        before, delivered_at, first_sent_at, _ = newest.mark
        sending, arriving = sent_at - first_sent_at, now - delivered_at
        interval = sending if sending > arriving else arriving
        if interval <= 0 or interval < shortest:
            return 0.0  # quicker than the path: an answer to an earlier sending
        return (delivered - before) / interval


SAMPLES_PER_MEAN = 12
"""The highest of many single samples is what a busy host or a coarse timer made of the path's rate."""


class MeanRate:
    """Means of some samples each, or of those of a round that has fewer."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0
        self._is_known = False
        """Whether this round had a mean."""

    def take(self, rate: float) -> float:
        """Take a sample; returns a mean when enough have come, else 0."""
        self._sum += rate
        self._count += 1
        if self._count < SAMPLES_PER_MEAN:
            return 0.0
        mean = self._sum / SAMPLES_PER_MEAN
        self._sum = 0.0
        self._count = 0
        self._is_known = True
        return mean

    def end_round(self) -> float:
        """The mean of a round that had none yet, else 0."""
        mean = self._sum / self._count if self._count and not self._is_known else 0.0
        self._sum = 0.0
        self._count = 0
        self._is_known = False
        return mean
