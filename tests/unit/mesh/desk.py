"""One device whose person decides, on a disk and behind a lock that a test holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from myownmesh.identity import Identity
from myownmesh.mesh.errors import MeshError
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.book import Book
    from myownmesh.mesh.governing import Governing
    from myownmesh.simulator import Node

OTHER = Identity.from_seed(bytes([9]) * 32).device_id
THIRD = Identity.from_seed(bytes([10]) * 32).device_id


@define(eq=False)
class Disk:
    """What a store writes, or does not."""

    node: Node
    saved: list[Book] = field(factory=list)
    held_then: list[int] = field(factory=list)
    """How many entries the engine held while each was written."""
    lines: list[bytes] = field(factory=list)
    full: bool = False
    room: int | None = None
    """How many books fit on it."""

    def save_governance(self, _network_id: str, book: Book) -> None:
        if self.full or (self.room is not None and len(self.saved) >= self.room):
            raise StoreError("network_state: write x: No space left on device (os error 28)")
        self.held_then.append(len(self.node.engine.governor.book.log))
        self.saved.append(book)

    def append_audit(self, _network_id: str, lines: Sequence[bytes]) -> None:
        self.lines += lines


@define(eq=False)
class Lock:
    """The authenticator lock."""

    code: str | None = None
    asked: int = 0

    async def gate(self, code: str | None) -> None:
        self.asked += 1
        if self.code is not None and code != self.code:
            raise MeshError("custody: invalid authenticator code")

    async def is_on(self) -> bool:
        return self.code is not None


@define
class Desk:
    """One device whose person decides."""

    node: Node
    disk: Disk
    lock: Lock
    governing: Governing
    ahead_s: float = 0.0

    @property
    def book(self) -> Book:
        return self.node.engine.governor.book
