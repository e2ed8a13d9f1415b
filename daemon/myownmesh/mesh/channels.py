"""Local fan-out of plain channels (spec 01 §12): exact names, no queue, no subscriber means dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    Listener = Callable[[str, msgspec.Raw], None]

SERVICES: Final = "__services__/v1"
"""Where members ask who hosts TURN for passwords, and are answered (spec 06 M)."""


class Channels:
    """Who listens to which channel. Listeners are called synchronously with the sender's id and the payload."""

    def __init__(self) -> None:
        self._listeners: dict[str, tuple[Listener, ...]] = {}

    def listen(self, channel: str, listener: Listener) -> Callable[[], None]:
        """Add a listener; returns what removes it again (harmless when called twice)."""
        self._listeners[channel] = (*self._listeners.get(channel, ()), listener)

        def unlisten() -> None:
            left = tuple(each for each in self._listeners.get(channel, ()) if each is not listener)
            if left:
                self._listeners[channel] = left
            else:
                self._listeners.pop(channel, None)

        return unlisten

    def deliver(self, peer: str, channel: str, payload: msgspec.Raw) -> None:
        """Hand one inbound frame to everybody who listens."""
        for listener in self._listeners.get(channel, ()):
            listener(peer, payload)
