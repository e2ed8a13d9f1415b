"""Which fragments are lost: judged by the order of sending (RACK-TLP, RFC 8985, for SCTP). No I/O; `now` is handed in.

A fragment is lost once something that was sent later has arrived and enough time, or enough packets, lie between the
two. A repeat is a new sending, so acknowledgements of what was sent before it say nothing about it. Every fragment in
flight stands once in the line of sendings, and the work is at its head only.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from myownmesh.transport.sctp_outstanding import ACKED, IN_FLIGHT, LOST

if TYPE_CHECKING:
    from myownmesh.transport.sctp_outstanding import Fragment
    from myownmesh.transport.sctp_round_trip import RoundTrip

PACKET_THRESHOLD = 3
"""Packets that must have overtaken, as long as the path has not been seen to reorder."""
MAX_PATIENCE = 16
"""In quarters of the shortest round trip."""
PATIENCE_LIVES_SENDINGS = 4_000
"""After so many sendings without a needless repeat it falls by a quarter."""
IMMEDIATE_ROUND_TRIP_SECONDS = 0.005
"""Above this the peer is asked to acknowledge a last packet at once, so that its loss is noticed early."""
PROBE_ROUND_TRIPS = 2
PROBE_SLACK_SECONDS = 0.005
"""Timers and delayed answers."""
SENDINGS_PER_PLAN = 8
"""The round trip does not change faster than that."""
PEER_SACK_DELAY_SECONDS = 0.2
"""The longest delay of a SACK in use (v0.3.8), where none was asked for at once."""


class LossDetector:
    """Everything in flight, in the order of sending."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
        self._line: deque[Fragment] = deque()
        self._sendings = 0
        self._newest_order = 0
        """Of what was acknowledged; the time that its acknowledgement took follows."""
        self._newest_took = 0.0
        self._reorders = False
        self._patience = 1
        self._plan_again = 0
        self._patience_changed = 0
        """Number of sendings when it did."""
        self.asks_for_answers = True
        """Whether a last packet is to be acknowledged at once; the first one is, to learn the round trip."""
        self.probe_after = 0.0
        """Seconds of silence after which the last packet is sent again; known with the round trip."""
        self.check_at: float | None = None
        """When `find_lost` may find more without any acknowledgement."""

    def sent(self, fragment: Fragment) -> None:
        """A fragment leaves, for the first time or again; it must not stand in the line."""
        self._sendings += 1
        fragment.order = self._sendings
        self._line.append(fragment)

    def take_out(self, fragment: Fragment) -> None:
        """A fragment in flight is about to be sent again although it is not lost: a probe, once in a while."""
        self._line.remove(fragment)

    def newest_in_flight(self) -> Fragment | None:
        """What was sent last of what is not acknowledged."""
        line = self._line
        while line and line[-1].state == ACKED:
            line.pop()
        return line[-1] if line else None

    def acknowledged(self, newly: list[Fragment], newest: Fragment, duplicates: int, now: float) -> None:
        """Something was acknowledged, `newest` of it being what was sent last."""
        if duplicates:
            self._repeated_needlessly()
        known = self._newest_order
        for fragment in newly:
            if fragment.order < known and fragment.sent_count == 1:
                self._reorders = True
                break
        took = now - newest.sent_at
        if newest.order >= self._plan_again:
            self._plan_probe()
        if newest.order <= known or (newest.sent_count > 1 and took < self._round_trip.shortest):
            return  # the latter is the answer to an earlier sending
        self._newest_order = newest.order
        self._newest_took = took

    def find_lost(self, now: float) -> list[Fragment]:
        """Take from the line what is lost by now, in the order of sending."""
        self.check_at = None
        line = self._line
        lost: list[Fragment] = []
        enough = self._newest_order - PACKET_THRESHOLD
        while line:
            fragment = line[0]
            if fragment.state == IN_FLIGHT:
                if fragment.order >= self._newest_order:
                    break
                if self._reorders or fragment.order > enough:
                    due = fragment.sent_at + self._newest_took + self._window()
                    if due > now:
                        self.check_at = due
                        break
                fragment.state = LOST
                lost.append(fragment)
            line.popleft()
        return lost

    def give_up(self) -> None:
        """Everything in flight is taken for lost by the caller."""
        self._line.clear()
        self.check_at = None

    def _plan_probe(self) -> None:
        self._plan_again = self._sendings + SENDINGS_PER_PLAN
        shortest = self._round_trip.shortest
        self.asks_for_answers = not shortest or shortest > IMMEDIATE_ROUND_TRIP_SECONDS
        self.probe_after = PROBE_ROUND_TRIPS * self._round_trip.smoothed + PROBE_SLACK_SECONDS
        if not self.asks_for_answers:
            self.probe_after += PEER_SACK_DELAY_SECONDS

    def _window(self) -> float:
        """Seconds by which a packet may be late before it is lost."""
        if self._patience > 1 and self._sendings > self._patience_changed + PATIENCE_LIVES_SENDINGS:
            self._patience -= 1
            self._patience_changed = self._sendings
        return min(self._patience * self._round_trip.shortest / 4, self._round_trip.smoothed)

    def _repeated_needlessly(self) -> None:
        """The peer got something twice: a quarter more of patience, at most once in a round trip."""
        self._reorders = True
        if self._newest_order >= self._patience_changed:
            self._patience = min(self._patience + 1, MAX_PATIENCE)
            self._patience_changed = self._sendings
