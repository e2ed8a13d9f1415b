"""Events on their way out: built once, kept until a relay has them, paced on every link (spec 03 §9, §10)."""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from myownmesh.protocol.tokens import TokenBucket
from myownmesh.signaling.envelope import (
    CAP_PTAG,
    AnnounceBody,
    AnswerBody,
    CandidateBody,
    Envelope,
    LeaveBody,
    OfferBody,
    encode_envelope,
)
from myownmesh.signaling.nostr import KIND_EPHEMERAL, KIND_PRESENCE, NostrEvent

if TYPE_CHECKING:
    from myownmesh.protocol.signals import SendAnswer, SendCandidate, SendOffer, SendSealed
    from myownmesh.sealing.announce import Signed
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.envelope import (
        Body,
        TwinBody,
    )
    from myownmesh.signaling.nostr import NostrKey

PUBLISHES_PER_S = 40
"""Below the 50 events per second after which a hosted relay drops events without a word and counts strikes."""
FRESH_S = 10.0
"""A directed event older than this describes a negotiation that has moved on."""
LEDGER_CAPACITY = 256
ECHOES_AWAITED = 16
QUEUE_CAPACITY = 512
"""What a link can send while its oldest event is still fresh, and a little more."""
_MAX_AHEAD_S = 2
"""How far an announce may claim to be in the future, so that two announces of one second differ."""


class Urgency(IntEnum):
    AT_ONCE = 0
    DESCRIPTION = 1
    CANDIDATE = 2


class Outbound(Struct, eq=False):
    """One event and, for relays that refuse our `p` tags, its form without them."""

    event: NostrEvent
    urgency: Urgency
    made_at: float
    """Monotonic seconds."""
    _untagged: NostrEvent | None = None

    def for_relay(self, *, tagged: bool, key: NostrKey) -> NostrEvent:
        if tagged or not self.event.tag_values("p"):
            return self.event
        if self._untagged is None:
            event = self.event
            tags = tuple(tag for tag in event.tags if tag[:1] != ("p",))
            self._untagged = key.sign(created_at=event.created_at, kind=event.kind, tags=tags, content=event.content)
        return self._untagged

    def is_fresh(self, now: float) -> bool:
        return now - self.made_at <= FRESH_S


