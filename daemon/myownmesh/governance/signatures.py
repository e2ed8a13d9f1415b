"""Checking signatures of entries: once each, and in slices (spec 02 §1, FIX 16, 24.3 no. 58).

A check costs 60 µs, a frame may hold hundreds. So what has been found good is remembered, and whoever checks many does
it through a generator that gives the loop back between them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, TypeVar

from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, verify_each
from myownmesh.protocol import base32
from myownmesh.protocol.ids import parse_device_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownmesh.protocol.transitions import Transition

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that pauses between slices of at most `CHECKS_PER_SLICE` signature checks and returns its result at the end."""

CHECKS_PER_SLICE: Final = 40
"""Two to four milliseconds of the loop, and one fifth of what a full frame of member entries needs."""
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

    __slots__ = ("_keys", "count", "good", "network_id")

    def __init__(self, network_id: str) -> None:
        self.network_id = network_id
        # Ordered, because finding the oldest key of a plain dictionary gets slower with every key that was taken out.
        self.good: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        """By signature: whose it is, and over what."""
        self._keys: dict[str, bytes] = {}
        self.count = 0
        """How many checks were made, to measure slices by."""

    def is_good(self, entry: Transition) -> bool:
        """True when every signer of the entry signed what it says. Its form has been looked at before."""
        payload = signed_bytes(self.network_id, entry.variant)
        for signer, signature in zip(entry.signers, entry.signatures, strict=True):
            if not self.signed(signer, payload, signature):
                return False
        return True

    def first_bad(self, entries: Iterable[Transition]) -> Slices[int | None]:
        """Which is the first entry that is not good, by number; None if all are."""
        begun = self.count
        for index, entry in enumerate(entries):
            if not self.is_good(entry):
                return index
            if self.count - begun >= CHECKS_PER_SLICE:
                begun = self.count
                yield
        return None

    def signed(self, signer: str, payload: bytes, signature: str) -> bool:
        """True when the device `signer` signed `payload`; unreadable texts are no signatures."""
        said = (signer, payload)
        if self.good.get(signature) == said:
            return True
        try:
            message = base32.decode(signature, SIGNATURE_BYTES) + payload
            key = self.key_of(signer)
        except ValueError:
            self.count += 1
            return False
        if not self.verify_signed([(key, message)])[0]:
            return False
        if len(self.good) >= REMEMBERED:
            self.good.popitem(last=False)
        self.good[signature] = said
        return True

    def verify_signed(self, signed: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """Which of these messages, each behind a public key (`key_of`), begin with a good signature; nothing is
        remembered.

        In a loop of its own libsodium finds its tables in the processor's cache.
        """
        self.count += len(signed)
        return verify_each(signed)

    def key_of(self, signer: str) -> bytes:
        """The public key of a device, by any form of its id. Raises `BadDeviceId`."""
        known = self._keys.get(signer)
        if known is None:
            known = base32.decode(parse_device_id(signer), PUBLIC_KEY_BYTES)
            if len(self._keys) >= REMEMBERED:
                del self._keys[next(iter(self._keys))]
            self._keys[signer] = known
        return known
