"""Sending one frame over several links: by the first that takes it, or to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.transport.session import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.mesh.link import Link
    from myownmesh.mesh.links import Links
    from myownmesh.protocol.clock import Instant


class Sending:
    """What is handed to links. Synchronous; `done` is called exactly once, mostly before a method returns."""

    __slots__ = (
        "_links",
        "_note_sent",
        "_now",
        "_on_waiting",
    )

    def __init__(
        self,
        links: Links,
        now: Callable[[], Instant],
        note_sent: Callable[[str, int], None],
        on_waiting: Callable[[], None],
    ) -> None:
        """`note_sent(kind, nbytes)` counts a frame that left, `on_waiting` is told that one has a deadline now."""
        self._links = links
        self._now = now
        self._note_sent = note_sent
        self._on_waiting = on_waiting

    def by_first(
        self,
        links: Sequence[Link],
        kind: str,
        data: bytes,
        done: Callable[[str | None], None],
        now_s: float,
        order: Order,
    ) -> None:
        """The first link that takes the frame is enough; `done` gets the last one's error."""
        told = done
        if others := links[1:]:

            def told(error: str | None) -> None:
                if error is None:
                    done(None)
                else:
                    self.by_first(others, kind, data, done, self._now().mono, order)

        self.on(links[0], data, self._counted(kind, data, told), now_s, order)

    def to_all(self, links: Sequence[Link], kind: str, data: bytes, done: Callable[[int], None]) -> None:
        """`done` gets the number of links that took it."""
        if not links:
            done(0)
        outcomes: list[bool] = []

        def one_done(error: str | None) -> None:
            outcomes.append(error is None)
            if len(outcomes) == len(links):
                done(sum(outcomes))

        now_s = self._now().mono
        for link in links:
            self.on(link, data, self._counted(kind, data, one_done), now_s, Order.IN_TURN)

    def on(self, link: Link, data: bytes, done: Callable[[str | None], None], now_s: float, order: Order) -> None:
        """By this link alone, and not counted: the engine counts its own frames."""
        link.send(data, now_s, done, order)
        if link.queued_bytes and self._links.watch(link):
            self._on_waiting()

    def _counted(self, kind: str, data: bytes, done: Callable[[str | None], None]) -> Callable[[str | None], None]:
        def sent(error: str | None) -> None:
            if error is None:
                self._note_sent(kind, len(data))
            done(error)

        return sent
