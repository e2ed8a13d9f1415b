"""The sending half of an association: what leaves when. No I/O; `now` is seconds of any steady clock.

It wires what decides about it: the backlog says which message is next, the rate model and the pacer how much may leave,
the loss detector what must be sent again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_backlog import Backlog
from myownmesh.transport.sctp_delivery import Delivery
from myownmesh.transport.sctp_loss import LossDetector
from myownmesh.transport.sctp_outstanding import ACKED, IN_FLIGHT, LOST, Fragment, Outstanding
from myownmesh.transport.sctp_pacing import Pacer
from myownmesh.transport.sctp_rate import RateModel
from myownmesh.transport.sctp_round_trip import RoundTrip
from myownmesh.transport.session import Order

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_UNORDERED_BYTES = 4096
URGENT_BYTES = 8 * wire.MAX_FRAGMENT_BYTES
"""What goes ahead of bulk does not wait until so much more may be in flight."""
BURST_PACKETS = 64
"""Most that one call of `pump` sends where nothing is paced."""


class Sender:
    """What is on its way to the peer. `put(fragment)` sends one packet.

    `pump` after every other call. `deadline` is when `wake` has something to do.
    """

    def __init__(self, first_tsn: int, put: Callable[[Fragment], None]) -> None:
        self.backlog = Backlog()
        self.flight_bytes = 0
        self._put = put
        self._outstanding = Outstanding(first_tsn)
        self._round_trip = RoundTrip()
        self._loss = LossDetector(self._round_trip)
        self._rate = RateModel(self._round_trip)
        self._pacer = Pacer()
        self._delivery = Delivery()
        self._lost: deque[Fragment] = deque()
        """What is to be sent again; those that were acknowledged meanwhile are passed over."""
        self._ssn = 0
        self._last_ahead = first_tsn - 1
        """Number of the last fragment that nothing may overtake which is sent after it."""
        self._is_unordered = False
        """Whether the message that is being sent is."""
        self._timeout_at = 0.0
        self._quiet_since = 0.0
        """When something was last sent or acknowledged."""
        self._may_probe = False
        """Whether this silence may be broken once; not before a round trip is known."""
        self._held_until: float | None = None
        self._timed_out = False
        """A timeout has passed and nothing has come since."""

    @property
    def next_tsn(self) -> int:
        return self._outstanding.next_number & wire.TSN_MASK

    @property
    def unsent_bytes(self) -> int:
        return self.backlog.unsent_bytes

    @property
    def is_busy(self) -> bool:
        """Whether an acknowledgement leaves something to send, or to look at again soon."""
        return bool(self._lost) or self.backlog.unsent_bytes > 0 or self._loss.check_at is not None

    @property
    def has_much_to_send(self) -> bool:
        """Whether `pump` may send more than one packet."""
        return self.backlog.unsent_bytes > wire.MAX_FRAGMENT_BYTES or bool(self._lost)

    @property
    def window_bytes(self) -> int:
        """Bytes that may be in flight, as far as the path is concerned."""
        return wire.MAX_FRAGMENT_BYTES if self._timed_out else self._rate.window_bytes

    @property
    def bandwidth(self) -> float:
        """Bytes per second that the path is known to carry; 0 before it is known."""
        return self._rate.bandwidth

    @property
    def deadline(self) -> float | None:
        """When to `wake` and `pump` again; None if only something new can have an effect."""
        first = self._held_until
        if self._outstanding.fragments:
            due = self._timeout_at
            if self._may_probe and (probe_at := self._quiet_since + self._loss.probe_after) < due:
                due = probe_at
            check_at = self._loss.check_at
            if check_at is not None and check_at < due:
                due = check_at
            if first is None or due < first:
                first = due
        return first

    def set_peer_window(self, size: int) -> None:
        """The peer has said how much it takes, outside of an acknowledgement."""
        self._outstanding.peer_window_bytes = size

    def queue(self, ppid: int, data: bytes, order: Order = Order.IN_TURN) -> None:
        """Take a message of at least one byte."""
        if order is Order.FREE and len(data) > MAX_UNORDERED_BYTES:
            order = Order.AHEAD
        self.backlog.put(ppid, data, order)

    def pump(self, now: float) -> None:
        """Send what the windows and the pace allow, repeats first."""
        backlog, pacer, outstanding = self.backlog, self._pacer, self._outstanding
        window = wire.MAX_FRAGMENT_BYTES if self._timed_out else self._rate.window_bytes
        self._held_until = None
        left = BURST_PACKETS
        while True:
            fragment = self._next_lost() if self._lost else None
            limit = window
            if fragment is None:
                if not backlog.unsent_bytes:
                    if self.flight_bytes < window:
                        self._delivery.ran_dry(self.flight_bytes)
                    return
                if outstanding.peer_window_bytes < window:
                    limit = outstanding.peer_window_bytes
                if outstanding.is_full:
                    return
            is_urgent = fragment is None and backlog.has_urgent
            if is_urgent and limit == window:
                limit += URGENT_BYTES
            if self.flight_bytes >= limit and self.flight_bytes:
                return
            if pacer.rate:
                wait = pacer.delay(now)
                if wait > 0 and not is_urgent:
                    self._held_until = now + wait
                    return
            elif left:
                left -= 1
            else:
                return
            if fragment is None:
                fragment = self._cut()
            else:
                self._lost.popleft()
            self._send(fragment, now)

    def take_sack(self, data: bytes, position: int, end: int, now: float) -> None:
        """Take the body of a SACK chunk, `data[position:end]` (at least 12 bytes)."""
        outstanding = self._outstanding
        newly = outstanding.take_sack(data, position, end)
        if not newly:
            return
        size = 0
        newest = newly[0]
        for fragment in newly:
            if fragment.state == IN_FLIGHT:
                self.flight_bytes -= fragment.size
            fragment.state = ACKED
            size += fragment.size
            if fragment.order > newest.order:
                newest = fragment
        measured = 0.0
        if newest.sent_count == 1:
            measured = now - newest.sent_at
            self._round_trip.take(measured, now)
        self._loss.acknowledged(newly, newest, outstanding.duplicates, now)
        rate = self._delivery.acknowledged(newest, size, self._round_trip.shortest, now)
        lost = 0
        if outstanding.fragments:
            lost = self._find_lost(now)
        else:
            self._loss.give_up()
        if not self.backlog.unsent_bytes and not self._lost:
            self._delivery.ran_dry(self.flight_bytes)
        self._timed_out = False
        self._timeout_at = now + self._round_trip.timeout_seconds
        self._quiet_since = now
        self._may_probe = True
        self._rate.acknowledged(newest, rate, size, lost, measured, self.flight_bytes, now)
        self._pacer.rate = self._rate.pacing_rate

    def wake(self, now: float) -> None:
        """Do what is due. `pump` afterwards."""
        if not self._outstanding.fragments:
            return
        if now >= self._timeout_at:
            self._round_trip.back_off()
            self._timed_out = True
            self._send_all_again(now)
            return
        if self._loss.check_at is not None and now >= self._loss.check_at:
            self._find_lost(now)
        if self._may_probe and now >= self._quiet_since + self._loss.probe_after:
            self._probe(now)

    def change_path(self, now: float) -> None:
        """The path is new: what was in flight went the old way. `pump` afterwards."""
        self._round_trip.new_path()
        self._rate = RateModel(self._round_trip, self._delivery.delivered)
        self._pacer.rate = 0.0
        self._timed_out = False
        self._send_all_again(now)

    def clear(self) -> None:
        """Forget what is queued; the association has ended."""
        self.backlog.clear()
        self._outstanding.clear()
        self._loss.give_up()
        self._lost.clear()
        self._held_until = None

    # ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _cut(self) -> Fragment:
        flags, ppid, data, order = self.backlog.take()
        number = self._outstanding.next_number
        if order is Order.FREE:
            if flags & wire.FLAG_FIRST:
                self._is_unordered = self._outstanding.acked >= self._last_ahead
            if self._is_unordered:
                flags |= wire.FLAG_UNORDERED
        elif order is Order.AHEAD:
            self._last_ahead = number
        if flags & wire.FLAG_LAST and not self.backlog.unsent_bytes and self._loss.asks_for_answers:
            flags |= wire.FLAG_IMMEDIATE
        fragment = Fragment(number, self._ssn, flags, ppid, data)
        if flags & wire.FLAG_LAST and not flags & wire.FLAG_UNORDERED:
            self._ssn = (self._ssn + 1) & 0xFFFF
        if not self._outstanding.fragments:
            self._timeout_at = 0.0
        self._outstanding.add(fragment)
        return fragment

    def _send(self, fragment: Fragment, now: float) -> None:
        alone = not self.flight_bytes
        if alone or not self._timeout_at:
            self._timeout_at = now + self._round_trip.timeout_seconds
        fragment.state = IN_FLIGHT
        fragment.sent_at = now
        fragment.sent_count += 1
        self.flight_bytes += fragment.size
        if alone:
            self._delivery.begin(now)
        fragment.mark = self._delivery.mark
        self._loss.sent(fragment)
        if self._pacer.rate:
            self._pacer.sent(fragment.size, now)
        self._quiet_since = now
        self._put(fragment)

    def _next_lost(self) -> Fragment | None:
        while self._lost:
            if self._lost[0].state == LOST:
                return self._lost[0]
            self._lost.popleft()
        return None

    # ── repeating ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _find_lost(self, now: float) -> int:
        """Put what is lost by now in the line; returns its bytes."""
        size = 0
        for fragment in self._loss.find_lost(now):
            size += fragment.size
            self._lost.append(fragment)
        self.flight_bytes -= size
        return size

    def _probe(self, now: float) -> None:
        """Send again what was sent last: its acknowledgement tells what is lost before it. Once in a silence."""
        fragment = self._loss.newest_in_flight()
        if fragment is not None and not self._lost:
            self._loss.take_out(fragment)
            self.flight_bytes -= fragment.size
            fragment.flags |= wire.FLAG_IMMEDIATE
            self._send(fragment, now)
        self._may_probe = False

    def _send_all_again(self, now: float) -> None:
        self._loss.give_up()
        self._lost.clear()
        for fragment in self._outstanding.all():
            fragment.state = LOST
            self._lost.append(fragment)
        self.flight_bytes = 0
        self._may_probe = False
        self._timeout_at = now + self._round_trip.timeout_seconds
