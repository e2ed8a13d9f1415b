"""Signed changes of a governed network, as they travel (shapes only; their meaning is spec 02).

An entry whose kind is unknown still decodes, so that a newer node's log does not stop older ones from gossiping; its
text is kept, because a log that is passed on must not change.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from myownmesh.protocol.modes import TopologyMode
from myownmesh.protocol.schema import U64

# Nothing here can refer to itself, and a network may hold ten thousand entries: the collector need not look at them.


class _Variant(msgspec.Struct, frozen=True, gc=False, tag_field="kind"):
    UNION: ClassVar[str] = "TransitionVariant"


class KindChange(_Variant, frozen=True, gc=False, tag="kind_change"):
    to: Literal["open", "closed", "silent"]


class RoleGrant(_Variant, frozen=True, gc=False, tag="role_grant"):
    target: str
    role: Literal["member", "controller", "owner"]


class RoleRevoke(_Variant, frozen=True, gc=False, tag="role_revoke"):
    target: str


class Evict(_Variant, frozen=True, gc=False, tag="evict"):
    target: str


class Split(_Variant, frozen=True, gc=False, tag="split"):
    new_network_id: str
    members: tuple[str, ...]


class TopologyChange(_Variant, frozen=True, gc=False, tag="topology_change"):
    to: TopologyMode


class UnknownVariant:
    """A variant of a later version. No msgspec class: it is written as the text that it came as."""

    __slots__ = ("kind", "text")

    kind: str
    text: bytes
    """The whole object."""

    def __init__(self, kind: str, text: bytes) -> None:
        self.kind = kind
        self.text = text

    @classmethod
    def of_unknown(cls, kind: str, value: msgspec.Raw) -> UnknownVariant:
        """The object `value`, whose kind has no class here."""
        return cls(kind, bytes(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnknownVariant) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"UnknownVariant(kind={self.kind!r}, text={self.text!r})"


Variant = KindChange | RoleGrant | RoleRevoke | Evict | Split | TopologyChange | UnknownVariant


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One entry of a signed log."""

    at: U64
    """Unix seconds."""
    variant: Variant
    signers: tuple[str, ...]
    signatures: tuple[str, ...]


def raw_text(value: object) -> msgspec.Raw:
    """What a JSON encoder writes for a part that is no msgspec class. Raises `TypeError` for anything but a variant."""
    if isinstance(value, UnknownVariant):
        return msgspec.Raw(value.text)
    raise TypeError(f"{type(value).__name__} is not part of any frame")
