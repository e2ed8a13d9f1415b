"""Reconnect intents: whom we re-offer a link after its loss, and when (spec 04 §6.3)."""

from __future__ import annotations

import msgspec

from myownmesh.engine.limits import MAX_INTENTS
from myownmesh.engine.timing import RECONNECT_BACKOFF_S, RECONNECT_GRACE_S, STICKY_ATTEMPTS


class Intent(msgspec.Struct):
    give_up_at: float
    next_retry_at: float
    attempt: int
    sticky: bool
    """A pin: never expires, but parks after `STICKY_ATTEMPTS`."""

    def is_due(self, mono: float) -> bool:
        return mono >= self.next_retry_at and not self.is_parked

    @property
    def is_parked(self) -> bool:
        return self.sticky and self.attempt >= STICKY_ATTEMPTS

    def advance(self, mono: float) -> None:
        self.next_retry_at = mono + RECONNECT_BACKOFF_S[min(self.attempt, len(RECONNECT_BACKOFF_S) - 1)]
        self.attempt += 1


class IntentBook:
    """The intents of one network, by peer."""

    def __init__(self) -> None:
        self._intents: dict[str, Intent] = {}

    def __len__(self) -> int:
        return len(self._intents)

    def record(self, peer: str, mono: float, *, sticky: bool) -> None:
        """Want `peer` back. An intent that exists keeps its window: repeated failures do not extend it."""
        intent = self._intents.get(peer)
        if intent is not None:
            intent.sticky |= sticky
            return
        if len(self._intents) >= MAX_INTENTS:
            victim = min(self._intents, key=lambda each: (self._intents[each].sticky, self._intents[each].give_up_at))
            del self._intents[victim]
        self._intents[peer] = Intent(mono + RECONNECT_GRACE_S, mono, 0, sticky)

    def clear(self, peer: str) -> None:
        self._intents.pop(peer, None)

    def forget_all(self) -> None:
        self._intents.clear()

    def due(self, mono: float) -> list[str]:
        """Drop what has expired and list whom to re-offer now. Real attempts are told to `attempted`."""
        self._expire(mono)
        return [peer for peer, intent in self._intents.items() if intent.is_due(mono)]

    def flush(self, mono: float) -> list[str]:
        """Everybody who is wanted, parked or not: something changed that may bring them back."""
        self._expire(mono)
        return list(self._intents)

    def extend(self, seconds: float) -> None:
        """Nothing could be tried for so long: the windows of the losses do not count it."""
        for intent in self._intents.values():
            intent.give_up_at += seconds

    def attempted(self, peer: str, mono: float) -> None:
        """A re-offer to `peer` went out."""
        if (intent := self._intents.get(peer)) is not None:
            intent.advance(mono)

    @property
    def needs_watch(self) -> bool:
        """False when no tick can bring anything: no intent at all, or only parked ones."""
        return any(not intent.is_parked for intent in self._intents.values())

    def _expire(self, mono: float) -> None:
        gone = [peer for peer, each in self._intents.items() if not each.sticky and mono >= each.give_up_at]
        for peer in gone:
            del self._intents[peer]
