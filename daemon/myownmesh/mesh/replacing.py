"""A planned key change: one device takes another one's place (spec 10 §2.2).

The new device gets the role first, then what the old one decided is signed anew, and the old one is put out last. Each
step looks at what holds already, so that after any interruption the same command goes on where it ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mesh_common.values import Value
from myownmesh.governance.ratifying import decides
from myownmesh.governance.standing import RANKS
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governing import Outcome
from myownmesh.protocol.transitions import Evict, RoleGrant

if TYPE_CHECKING:
    from myownmesh.governance.succession import Keep
    from myownmesh.mesh.governing import Governing
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Variant


class Handover(Value, frozen=True):
    """How far a replacement has come."""

    step: Literal["seat", "put out", "done"]
    """What it waits for, or that it is done."""
    role: Role
    """What the new device has, or gets."""
    outcome: Outcome


async def replace(governing: Governing, old: str, new: str, code: str | None, keep: Keep | None) -> Handover:
    """Have `new` in the place of `old` (bare ids). Raises `MeshError`.

    The device that goes cannot put itself out: there the last step waits for the new one, which repeats the command.
    """
    if old == new:
        raise MeshError("network: the old and the new device are the same")
    await governing.book()
    async with governing.deciding:
        book = governing.held
        role, seat = book.role(old), book.role(new)
        if role is None or book.is_evicted(old):
            if seat is None or not book.is_evicted(old):
                raise MeshError("network: the old device is no member here, so there is nothing to hand over")
            return Handover("done", seat, Outcome())
        gated = True
        if seat is None or RANKS[seat] < RANKS[role]:
            seated = await _once(governing, RoleGrant(new, role), code)
            if not seated.effective:
                return Handover("seat", role, seated)
            gated = False
        if old == book.me:
            return Handover("put out", role, Outcome("", False, (new,)))
        gone = await _once(governing, Evict(old), code, keep=keep, gated=gated)
        return Handover("done" if gone.effective else "put out", role, gone)


async def _once(
    governing: Governing, variant: Variant, code: str | None, *, keep: Keep | None = None, gated: bool = True
) -> Outcome:
    """Decide or propose a change, but do not propose it a second time."""
    book = governing.held
    for record in book.proposals.records.values():
        if record.proposer == book.me and record.variant == variant:
            return Outcome(record.id, False, decides(book, variant))
    return await governing.propose_held(variant, code, keep=keep, gated=gated)
