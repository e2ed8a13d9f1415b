"""A device that has just joined, or has lost its state, takes nobody's word for who belongs (spec 02 §24.3 no. 50).

Whoever meets it first could show it an old log. So until an authority or its inviter has answered, links carry
governance frames only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value

if TYPE_CHECKING:
    from myownmesh.governance.book import Book


class FirstContact(Value, frozen=True):
    """Who has answered a pull since this device joined, or lost its state: until then others may show it old logs."""

    inviter: str = ""
    """Bare id of whoever invited this device."""
    over: bool = False
    members: frozenset[str] = msgspec.field(default_factory=frozenset)
    """Members without a seat that answered, while this device is the only authority that it knows."""

    def answered(self, book: Book, device: str) -> FirstContact:
        """A device, proved by its handshake, has answered a pull."""
        if self.over:
            return self
        standing = book.standing
        if device == self.inviter or standing.is_authority(device):
            return replace(self, over=True)
        if standing.authorities - {book.me} or not book.bench.is_member(device):
            return self
        # A sole owner that lost its file: two members, or the only one, are all who can tell.
        members = self.members | {device}
        others = {other for other in book.bench.roles() if other != book.me}
        return replace(self, members=members, over=len(members) >= 2 or others <= members)

    def clicked(self) -> FirstContact:
        """A person says that it is well."""
        return replace(self, over=True)

    def approves(self, book: Book, device: str) -> bool:
        """Whether a link may carry more than governance frames already."""
        return self.over or device == self.inviter or book.standing.is_authority(device)
