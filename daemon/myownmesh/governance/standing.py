"""What a governance log says at one point: kind, roles, shape (spec 02 §2, §3, §6; FIX 6, 24.3 no. 55)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.records import SplitRecord
from myownmesh.protocol.transitions import KindChange, RoleGrant, Split, TopologyChange, UnknownVariant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from myownmesh.protocol.frames import NetworkKind, Role
    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.protocol.transitions import Transition, Variant

RANKS: Final[Mapping[Role, int]] = {"member": 1, "controller": 2, "owner": 3}


class Standing(Value, frozen=True):
    """Who may do what after some entries of a log. The one without entries is `BEFORE`."""

    kind: NetworkKind = "open"
    roles: Mapping[str, Role] = msgspec.field(default_factory=dict)
    """Bare ids with a role that counts; everybody else is a member or a stranger."""
    void: Mapping[str, Role] = msgspec.field(default_factory=dict)
    """Roles that were seated while the network was open, and count for nothing."""
    topology: TopologyMode | None = None
    splits: tuple[SplitRecord, ...] = ()
    known: frozenset[str] = frozenset()
    """Who is or once was an authority."""

    def role(self, device: str) -> Role:
        """The role of a bare id."""
        return self.roles.get(device, "member")

    def is_authority(self, device: str) -> bool:
        return self.role(device) != "member"

    @property
    def owners(self) -> frozenset[str]:
        return frozenset(device for device, role in self.roles.items() if role == "owner")

    @property
    def authorities(self) -> frozenset[str]:
        return frozenset(device for device in self.roles if self.is_authority(device))

    def authors(self, signers: Iterable[str]) -> tuple[str, ...]:
        """Those of the signers whose word counts at this point."""
        return tuple(signer for signer in signers if self.is_authority(signer))

    def best(self, signers: Iterable[str]) -> Role:
        """The highest role among the signers."""
        return max((self.role(signer) for signer in signers), key=RANKS.__getitem__, default="member")

    def lowered(self, variant: Variant) -> str | None:
        """The authority that the variant takes down or out, if it does."""
        if isinstance(variant, KindChange | TopologyChange | Split | UnknownVariant):
            return None
        after = RANKS[variant.role] if isinstance(variant, RoleGrant) else 0
        target = variant.target
        return target if self.is_authority(target) and after < RANKS[self.role(target)] else None

    def after(self, entry: Transition, *, void: bool) -> Standing:
        """What holds after one more entry, whose signatures and quorum have been looked at.

        `void`: it changes roles in a way that does not count (`quorum.VOID`).
        """
        variant = entry.variant
        match variant:
            case KindChange(to="closed"):
                return self._seated(entry.signers[0], "owner", kind="closed")
            case KindChange(to=to):
                return replace(self, kind=to)
            case RoleGrant(target=target, role=role):
                if void:
                    return replace(self, void={**self.void, target: role})
                return self._seated(target, role, kind=self.kind)
            case TopologyChange(to=mode):
                return replace(self, topology=mode)
            case Split(new_network_id=new_id, members=members):
                record = SplitRecord(new_id, entry.at, entry.signers[0], members)
                return replace(self, splits=(*self.splits, record))
            case UnknownVariant():
                return self
            case _:
                return self if void else self.unseated(variant.target)

    def unseated(self, device: str) -> Standing:
        """What holds when a device has lost its role."""
        return replace(self, roles=_without(self.roles, device), void=_without(self.void, device))

    def _seated(self, device: str, role: Role, *, kind: NetworkKind) -> Standing:
        known = self.known if role == "member" else self.known | {device}
        return replace(
            self, kind=kind, roles={**self.roles, device: role}, void=_without(self.void, device), known=known
        )


BEFORE: Final = Standing()
"""What holds before the first entry of any log, whatever the configuration says."""


def _without(roles: Mapping[str, Role], device: str) -> Mapping[str, Role]:
    return {other: role for other, role in roles.items() if other != device}
