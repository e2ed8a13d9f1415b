"""A printed owner's key at work on a member's device (spec 02 §24.3 no. 51)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from mesh_common.values import Value
from myownmesh.governance import recovery_key
from myownmesh.governance.authoring import Done
from myownmesh.governance.marking import sign_marked
from myownmesh.governance.recovery_key import BadRecoveryKey
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.succession import legacy
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governing import or_refused
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.transitions import Evict, RoleGrant

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.succession import Anew
    from myownmesh.identity import Identity
    from myownmesh.mesh.governing import Governing
    from myownmesh.protocol.ids import Rng


class Recovered(Value, frozen=True):
    """What a recovery did; bare ids."""

    seat: str
    lost: str | None
    signed_anew: int


async def recover_with(governing: Governing, text: str, seat: str | None, lost: str | None, rng: Rng) -> Recovered:
    """`recover` by the printed key: seat a device (this one if none is named). Raises `MeshError`."""
    try:
        key = recovery_key.read_key(text)
        seat = governing.held.me if seat is None else parse_device_id(seat)
        lost = None if lost is None else parse_device_id(lost)
    except (BadRecoveryKey, BadDeviceId) as error:
        raise MeshError(f"network: {error}") from error
    if lost in (seat, key.device_id):
        raise MeshError("network: the lost device and the new owner are the same")
    return Recovered(seat, lost, await recover(governing, key, seat, lost, rng))


async def recover(governing: Governing, key: Identity, seat: str, lost: str | None, rng: Rng) -> int:
    """Seat an owner, and put a lost device out if one is named (bare ids). Raises `MeshError`.

    What the lost device decided is signed again first, so that nobody falls with it; how many entries that were. After
    an interruption the same command goes on where this one ended.
    """
    await governing.book()
    async with governing.deciding:
        or_refused(partial(recovery_key.check_owner, governing.held, key.device_id))
        await _decide(governing, key, RoleGrant(seat, "owner"), rng)
        if lost is None:
            return 0
        falls = await trio.to_thread.run_sync(legacy, governing.held, lost)
        for each in falls:
            signature = await _signed(governing, key, each.variant, rng)
            await governing.decide(partial(_anew, key=key.device_id, anew=each, signature=signature))
        await _decide(governing, key, Evict(lost), rng)
        return len(falls)


async def _decide(governing: Governing, key: Identity, variant: RoleGrant | Evict, rng: Rng) -> None:
    signature = await _signed(governing, key, variant, rng)
    await governing.decide(lambda book, now: recovery_key.decided_by(book, key.device_id, variant, signature, now))


async def _signed(governing: Governing, key: Identity, variant: RoleGrant | Evict, rng: Rng) -> str:
    payload = signed_bytes(governing.held.network_id, variant)
    return await trio.to_thread.run_sync(sign_marked, key, payload, rng)


def _anew(book: Book, _now: int, *, key: str, anew: Anew, signature: str) -> Done:
    return Done(recovery_key.signed_anew_by(book, key, anew, signature), entry=anew.signed(key, signature))
