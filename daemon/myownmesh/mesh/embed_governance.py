"""Signed governance for a program that embeds the mesh: the same operations as on the control socket (spec 05 §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance.succession import Keep
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, TopologyChange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.governance.state_file import StateFile
    from myownmesh.mesh.governing import Governing, Outcome
    from myownmesh.protocol.frames import NetworkKind, Role
    from myownmesh.topology.modes import TopologyMode


class OpenGovernance:
    """Who decides in one network. Devices are named by any form of their id; all methods raise `MeshError`.

    `code`: of the authenticator, where a lock is on.
    """

    def __init__(self, governing: Governing) -> None:
        self._governing = governing

    async def state(self) -> tuple[StateFile, list[str]]:
        """What is signed, with what waits for somebody; and the bare ids of devices that are put out."""
        return await self._governing.state()

    async def set_kind(self, kind: NetworkKind, *, code: str | None = None, force: bool = False) -> Outcome:
        """Close or open the network. Closing an open one founds it: this device becomes its owner.

        `force`: also with a clock that others call wrong.
        """
        return await self._governing.propose(KindChange(kind), code, force=force)

    async def grant(
        self,
        device_id: str,
        role: Role,
        *,
        code: str | None = None,
        keep: Iterable[str] | None = None,
        force: bool = False,
    ) -> Outcome:
        """Have a device be member, controller or owner. `keep`: see `evict`; it counts where a role is lowered."""
        return await self._governing.propose(RoleGrant(_bare(device_id), role), code, keep=_kept(keep), force=force)

    async def revoke(self, device_id: str, *, code: str | None = None, keep: Iterable[str] | None = None) -> Outcome:
        """Take a role away; of a plain member that is its eviction. `keep`: see `evict`."""
        return await self._governing.propose(RoleRevoke(_bare(device_id)), code, keep=_kept(keep))

    async def evict(self, device_id: str, *, code: str | None = None, keep: Iterable[str] | None = None) -> Outcome:
        """Put a device out. `keep`: whom of those that only it had let in this device signs anew; None: all."""
        return await self._governing.propose(Evict(_bare(device_id)), code, keep=_kept(keep))

    async def set_shape(self, mode: TopologyMode, *, code: str | None = None) -> Outcome:
        """Have every device take this shape."""
        return await self._governing.propose(TopologyChange(mode), code)

    async def sign(self, proposal_id: str, *, code: str | None = None, digest: str | None = None) -> Outcome:
        """Sign what waits, or agree to a question of this device alone; `digest` of what was shown, if it must fit."""
        return await self._governing.sign(proposal_id, code, digest)

    async def deny(self, proposal_id: str) -> None:
        """Refuse what waits, everywhere; or say no to a question of this device alone."""
        await self._governing.deny(proposal_id)

    async def withdraw(self, proposal_id: str) -> None:
        """Take an own proposal back."""
        await self._governing.withdraw(proposal_id)


def _kept(devices: Iterable[str] | None) -> Keep:
    return Keep() if devices is None else Keep(frozenset(map(_bare, devices)))


def _bare(text: str) -> str:
    try:
        return parse_device_id(text)
    except BadDeviceId as error:
        raise MeshError(f"network: {error}") from error
