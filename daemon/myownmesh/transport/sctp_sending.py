"""The sending half of an association: fragments, windows, repeats. No I/O; `now` is seconds of any steady clock.

Congestion control is that of RFC 9260 §7 (slow start, avoidance, fast retransmit) with the departures that the
constants name.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from myownmesh.transport import sctp_wire as wire

if TYPE_CHECKING:
    from collections.abc import Callable

INITIAL_WINDOW_BYTES = 10 * wire.MAX_FRAGMENT_BYTES
"""As TCP does it (RFC 6928): a hello or a call goes out in one round trip."""
MAX_WINDOW_BYTES = 1024 * 1024
"""The receive window of every stack that we meet."""
BURST_BYTES = 4 * wire.MAX_FRAGMENT_BYTES
MIN_THRESHOLD_BYTES = 4 * wire.MAX_FRAGMENT_BYTES
GROWTH_BYTES = 2 * wire.MAX_FRAGMENT_BYTES
"""Most that one SACK adds in slow start; a SACK stands for two packets."""
FAST_RETRANSMIT_MISSES = 3
TIMEOUT_INITIAL_SECONDS = 1.0
TIMEOUT_MIN_SECONDS = 0.4
"""Twice the longest delayed SACK in use (200 ms, v0.3.8)."""
TIMEOUT_MAX_SECONDS = 8.0
"""Small on purpose: after an outage the first repeat must not wait a minute (spec 04 §15.4 row 39)."""


class Fragment:
    """An outgoing DATA chunk until it is acknowledged."""

    __slots__ = (
        "acked",
        "data",
        "flags",
        "in_flight",
        "misses",
        "ppid",
        "resend",
        "sent_at",
        "sent_count",
        "ssn",
        "tsn",
    )

    def __init__(self, tsn: int, ssn: int, flags: int, ppid: int, data: bytes) -> None:
        self.tsn = tsn
        self.ssn = ssn
        self.flags = flags
        self.ppid = ppid
        self.data = data
        self.acked = False
        self.in_flight = False
        self.resend = False
        self.misses = 0
        self.sent_at = 0.0
        self.sent_count = 0


class Sender:
    """What is on its way to the peer. `put(fragment)` sends one packet."""

    def __init__(self, first_tsn: int, put: Callable[[Fragment], None]) -> None:
        self.next_tsn = first_tsn
        self._put = put
        self._acked_tsn = (first_tsn - 1) & wire.TSN_MASK
        self._messages: deque[tuple[int, bytes]] = deque()
        self._position = 0
        self._ssn = 0
        self._sent: deque[Fragment] = deque()
        self._resend_count = 0
        self.unsent_bytes = 0
        self.flight_bytes = 0
        self.window_bytes = INITIAL_WINDOW_BYTES
        self._threshold = MAX_WINDOW_BYTES
        self._partly_acked = 0
        self._recovery_exit: int | None = None
        self.peer_window_bytes = MAX_WINDOW_BYTES
        self.timeout_seconds = TIMEOUT_INITIAL_SECONDS
        self._round_trip: float | None = None
        self._variation = 0.0
        self.deadline = 0.0
        """When the oldest fragment is taken for lost; meaningful while `is_waiting`."""

    @property
    def is_waiting(self) -> bool:
        """Whether anything is unacknowledged."""
        return bool(self._sent)

    def queue(self, ppid: int, data: bytes) -> None:
        """Take a message of at least one byte; `pump` sends it."""
        self._messages.append((ppid, data))
        self.unsent_bytes += len(data)

    def pump(self, now: float) -> None:
        """Send what the windows allow, repeats first."""
        limit = min(self.flight_bytes + BURST_BYTES, self.window_bytes, self.peer_window_bytes)
        if self._resend_count and not self._repeat(now, limit):
            return
        messages = self._messages
        while messages and (self.flight_bytes < limit or not self.flight_bytes):
            ppid, message = messages[0]
            start = self._position
            end = start + wire.MAX_FRAGMENT_BYTES
            flags = 0 if start else wire.FLAG_FIRST
            if end >= len(message):
                flags |= wire.FLAG_LAST
                messages.popleft()
                self._position = 0
                piece = message[start:] if start else message
            else:
                self._position = end
                piece = message[start:end]
            fragment = Fragment(self.next_tsn, self._ssn, flags, ppid, piece)
            self.next_tsn = (self.next_tsn + 1) & wire.TSN_MASK
            if flags & wire.FLAG_LAST:
                self._ssn = (self._ssn + 1) & 0xFFFF
            self.unsent_bytes -= len(piece)
            self._sent.append(fragment)
            self._send(fragment, now)

    def _repeat(self, now: float, limit: int) -> bool:
        """Send what is marked as lost; False if the window does not allow all of it."""
        for fragment in self._sent:
            if not fragment.resend:
                continue
            if self.flight_bytes >= limit and self.flight_bytes:
                return False
            fragment.resend = False
            fragment.misses = 0
            self._resend_count -= 1
            self._send(fragment, now)
            if not self._resend_count:
                break
        return True

    def _send(self, fragment: Fragment, now: float) -> None:
        if not fragment.in_flight:
            if not self.flight_bytes:
                self.deadline = now + self.timeout_seconds
            fragment.in_flight = True
            self.flight_bytes += len(fragment.data)
        fragment.sent_count += 1
        fragment.sent_at = now
        self._put(fragment)

    def take_sack(self, data: bytes, position: int, end: int, now: float) -> None:
        """Take the body of a SACK chunk, `data[position:end]` (at least 12 bytes). `pump` afterwards."""
        cumulative, window, gap_count, _ = wire.SACK_BODY.unpack_from(data, position)
        advance = (cumulative - self._acked_tsn) & wire.TSN_MASK
        if advance > len(self._sent):
            return  # old, or acknowledges what was never sent
        was_full = self.flight_bytes + wire.MAX_FRAGMENT_BYTES > self.window_bytes
        self._acked_tsn = cumulative
        acked_bytes = self._take_cumulative(advance, now)
        lost = False
        if gap_count and self._sent:
            newly, lost = self._take_gaps(data, position + 12, min(gap_count, (end - position - 12) // 4))
            acked_bytes += newly
        self.peer_window_bytes = window
        self._adjust_window(cumulative, acked_bytes, was_full=was_full, advanced=advance > 0, lost=lost)
        if advance:
            self.deadline = now + self.timeout_seconds

    def time_out(self) -> None:
        """The deadline has passed: everything unacknowledged counts as lost. `pump` afterwards."""
        self._threshold = max(self.window_bytes // 2, MIN_THRESHOLD_BYTES)
        self.window_bytes = wire.MAX_FRAGMENT_BYTES
        self.timeout_seconds = min(2 * self.timeout_seconds, TIMEOUT_MAX_SECONDS)
        self._mark_all_lost()

    def change_path(self) -> None:
        """The path is new: what was in flight went the old way. `pump` afterwards."""
        self.timeout_seconds = min(self.timeout_seconds, TIMEOUT_INITIAL_SECONDS)
        self._mark_all_lost()

    def clear(self) -> None:
        """Forget what is queued; the association has ended."""
        self._messages.clear()
        self._sent.clear()
        self._resend_count = 0

    def _take_cumulative(self, count: int, now: float) -> int:
        """Drop the oldest `count` fragments; returns their bytes that were not acknowledged before."""
        acked_bytes = 0
        measured: float | None = None
        for _ in range(count):
            fragment = self._sent.popleft()
            size = len(fragment.data)
            if not fragment.acked:
                acked_bytes += size
            if fragment.in_flight:
                self.flight_bytes -= size
            if fragment.resend:
                self._resend_count -= 1
            if fragment.sent_count == 1:
                measured = now - fragment.sent_at
        if measured is not None:
            self._measure(measured)
        return acked_bytes

    def _take_gaps(self, data: bytes, position: int, count: int) -> tuple[int, bool]:
        """Mark what arrived out of order; returns its new bytes and whether a fragment is to be repeated."""
        gaps = sorted(wire.GAP.unpack_from(data, position + 4 * i) for i in range(count))
        newly = 0
        highest = 0
        index = 0
        for offset, fragment in enumerate(self._sent, 1):
            while index < count and gaps[index][1] < offset:
                index += 1
            if index == count:
                break
            if gaps[index][0] <= offset and not fragment.acked:
                fragment.acked = True
                newly += len(fragment.data)
                highest = offset
                self._take_off(fragment)
                if fragment.resend:
                    fragment.resend = False
                    self._resend_count -= 1
        lost = False
        for offset, fragment in enumerate(self._sent, 1):
            if offset >= highest:
                break
            if fragment.acked or fragment.resend:
                continue
            fragment.misses += 1
            if fragment.misses == FAST_RETRANSMIT_MISSES:
                fragment.resend = True
                self._resend_count += 1
                self._take_off(fragment)
                lost = True
        return newly, lost

    def _take_off(self, fragment: Fragment) -> None:
        if fragment.in_flight:
            fragment.in_flight = False
            self.flight_bytes -= len(fragment.data)

    def _adjust_window(self, cumulative: int, acked: int, *, was_full: bool, advanced: bool, lost: bool) -> None:
        """Slow start, avoidance, halved once per loss episode."""
        if self._recovery_exit is not None:
            if (cumulative - self._recovery_exit) & wire.TSN_MASK < wire.TSN_HALF:
                self._recovery_exit = None
            return
        if lost:
            self._threshold = self.window_bytes = max(self.window_bytes // 2, MIN_THRESHOLD_BYTES)
            self._partly_acked = 0
            self._recovery_exit = self._sent[-1].tsn
        elif advanced and was_full:
            if self.window_bytes <= self._threshold:
                self.window_bytes += min(acked, GROWTH_BYTES)
            else:
                self._partly_acked += acked
                if self._partly_acked >= self.window_bytes:
                    self._partly_acked -= self.window_bytes
                    self.window_bytes += wire.MAX_FRAGMENT_BYTES
            self.window_bytes = min(self.window_bytes, MAX_WINDOW_BYTES)

    def _measure(self, seconds: float) -> None:
        """A round trip of a fragment that was sent once (RFC 9260 §6.3.1)."""
        if self._round_trip is None:
            self._round_trip = seconds
            self._variation = seconds / 2
        else:
            self._variation += (abs(self._round_trip - seconds) - self._variation) / 4
            self._round_trip += (seconds - self._round_trip) / 8
        timeout = self._round_trip + 4 * self._variation
        self.timeout_seconds = min(max(timeout, TIMEOUT_MIN_SECONDS), TIMEOUT_MAX_SECONDS)

    def _mark_all_lost(self) -> None:
        self.flight_bytes = 0
        self._resend_count = 0
        for fragment in self._sent:
            fragment.in_flight = False
            fragment.resend = not fragment.acked
            self._resend_count += fragment.resend
        self._recovery_exit = None
        self._partly_acked = 0
