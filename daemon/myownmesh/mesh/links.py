"""The links of one network: the sessions to each peer, and which of them cannot keep up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.mesh.link import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.transport.session import Session


class Links:
    """One link per peer and epoch: while a peer is rebuilt there are two. What names another epoch finds nothing."""

    __slots__ = (
        "_congested",
        "_links",
    )

    def __init__(self) -> None:
        self._links: dict[tuple[str, int], Link] = {}
        self._congested: set[Link] = set()

    def get(self, peer: str, epoch: int) -> Link | None:
        return self._links.get((peer, epoch))

    def of(self, peer: str) -> list[Link]:
        """Those to one peer."""
        return [link for (each, _), link in self._links.items() if each == peer]

    def all_of(self, hops: Iterable[tuple[str, int]]) -> list[Link]:
        """Those of the named links that there are."""
        return [link for hop in hops if (link := self._links.get(hop)) is not None]

    def put(self, peer: str, epoch: int, session: Session) -> None:
        """Take a new session."""
        self._links[peer, epoch] = Link(epoch, session)

    def close(self, peer: str, epoch: int) -> None:
        if (link := self._links.pop((peer, epoch), None)) is not None:
            link.close()

    def close_all(self) -> None:
        while self._links:
            self._links.popitem()[1].close()

    # ── congestion ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def most_queued_bytes(self) -> int:
        """What waits on the fullest link."""
        return max((link.queued_bytes for link in self._congested), default=0)

    def watch(self, link: Link) -> bool:
        """To be called after a send; True when frames wait on this link that did not before."""
        if not link.queued_bytes or link in self._congested:
            return False
        self._congested.add(link)
        return True

    @property
    def next_deadline(self) -> float | None:
        """Monotonic second at which the first waiting frame is lost."""
        if not self._congested:
            return None
        return min((at for link in self._congested if (at := link.next_deadline) is not None), default=None)

    def expire(self, now_s: float) -> None:
        """Give up on frames that waited too long."""
        for link in tuple(self._congested):  # whoever is told of a loss may send over another link
            link.expire(now_s)
        self._congested = {link for link in self._congested if link.next_deadline is not None}
