"""A path in virtual time between the two halves of SCTP: delay, loss, jitter, a bottleneck with its queue; seeded."""

from __future__ import annotations

import heapq
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_backlog import limit_bytes
from myownmesh.transport.sctp_receiving import Receiver
from myownmesh.transport.sctp_sending import Sender
from myownmesh.transport.session import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.transport.sctp_outstanding import Fragment
    from myownmesh.transport.sctp_receiving import Message

TICK_SECONDS = 0.001
"""Of timers, as loops have it."""
SACK_DELAY_SECONDS = 0.02
PACKET_OVERHEAD_BYTES = 28 + 37 + 28
"""SCTP, DTLS, UDP and IP around the data."""
FIRST_TSN = 0xFFFFFF00
"""Wraps early."""


class Clock:
    """Virtual seconds, and what happens at which of them."""

    def __init__(self) -> None:
        self.now = 100.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), act))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = until


class Bottleneck:
    """`rate` in bytes per second (0: no limit), `queue` in bytes before it. Flows that share one share its queue."""

    def __init__(self, clock: Clock, rate: float = 0.0, queue: int = 1 << 30) -> None:
        self.rate = rate
        self.queue = queue
        self.dropped = 0
        """Packets, since it is full."""
        self._clock = clock
        self._free_at = 0.0

    @property
    def queued_bytes(self) -> float:
        return max(0.0, self._free_at - self._clock.now) * self.rate

    def pass_through(self, size: int) -> float | None:
        """When a packet of this size that comes now has left it; None if it is dropped."""
        if not self.rate:
            return self._clock.now
        if self.queued_bytes + size > self.queue:
            self.dropped += 1
            return None
        self._free_at = max(self._clock.now, self._free_at) + size / self.rate
        return self._free_at


class Host:
    """A process that is not served all the time: what comes meanwhile is done afterwards."""

    def __init__(self, clock: Clock, rng: Random, *, share: float, mean: float) -> None:
        """Idle for `share` of the time, `mean` seconds at once."""
        self._clock = clock
        self._rng = rng
        self._mean = mean
        self._runs = mean * (1 - share) / share
        self._until = 0.0
        self._pause()

    def do(self, act: Callable[[], None]) -> None:
        if self._clock.now < self._until:
            self._clock.at(self._until, lambda: self.do(act))
        else:
            act()

    def _pause(self) -> None:
        begins = max(self._until, self._clock.now) + self._rng.expovariate(1 / self._runs)

        def begin() -> None:
            self._until = self._clock.now + self._rng.expovariate(1 / self._mean)
            self._pause()

        self._clock.at(begins, begin)


class Path:
    """One sender and one receiver; `delay` is for one way, `rate` and `queue` are those of a bottleneck of its own.

    Losses and the queue are on the way to the receiver; acknowledgements come back after the delay, with `ack_loss`.
    """

    def __init__(
        self,
        *,
        delay: float,
        loss: float = 0.0,
        ack_loss: float = 0.0,
        jitter: float = 0.0,
        rate: float = 0.0,
        queue: int = 1 << 30,
        seed: int = 1,
        window: int = wire.BASE_WINDOW_BYTES,
        clock: Clock | None = None,
        bottleneck: Bottleneck | None = None,
    ) -> None:
        """`bottleneck`, on the same `clock`, is one that others use too."""
        self.clock = clock or Clock()
        self.bottleneck = bottleneck or Bottleneck(self.clock, rate, queue)
        self.at, self.run = self.clock.at, self.clock.run
        self.delay = delay
        self.loss = loss
        self.ack_loss = ack_loss
        self.jitter = jitter
        self.rng = Random(seed)
        self.sender = Sender(FIRST_TSN, self._put)
        self.receiver = Receiver()
        self.receiver.window_bytes = window
        self.sender.set_peer_window(window)
        self.receiver.last_tsn = (FIRST_TSN - 1) & wire.TSN_MASK
        self.sent = self.repeats = self.dropped = 0
        """Packets."""
        self.received_bytes = 0
        self.on_sent: Callable[[Fragment], None] = lambda fragment: None
        self.on_message: Callable[[bytes], None] = lambda data: None
        self.drops: Callable[[Fragment], bool] = lambda fragment: self.rng.random() < self.loss
        self._woken_at: float | None = None
        self._sack_due = False
        self.hosts: tuple[Host, Host] | None = None
        """Those of the sender and of the receiver, where they matter."""

    @property
    def now(self) -> float:
        return self.clock.now

    def send(self, data: bytes, order: Order = Order.IN_TURN) -> None:
        self.sender.queue(wire.PPID_BINARY, data, order)
        self.pump()

    def send_bulk(self, message: bytes) -> None:
        """From now on there is always something to send."""

        def fill() -> None:
            while self.sender.unsent_bytes < limit_bytes(self.sender.bandwidth):
                self.sender.queue(wire.PPID_BINARY, message)

        self._fill = fill
        self.pump()

    def _fill(self) -> None:
        """Nothing more to send."""

    def pump(self) -> None:
        self._fill()
        self.sender.pump(self.now)
        deadline = self.sender.deadline
        if deadline is not None and (self._woken_at is None or self._woken_at > deadline):
            self._woken_at = woken_at = max(deadline, self.now + TICK_SECONDS)
            self._later(0, woken_at, lambda: self._wake(woken_at))

    def _later(self, end: int, moment: float, act: Callable[[], None]) -> None:
        """The sender (0) or the receiver (1) does something then."""
        self.at(moment, act if self.hosts is None else partial(self.hosts[end].do, act))

    def _wake(self, at: float) -> None:
        if self._woken_at == at:
            self._woken_at = None
            self.sender.wake(self.now)
            self.pump()

    def _put(self, fragment: Fragment) -> None:
        self.sent += 1
        self.repeats += fragment.sent_count > 1
        self.on_sent(fragment)
        if self.drops(fragment):
            self.dropped += 1
            return
        leaves = self.bottleneck.pass_through(fragment.size + PACKET_OVERHEAD_BYTES)
        if leaves is None:
            self.dropped += 1
            return
        chunk = (fragment.flags, fragment.tsn, 1, fragment.ppid, fragment.data)
        self._later(1, leaves + self.delay + self.rng.random() * self.jitter, lambda: self._arrive(*chunk))

    def _arrive(self, flags: int, tsn: int, stream: int, ppid: int, data: bytes) -> None:
        messages: list[Message] = []
        self.receiver.take(flags, tsn, stream, ppid, data, messages)
        self.receiver.unacked_packets += 1
        for _, _, message in messages:
            self.received_bytes += len(message)
            self.on_message(message)
        if self.receiver.sack_is_due:
            self._acknowledge()
        elif not self._sack_due:
            self._sack_due = True
            self.at(self.now + SACK_DELAY_SECONDS, self._sack_is_due)

    def _sack_is_due(self) -> None:
        self._sack_due = False
        if self.receiver.unacked_packets:
            self._acknowledge()

    def _acknowledge(self) -> None:
        sack = self.receiver.take_sack()
        if self.rng.random() >= self.ack_loss:
            self._later(0, self.now + self.delay, lambda: self._take_sack(sack))

    def _take_sack(self, sack: bytes) -> None:
        self.sender.take_sack(sack, wire.CHUNK_HEADER_BYTES, len(sack), self.now)
        self.pump()