class Echoes:
    """Which of our announces the room has not brought back yet, and when they left."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, float] = OrderedDict()

    def sent(self, event_id: str, now: float) -> None:
        self._left[event_id] = now
        if len(self._left) > ECHOES_AWAITED:
            self._left.popitem(last=False)

    def heard(self, event_id: str, now: float) -> float | None:
        """Seconds that the announce took; None for a copy of it, or what is none of the last ones."""
        left = self._left.pop(event_id, None)
        return None if left is None else now - left


class EventWriter:
    """Builds the events of one device in one room."""

    def __init__(self, *, device_id: str, room: str, key: NostrKey, desk: Desk | None = None) -> None:
        self._device_id = device_id
        self._room = room
        self.key = key
        self._desk = desk
        self.echoes = Echoes()
        self._last_announce: NostrEvent | None = None
        self._announced_on: set[str] = set()

    def announce(self, relays: set[str], now: float, wall_s: int) -> Outbound | None:
        """An announce for all open relays. None when its time would have to be more than 2 s ahead of the clock."""
        created_at = wall_s
        last = self._last_announce
        # An announce further ahead than we ever write one means that the clock was set back.
        if last is not None and last.created_at <= wall_s + _MAX_AHEAD_S:
            created_at = max(created_at, last.created_at + 1)
        if created_at > wall_s + _MAX_AHEAD_S:
            return None
        body = AnnounceBody()
        if self._desk is not None:
            caps = (CAP_PTAG, *self._desk.caps)
            body = AnnounceBody(caps, _raw(self._desk.sign_announce(created_at, self.key.pubkey, caps, now)))
        event = self._sign(KIND_PRESENCE, created_at, (("r", self._room),), None, body)
        self._last_announce, self._announced_on = event, set(relays)
        self.echoes.sent(event.id, now)
        return Outbound(event, Urgency.AT_ONCE, now)

    def announce_on(self, relay: str, now: float, wall_s: int) -> Outbound | None:
        """The announce of a link that has just opened.

        Links that open in the same second share one event, so that receivers take it for one. A link never opens
        without an announce: those of this second may have gone down with the link before.
        """
        last = self._last_announce
        if last is not None and wall_s <= last.created_at <= wall_s + _MAX_AHEAD_S and relay not in self._announced_on:
            self._announced_on.add(relay)
            return Outbound(last, Urgency.AT_ONCE, now)
        fresh = self.announce({relay}, now, wall_s)
        return Outbound(last, Urgency.AT_ONCE, now) if fresh is None and last is not None else fresh

    def leave(self, now: float, wall_s: int) -> Outbound:
        tags = (("r", self._room), ("p", self._room))
        body, created_at, last = LeaveBody(), wall_s, self._last_announce
        if self._desk is not None:
            # Not before the announce that it takes back, which may be a little ahead of the clock.
            if last is not None and last.created_at <= wall_s + _MAX_AHEAD_S:
                created_at = max(wall_s, last.created_at)
            body = LeaveBody(_raw(self._desk.sign_leave(created_at, self.key.pubkey)))
        return Outbound(self._sign(KIND_EPHEMERAL, created_at, tags, None, body), Urgency.AT_ONCE, now)

    def offer(self, signal: SendOffer, now: float, wall_s: int) -> Outbound:
        return self._directed(signal.peer, OfferBody(signal.offer_id, signal.sdp), Urgency.DESCRIPTION, now, wall_s)

    def answer(self, signal: SendAnswer, now: float, wall_s: int) -> Outbound:
        return self._directed(signal.peer, AnswerBody(signal.offer_id, signal.sdp), Urgency.DESCRIPTION, now, wall_s)

    def candidate(self, signal: SendCandidate, now: float, wall_s: int) -> Outbound:
        body = CandidateBody(**msgspec.structs.asdict(signal.candidate))
        return self._directed(signal.peer, body, Urgency.CANDIDATE, now, wall_s)

    def sealed(self, signal: SendSealed, now: float, wall_s: int) -> Outbound:
        eseal = _raw(signal.eseal)
        body: OfferBody | AnswerBody | CandidateBody
        match signal.kind:
            case "offer":
                body = OfferBody(signal.offer_id, "", eseal)
            case "answer":
                body = AnswerBody(signal.offer_id, "", eseal)
            case "candidate":
                body = CandidateBody("", offer_id=_raw(signal.offer_id), eseal=eseal)
        urgency = Urgency.CANDIDATE if signal.kind == "candidate" else Urgency.DESCRIPTION
        return self._directed(signal.peer, body, urgency, now, wall_s)

    def notice(self, body: TwinBody, now: float, wall_s: int) -> Outbound:
        """To whoever has our own id."""
        return self._directed(self._device_id, body, Urgency.DESCRIPTION, now, wall_s)

    def _directed(self, peer: str, body: Body, urgency: Urgency, now: float, wall_s: int) -> Outbound:
        tags = (("r", self._room), ("p", peer))
        return Outbound(self._sign(KIND_EPHEMERAL, wall_s, tags, peer, body), urgency, now)

    def _sign(
        self, kind: int, created_at: int, tags: tuple[tuple[str, ...], ...], to: str | None, body: Body
    ) -> NostrEvent:
        content = encode_envelope(Envelope(self._device_id, to, self._device_id, body))
        return self.key.sign(created_at=created_at, kind=kind, tags=tags, content=content)


def _raw(value: Signed | str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


class Ledger:
    """Directed events and leaves that no relay has confirmed yet; a link that comes up gets them all (spec 03 §9.2)."""

    def __init__(self, capacity: int = LEDGER_CAPACITY) -> None:
        self._capacity = capacity
        self._pending: OrderedDict[str, Outbound] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, outbound: Outbound) -> None:
        self._pending[outbound.event.id] = outbound
        if len(self._pending) > self._capacity:
            self._pending.popitem(last=False)

    def confirmed(self, outbound: Outbound) -> None:
        self._pending.pop(outbound.event.id, None)

    def clear(self) -> None:
        self._pending.clear()

    def fresh(self, now: float) -> list[Outbound]:
        """What is still worth sending, oldest first; the rest is forgotten."""
        while self._pending:
            oldest = next(iter(self._pending.values()))
            if oldest.is_fresh(now):
                break
            self._pending.popitem(last=False)
        return list(self._pending.values())


class PacedQueue:
    """The events that wait for one link: 40 tokens, 40 more per second, answers and offers before candidates.

    Announces and leaves are never held back; they take tokens that may be owed.
    """

    def __init__(self, now: float) -> None:
        self._bucket = TokenBucket(PUBLISHES_PER_S, PUBLISHES_PER_S, now)
        self._waiting: tuple[deque[Outbound], ...] = tuple(deque() for _ in Urgency)
        self._held_until = now

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def __contains__(self, outbound: Outbound) -> bool:
        return outbound in self._waiting[outbound.urgency]

    def put(self, outbound: Outbound) -> None:
        self._waiting[outbound.urgency].append(outbound)
        if len(self) > QUEUE_CAPACITY:
            next(queue for queue in reversed(self._waiting) if queue).popleft()

    def put_back(self, outbound: Outbound, until: float) -> None:
        """The relay refused it for its rate: it goes first when the link speaks again at `until`."""
        self._waiting[outbound.urgency].appendleft(outbound)
        self._held_until = max(self._held_until, until)

    def clear(self) -> None:
        for queue in self._waiting:
            queue.clear()

    def take(self, now: float) -> Outbound | None:
        at_once, *paced = self._waiting
        if at_once:
            self._bucket.force(now)
            return at_once.popleft()
        for queue in paced:
            while queue and not queue[0].is_fresh(now):
                queue.popleft()
            if queue:
                return queue.popleft() if now >= self._held_until and self._bucket.take(now) else None
        return None

    def ready_at(self, now: float) -> float | None:
        """When `take` has something to give; None while nothing waits."""
        if self._waiting[Urgency.AT_ONCE]:
            return now
        return max(self._bucket.ready_at(now), self._held_until) if len(self) else None
