"""What this app answers to peers: methods and channels, as plain functions that know no socket (spec 08 §9.1, §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from myownllm.peers import PeerEntry

CALLS_PER_PEER: Final = 8
CALLS_TOTAL: Final = 16
SINGLE_TIMEOUT_S: Final = 20.0
STREAM_TIMEOUT_S: Final = 1800.0
"""A stream may run for half an hour in all."""


class CallRefusedError(AppError):
    """A handler declines; the text is what the caller reads."""


@attrs.frozen
class InboundCall:
    """A call from an approved peer of the bound network."""

    peer: PeerEntry
    method: str
    payload: Any = attrs.field(repr=False)


@attrs.frozen
class Method:
    """A served method: `answer` for a single result, or `stream` for many."""

    name: str
    answer: Callable[[InboundCall], Awaitable[Any]] | None = None
    stream: Callable[[InboundCall], AsyncIterator[Any]] | None = None

    @property
    def streaming(self) -> bool:
        return self.stream is not None


@attrs.frozen
class FeatureSet:
    """Everything that is registered for the bound network, and nothing else."""

    methods: tuple[Method, ...] = ()
    channels: tuple[tuple[str, Callable[[PeerEntry, str, Any], None]], ...] = ()
    feature_ids: tuple[str, ...] = ()
    """ids that peers may look up in this device's capabilities (FE-9.5)"""

    def method(self, name: str) -> Method | None:
        return next((m for m in self.methods if m.name == name), None)

    def channel(self, name: str) -> Callable[[PeerEntry, str, Any], None] | None:
        return next((handler for channel, handler in self.channels if channel == name), None)


@attrs.define
class CallLoad:
    """Calls in progress, so that one peer cannot occupy the device (FE-9.10)."""

    by_peer: dict[str, int] = attrs.field(factory=dict)
    total: int = 0

    def admit(self, peer: str) -> bool:
        if self.total >= CALLS_TOTAL or self.by_peer.get(peer, 0) >= CALLS_PER_PEER:
            return False
        self.total += 1
        self.by_peer[peer] = self.by_peer.get(peer, 0) + 1
        return True

    def done(self, peer: str) -> None:
        self.total -= 1
        left = self.by_peer[peer] - 1
        if left:
            self.by_peer[peer] = left
        else:
            del self.by_peer[peer]
