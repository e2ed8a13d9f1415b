"""One session with the epoch that it carries, and its outgoing side: back-pressure, and control frames ahead of bulk.

What may go ahead is handed over at once and overtakes inside of the session; only bulk waits here for room. A session's
`send` never blocks, so spec 01 §12's bound of 2 s on every send applies to the time that a frame waits
here for the session's buffer to drain (spec 04 §10.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from myownmesh.engine.actions import AddCandidate, MakeOffer, TakeAnswer, TakeOffer
from myownmesh.transport.session import Order, SessionNotOpen

if TYPE_CHECKING:
    from myownmesh.transport.session import Session

SEND_TIMEOUT_S = 2.0
"""Spec 04 §2 SEND_TIMEOUT."""

MAX_AHEAD_BYTES = 512 * 1024
"""Above this much unsent data frames that go ahead wait too: the path is dead, or carries less than it is asked to."""

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Per peer; one control connection has one send under way, so honest clients stay far below. Frames that go ahead,
which are few and short, may use twice as much, so that bulk cannot keep them out."""

TIMED_OUT = "transport: peer send timed out"
NOT_OPEN = "transport: data channel not open"
QUEUE_FULL = "transport: send queue of this peer is full"


class _Waiting(Struct, eq=False):
    deadline: float
    data: bytes
    order: Order
    done: Callable[[str | None], None]


class Link:
    """Sends frames of one session in order, those that go ahead first. `done(None)` means handed to SCTP."""

    def __init__(self, epoch: int, session: Session) -> None:
        self.epoch = epoch
        """The engine's number of this session (spec 04 §2): what carries another one is about another session."""
        self.session = session
        self._ahead: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self.queued_bytes = 0
        """What waits for room in the session."""
        self._draining = False
        self._closed = False

    @property
    def next_deadline(self) -> float | None:
        """Monotonic second at which the oldest waiting frame is lost."""
        heads = [queue[0].deadline for queue in (self._ahead, self._bulk) if queue]
        return min(heads, default=None)

    def send(self, data: bytes, now_s: float, done: Callable[[str | None], None], order: Order = Order.IN_TURN) -> None:
        """Send one encoded frame; `done` is called exactly once, mostly before this returns."""
        if self._closed:
            done(NOT_OPEN)
            return
        ahead = order is not Order.IN_TURN
        queue = self._ahead if ahead else self._bulk
        if not queue and self._has_room(order):
            done(self._hand_over(data, order))
            return
        if self.queued_bytes + len(data) > (2 if ahead else 1) * MAX_QUEUED_BYTES:
            done(QUEUE_FULL)
            return
        queue.append(_Waiting(now_s + SEND_TIMEOUT_S, data, order, done))
        self.queued_bytes += len(data)
        if not self._draining:
            self._draining = True
            self.session.when_drained(self._drained)

    def negotiate(self, action: MakeOffer | TakeOffer | TakeAnswer | AddCandidate) -> None:
        """Take a step of offer and answer; what comes of it is reported by the session."""
        match action:
            case MakeOffer(restart=restart):
                self.session.make_offer(restart=restart)
            case TakeOffer(sdp=sdp):
                self.session.take_offer(sdp)
            case TakeAnswer(sdp=sdp):
                self.session.take_answer(sdp)
            case AddCandidate(candidate=candidate):
                self.session.add_candidate(candidate)
            case _:
                assert_never(action)

    def expire(self, now_s: float) -> None:
        """Give up on frames that waited for 2 s."""
        for queue in (self._ahead, self._bulk):
            while queue and queue[0].deadline <= now_s:
                waiting = queue.popleft()
                self.queued_bytes -= len(waiting.data)
                waiting.done(TIMED_OUT)

    def close(self) -> None:
        """Close the session; frames that still wait are lost."""
        if self._closed:
            return
        self._closed = True
        self.session.close()
        for queue in (self._ahead, self._bulk):
            while queue:
                queue.popleft().done(NOT_OPEN)
        self.queued_bytes = 0

    def _has_room(self, order: Order) -> bool:
        session = self.session
        if order is not Order.IN_TURN:
            return session.buffered_bytes < MAX_AHEAD_BYTES
        return not self._draining and session.buffered_bytes < session.backlog_bytes

    def _hand_over(self, data: bytes, order: Order) -> str | None:
        try:
            self.session.send(data, order)
        except SessionNotOpen:
            return NOT_OPEN
        return None

    def _drained(self) -> None:
        if self._closed:
            return
        self._draining = False
        while (queue := self._ahead or self._bulk) and self._has_room(queue[0].order):
            waiting = queue.popleft()
            self.queued_bytes -= len(waiting.data)
            waiting.done(self._hand_over(waiting.data, waiting.order))
        if (self._ahead or self._bulk) and not self._closed:
            self._draining = True
            self.session.when_drained(self._drained)
