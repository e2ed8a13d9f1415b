"""One connection as the hosted relay sees it: what it asked for, and what waits for it (spec 03 §19.5). Pure."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen
from msgspec import Struct

from myownmesh.protocol.strict_json import compact_json
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.relay.filters import Filter
from myownmesh.relay.frames import text_frame

STRIKES = 50
"""Tolerated at once; one is forgotten every second."""
OUTBOUND_BYTES = 2**20
"""What may wait for a client that does not read."""
_BURST = 4
"""A link that comes up publishes its candidates in one go; the rate limits are for what goes on."""
POLICY_VIOLATION = 1008


@frozen
class Limits:
    """`services.signaling.limits`; 0 turns a limit off."""

    max_event_rate: int = 50
    max_req_rate: int = 20
    max_subscriptions: int = 64
    max_filters_per_req: int = 16
    max_message_bytes: int = 65536
    max_connections_per_ip: int = 64


class Subscription(Struct, frozen=True, eq=False):
    client: Client
    sub: str
    filters: tuple[Filter, ...]
    prefix: bytes
    """`["EVENT","<sub>",` – the event's text and a bracket follow."""
    nbytes: int
    rooms: frozenset[str]
    is_loose: bool
    """Some filter is not confined to rooms, so that every event has to be tried."""


class Outlet(Protocol):
    """The way to a client's other end."""

    def takes(self, frame: bytes) -> bool:
        """Take a frame at once, or say that it cannot; asked only while nothing waits."""
        ...

    def has_output(self) -> None:
        """Something waits."""
        ...

    def has_ended(self) -> None:
        """The client is turned away."""
        ...


class Client:
    """One connection as the hub sees it."""

    __slots__ = (
        "_out",
        "_out_bytes",
        "_strikes",
        "_struck_at",
        "address",
        "ended",
        "events",
        "outlet",
        "requests",
        "subscriptions",
    )

    def __init__(self, address: str, limits: Limits, now: float) -> None:
        self.address = address
        self.subscriptions: dict[str, Subscription] = {}
        self.ended: tuple[int, str] | None = None
        """Close code and reason, once the connection is to end."""
        self.outlet: Outlet = NOBODY
        self.events = TokenBucket(limits.max_event_rate, _BURST * limits.max_event_rate, now)
        self.requests = TokenBucket(limits.max_req_rate, _BURST * limits.max_req_rate, now)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._strikes = 0.0
        self._struck_at = now

    def send(self, frame: bytes) -> None:
        """One or more whole frames."""
        if self.ended is not None or (not self._out and self.outlet.takes(frame)):
            return
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes > OUTBOUND_BYTES and len(self._out) > 1:
            self._out.clear()
            self._end("too slow to read")
        else:
            self.outlet.has_output()

    def say(self, *words: object) -> None:
        """An array of these."""
        self.send(text_frame(compact_json(words).encode()))

    @property
    def waiting(self) -> int:
        """Bytes that have not been taken."""
        return self._out_bytes

    def take_output(self) -> bytes:
        """All that waits."""
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._out_bytes = 0
        return data

    def strike(self, now: float) -> None:
        """One violation; the 51st within reach of the decay ends the connection."""
        self._strikes = max(0.0, self._strikes - (now - self._struck_at)) + 1
        self._struck_at = now
        if self._strikes > STRIKES and self.ended is None:
            self.say("NOTICE", "rate limit exceeded — closing")
            self._end("rate limit exceeded")

    def _end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = (POLICY_VIOLATION, reason)
            self.outlet.has_ended()


class _Nobody:
    def takes(self, _frame: bytes) -> bool:
        return False

    def has_output(self) -> None:
        """It waits."""

    def has_ended(self) -> None:
        """Whoever asks is told."""


NOBODY: Outlet = _Nobody()
"""Of a client whose output is asked for."""
