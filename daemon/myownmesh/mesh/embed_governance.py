"""Signed governance for a program that embeds the mesh: the same operations as on the control socket (spec 05 §9)."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

import trio

from myownmesh.governance.checkup import findings
from myownmesh.governance.foresight import outlook
from myownmesh.governance.history import history
from myownmesh.governance.overview import authorities
from myownmesh.governance.recovery_key import printed
from myownmesh.governance.succession import Keep
from myownmesh.governance.telling import Names
from myownmesh.governance.waiting import waits
from myownmesh.identity import Identity
from myownmesh.identity.keys import SEED_BYTES
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governing import or_refused
from myownmesh.mesh.recovering import recover_with
from myownmesh.mesh.replacing import replace
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, TopologyChange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.engine.carrying import TakenIn
    from myownmesh.governance.book import Book
    from myownmesh.governance.checkup import Finding
    from myownmesh.governance.foresight import Outlook
    from myownmesh.governance.history import Line
    from myownmesh.governance.overview import Authority
    from myownmesh.governance.state_file import StateFile
    from myownmesh.governance.waiting import Wait
    from myownmesh.mesh.governing import Outcome
    from myownmesh.mesh.mesh import Mesh
    from myownmesh.mesh.network import Network
    from myownmesh.mesh.recovering import Recovered
    from myownmesh.mesh.replacing import Handover
    from myownmesh.protocol.frames import NetworkKind, Role
    from myownmesh.protocol.transitions import Variant
    from myownmesh.topology.modes import TopologyMode


class OpenGovernance:
    """Who decides in one network. Devices are named by any form of their id; all methods raise `MeshError`.

    `code`: of the authenticator, where a lock is on.
    """

    def __init__(self, mesh: Mesh, network: Network) -> None:
        self._mesh = mesh
        self._network = network
        self._governing = network.governing

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
        """Take a controller's or owner's role away; of who has none it is refused. `keep`: see `evict`."""
        return await self._governing.propose(RoleRevoke(_bare(device_id)), code, keep=_kept(keep))

    async def evict(self, device_id: str, *, code: str | None = None, keep: Iterable[str] | None = None) -> Outcome:
        """Put a device out. `keep`: whom of those that only it had let in this device signs anew; None: all."""
        return await self._governing.propose(Evict(_bare(device_id)), code, keep=_kept(keep))

    async def set_shape(self, mode: TopologyMode, *, code: str | None = None) -> Outcome:
        """Have every device take this shape."""
        return await self._governing.propose(TopologyChange(mode), code)

    async def outlook(self, variant: Variant, *, keep: Iterable[str] | None = None) -> Outlook:
        """What a change would do, without doing it: a `KindChange`, `RoleGrant`, `RoleRevoke` or `Evict` of
        `myownmesh.protocol.transitions` about a bare id. `keep`: see `evict`."""
        book, linked, rostered = await self._governing.book(), self._network.linked, self._network.rostered()
        look = partial(outlook, book, variant, linked, keep=_kept(keep), rostered=rostered)
        return await trio.to_thread.run_sync(partial(or_refused, look))

    async def pending(self) -> tuple[Wait, ...]:
        """What waits for a decision, in words, with what signing and denying it would do."""
        book = await self._governing.book()
        return await trio.to_thread.run_sync(waits, book, self._names(book), self._network.approved())

    async def log(self) -> tuple[tuple[Line, str], ...]:
        """What was signed, newest claimed time first, each entry with its sentence."""
        book = await self._governing.book()
        arrivals, names = await self._mesh.arrivals(self._network), self._names(book)
        lines = await trio.to_thread.run_sync(history, book, arrivals)
        return tuple((line, line.sentence(names)) for line in lines)

    async def who(self) -> tuple[Authority, ...]:
        """Whose signature decides, owners first, with what each once signed and did not get."""
        return authorities(await self._governing.book())

    def last_heard(self) -> dict[str, int]:
        """When authorities were heard last: bare ids to Unix seconds."""
        return self._network.last_heard

    async def doctor(self) -> tuple[Finding, ...]:
        """What is amiss, the worst first."""
        book = await self._governing.book()
        around = self._mesh.around(self._network)
        return await trio.to_thread.run_sync(findings, book, around, self._names(book))

    async def sign(
        self,
        proposal_id: str,
        *,
        code: str | None = None,
        digest: str | None = None,
        keep: Iterable[str] | None = None,
    ) -> Outcome:
        """Sign what waits, or agree to a question of this device alone; `digest` of what was shown, if it must fit."""
        return await self._governing.sign(proposal_id, code, digest, keep=_kept(keep))

    async def settle(self, proposal_id: str, *, code: str | None = None) -> Outcome:
        """As an owner, end a quarrel between controllers for everybody by keeping this device's branch."""
        return await self._governing.settle(proposal_id, code)

    async def replace(
        self, old: str, new: str, *, code: str | None = None, keep: Iterable[str] | None = None
    ) -> Handover:
        """Put one device in another one's place; after an interruption the same call goes on where it ended."""
        return await replace(self._governing, _bare(old), _bare(new), code, _kept(keep))

    async def export(self) -> bytes:
        """Logs and proposals as JSON, for a device without a network."""
        return await self._governing.export()

    async def take_in(self, document: bytes) -> TakenIn:
        """Take in an export. It is verified like what a peer sends, and is nobody's word."""
        return await self._governing.take_in(document)

    async def create_recovery_key(self, *, code: str | None = None) -> tuple[str, Outcome]:
        """Make an owner that lives on no device; its text is a secret, and returned once."""
        seed = secrets.token_bytes(SEED_BYTES)
        grant = RoleGrant(Identity.from_seed(seed).device_id, "owner")
        return printed(seed), await self._governing.propose(grant, code)

    async def recover(self, key: str, *, owner: str | None = None, evict: str | None = None) -> Recovered:
        """Seat an owner (this device if none is named) with a recovery key, and put a lost device out."""
        return await recover_with(self._governing, key, owner, evict, secrets.SystemRandom())

    async def deny(self, proposal_id: str) -> None:
        """Refuse what waits, everywhere; or say no to a question of this device alone."""
        await self._governing.deny(proposal_id)

    async def withdraw(self, proposal_id: str) -> None:
        """Take an own proposal back."""
        await self._governing.withdraw(proposal_id)

    def _names(self, book: Book) -> Names:
        return Names(self._network.labels(), book.me)


def _kept(devices: Iterable[str] | None) -> Keep:
    return Keep() if devices is None else Keep(frozenset(map(_bare, devices)))


def _bare(text: str) -> str:
    try:
        return parse_device_id(text)
    except BadDeviceId as error:
        raise MeshError(f"network: {error}") from error
