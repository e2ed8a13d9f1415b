"""Checking signatures of entries: once each, and in slices (spec 02 §1, FIX 16, 24.3 no. 58).

A check costs 60 µs, a frame may hold hundreds. So what has been found good is remembered, and whoever checks many does
it through a generator that gives the loop back between them.
"""

from __future__ import annotations

from collections.abc import Generator
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar

from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity import verify
from myownmesh.identity.keys import SIGNATURE_BYTES
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Transition

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that pauses between slices of at most `CHECKS_PER_SLICE` signature checks and returns its result at the end."""

CHECKS_PER_SLICE: Final = 50
"""3 ms of the loop."""
FAILED_CHECKS: Final = 50
"""Signatures that are none, which a peer may show before its entries wait; one is forgiven every second (no. 58)."""
REMEMBERED: Final = 4096
"""Good signatures; enough for the branches of twenty full governance logs."""


def finish(slices: Slices[T]) -> T:
    """Do sliced work at once, for callers off the loop."""
    while True:
        try:
            next(slices)
        except StopIteration as done:
            result: T = done.value
            return result


class Checks:
    """Which signatures of one network were found good. A memory only: what it forgets is checked again."""

    __slots__ = ("_good", "count", "network_id")

    def __init__(self, network_id: str) -> None:
        self.network_id = network_id
        self._good: dict[bytes, None] = {}
        self.count = 0
        """How many checks were made, to measure slices by."""

    def is_good(self, entry: Transition) -> bool:
        """True when every signer of the entry signed what it says. Its form has been looked at before."""
        payload = signed_bytes(self.network_id, entry.variant)
        pairs = zip(entry.signers, entry.signatures, strict=True)
        return all(self.signed(signer, payload, signature) for signer, signature in pairs)

    def signed(self, signer: str, payload: bytes, signature: str) -> bool:
        """True when the device `signer` signed `payload`; unreadable texts are no signatures."""
        key = blake2b(f"{signer} {signature} ".encode() + payload, digest_size=16).digest()
        if key in self._good:
            return True
        self.count += 1
        try:
            raw = base32.decode(signature, SIGNATURE_BYTES)
        except ValueError:
            return False
        if not verify(signer, payload, raw):
            return False
        if len(self._good) >= REMEMBERED:
            del self._good[next(iter(self._good))]
        self._good[key] = None
        return True
