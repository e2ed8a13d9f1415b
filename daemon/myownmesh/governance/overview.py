"""Who may do what in a network, and what a device once signed and did not get (spec 02 §3, §24.3 no. 64)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownmesh.governance.standing import RANKS

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Variant

MAY: Final[dict[Role, tuple[str, ...]]] = {
    "owner": ("let devices in", "put anybody out", "give and take every role", "set the shape", "reopen the network"),
    "controller": ("let devices in", "put out members and controllers", "make and unmake controllers"),
    "member": ("propose",),
}
"""What a role lets its holder do alone."""


class Authority(Value, frozen=True):
    """A device whose signature decides."""

    device: str
    """Bare id."""
    role: Role
    refused: tuple[Variant, ...]
    """What it signed and did not get: refused, withdrawn, expired, left behind on another branch."""


def authorities(book: Book) -> tuple[Authority, ...]:
    """Owners, then controllers, each by id."""
    standing = book.standing
    devices = sorted(standing.authorities, key=lambda device: (-RANKS[standing.role(device)], device))
    return tuple(Authority(device, standing.role(device), refused(book, device)) for device in devices)


def refused(book: Book, device: str) -> tuple[Variant, ...]:
    """What a device once signed and does not have."""
    in_force = {digest for place in book.log.places for digest in place.signatures}
    return book.memory.refused(device, in_force)
