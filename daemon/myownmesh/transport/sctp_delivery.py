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
