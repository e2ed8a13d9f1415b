"""What this app answers to peers and tells of itself: methods, channels, capabilities (spec 08 §9.1–9.3). Pure.

Features put things in and take them out at any time; the machine holds the daemon to what stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from mesh_common.values import Value
from myownllm import capabilities
from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import trio

    from myownllm.coerce import Json, JsonObject
    from myownllm.peers import PeerEntry

    Release = Callable[[], None]
    """Takes one thing back that was registered; a second call does nothing."""
    ChannelHandler = Callable[[PeerEntry, Json], Awaitable[None]]

SINGLE_TIMEOUT_S: Final = 20.0
STREAM_TIMEOUT_S: Final = 1800.0
"""A stream may run for half an hour in all."""
LANE_MESSAGES: Final = 256
LANE_BYTES: Final = 8 * 2**20


class CallRefusedError(AppError):
    """A handler declines; the text is what the caller reads."""


class Limit(Value, frozen=True):
    """How many calls may run at once: from one peer, and twice that from all (FE-9.10). Methods may share one."""

    name: str
    per_peer: int

    @property
    def total(self) -> int:
        return 2 * self.per_peer


SINGLE: Final = Limit("single-shot calls", 8)
STREAMS: Final = Limit("streams", 8)
INFERENCES: Final = Limit("inferences", 2)
TRANSCRIPTIONS: Final = Limit("transcriptions", 1)
FILE_TRANSFERS: Final = Limit("file transfers", 4)


@attrs.frozen
class InboundCall:
    """A call from an approved peer of the bound network.

    Its handler is cancelled when the caller takes it back (`rpc/cancel`), stays away for longer than its grace, or the
    method is released, and when the client stops.
    """

    peer: PeerEntry
    method: str
    payload: Any = attrs.field(repr=False)
    """an instance of the method's request class, or plain JSON when it has none"""
    stream_id: str = ""
    """what the caller calls it, where it can be cancelled (FE-9.7)"""
    cancelled: trio.Event | None = attrs.field(default=None, repr=False, eq=False)
    """set just before the handler is cancelled"""


@attrs.frozen
class Method:
    """A served method: `answer` for a single result, or `stream` for many."""

    name: str
    answer: Callable[[InboundCall], Awaitable[Any]] | None = None
    stream: Callable[[InboundCall], AsyncIterator[Any]] | None = None
    request: type | None = None
    """attrs class that the payload must fit (`myownllm.payloads`)"""
    invalid: str = ""
    """what the caller of a payload that does not fit reads; `invalid <name> payload` when empty"""
    limit: Limit = attrs.field()
    timeout_s: float = attrs.field()
    """seconds that a call may take in all, large payloads included"""
    cumulates: bool = False
    """pieces of text are sent together, up to 30 ms or 4 KiB of them (FE-9.9)"""

    @limit.default
    def _default_limit(self) -> Limit:
        return SINGLE if self.stream is None else STREAMS

    @timeout_s.default
    def _default_timeout_s(self) -> float:
        return SINGLE_TIMEOUT_S if self.stream is None else STREAM_TIMEOUT_S

    @property
    def streaming(self) -> bool:
        return self.stream is not None

    @property
    def invalid_text(self) -> str:
        return self.invalid or f"invalid {self.name} payload"


@attrs.frozen(eq=False)
class Listener:
    """Who hears a channel. Messages of one peer reach `handler` in order, one at a time.

    Of a peer that sends faster, up to `messages` and `size_bytes` wait; what comes beyond is dropped and told.
    """

    channel: str
    handler: ChannelHandler
    messages: int = LANE_MESSAGES
    size_bytes: int = LANE_BYTES


class Claim(Value, frozen=True):
    """A method or channel as the daemon is asked for it."""

    kind: Literal["method", "channel"]
    name: str
    streaming: bool = False


class Registry:
    """Everything that is registered for the bound network, and nothing else (FE-9.1)."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}
        self._listeners: dict[str, tuple[Listener, ...]] = {}
        self._feature_ids: list[str] = []
        self._sources: dict[str, Callable[[], Json]] = {}

    @property
    def claims(self) -> dict[Claim, None]:
        """What the daemon should know of, methods first."""
        methods = [Claim("method", m.name, m.streaming) for m in self._methods.values()]
        return dict.fromkeys((*methods, *(Claim("channel", name) for name in self._listeners)))

    def method(self, name: str) -> Method | None:
        return self._methods.get(name)

    def listeners(self, channel: str) -> tuple[Listener, ...]:
        return self._listeners.get(channel, ())

    def add_method(self, method: Method) -> None:
        """Raises ValueError when another feature has the name."""
        if method.name in self._methods:
            raise ValueError(f"two features serve '{method.name}'")
        self._methods[method.name] = method

    def remove_method(self, method: Method) -> bool:
        """False when it is gone already."""
        if self._methods.get(method.name) is not method:
            return False
        del self._methods[method.name]
        return True

    def add_listener(self, listener: Listener) -> None:
        """A channel may have several."""
        self._listeners[listener.channel] = (*self.listeners(listener.channel), listener)

    def remove_listener(self, listener: Listener) -> bool:
        """False when it is gone already."""
        before = self.listeners(listener.channel)
        left = tuple(x for x in before if x is not listener)
        if left:
            self._listeners[listener.channel] = left
        else:
            self._listeners.pop(listener.channel, None)
        return left != before

    # ── what peers read of this device ────────────────────────────────────────────────────────────────────────────────

    def add_features(self, ids: tuple[str, ...]) -> None:
        """Ids that peers may look up in this device's capabilities (FE-9.5)."""
        self._feature_ids += ids

    def remove_features(self, ids: tuple[str, ...]) -> None:
        for name in ids:
            self._feature_ids.remove(name)

    def add_source(self, member: str, source: Callable[[], Json]) -> None:
        """Who knows a member of the capabilities; the value stands ready, asking costs nothing.

        Raises ValueError when another feature has the member.
        """
        if member in self._sources:
            raise ValueError(f"two features know '{member}'")
        self._sources[member] = source

    def remove_source(self, member: str, source: Callable[[], Json]) -> None:
        if self._sources.get(member) is source:
            del self._sources[member]

    def blob(self, accepting: str, app_version: str) -> JsonObject:
        """This device's capabilities now (spec 08 §9.3); what nobody knows has its default."""
        return {
            **capabilities.unpack(None).told,
            **{member: source() for member, source in self._sources.items()},
            "accepting": accepting,
            "app_version": app_version,
            "features": list(dict.fromkeys(self._feature_ids)),
        }


@attrs.define
class CallLoad:
    """Calls in progress, so that one peer cannot occupy the device (FE-9.10)."""

    by_peer: dict[tuple[Limit, str], int] = attrs.field(factory=dict)
    total: dict[Limit, int] = attrs.field(factory=dict)

    def admit(self, peer: str, limit: Limit) -> bool:
        """Count one more call, if there is room for it."""
        here, everywhere = self.by_peer.get((limit, peer), 0), self.total.get(limit, 0)
        if everywhere >= limit.total or here >= limit.per_peer:
            return False
        self.by_peer[limit, peer] = here + 1
        self.total[limit] = everywhere + 1
        return True

    def done(self, peer: str, limit: Limit) -> None:
        self.total[limit] -= 1
        left = self.by_peer[limit, peer] - 1
        if left:
            self.by_peer[limit, peer] = left
        else:
            del self.by_peer[limit, peer]
