"""What this device holds a network to, whatever happens to the state file (spec 02 §24.2, FIX 21).

The pin reaches the disk before the state does. Without the state it keeps the network closed, refuses other founders,
and keeps removals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec

from myownmesh.governance.signed_bytes import founding_digest
from myownmesh.protocol import base32
from myownmesh.protocol.frames import NetworkKind
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, U64, ReadBy, Unknown, reader, shape, written
from myownmesh.protocol.strict_json import decode_object, members
from myownmesh.protocol.transitions import KindChange

if TYPE_CHECKING:
    from myownmesh.governance.log import Log
    from myownmesh.protocol.schema import Reader

VERSION: Final = 1
MAX_REFUSED: Final = 64
"""Founders that were turned down; the oldest go (02 §24.3 no. 56)."""

_time: Final[Reader[int]] = reader(U64)


def _read_evicted(value: msgspec.Raw) -> dict[str, int]:
    return {device: _time(at) for device, at in members(value)}


class Pin(msgspec.Struct, frozen=True):
    """One pin file, its members in order. A stub (no founder, `signed`) is what a purge leaves behind."""

    network_id: str
    version: U32 = VERSION
    founder: str | None = None
    """First signer of the first close; None before."""
    genesis: str | None = None
    """Which founding entry it was: `genesis_of`."""
    entries: U64 = 0
    """Length of the branch held."""
    kind: NetworkKind = "open"
    signed: bool = False
    """This key signed more than a close here (02 §24.3 no. 43)."""
    refused: tuple[str, ...] = ()
    """Founders that the user turned down, oldest first."""
    evicted: Annotated[Mapping[str, U64], ReadBy(_read_evicted)] = {}
    """Removals that count here whatever becomes of their author: bare id to the time of the removal."""
    spent: tuple[str, ...] = ()
    """Digests of signatures that count no more by themselves (02 §24.3 no. 64)."""
    provisional: bool = False
    """Nobody who can know has answered since this device joined or lost its state (02 §24.3 no. 50)."""
    left_out: U64 = 0
    """The newest time of a removal that a full member log had no room for; 0 without one."""
    unknown: Unknown = {}

    @property
    def is_set(self) -> bool:
        """Whether it names a founder."""
        return self.founder is not None

    def fits(self, log: Log, network_id: str) -> bool:
        """Whether a log is of the founding that is pinned; before there is a pin every one is."""
        return not self.is_set or (self.founder, self.genesis) == founder_and_genesis(log, network_id)

    def on(self, log: Log, *, lost: int = 0) -> Self:
        """The pin for a branch that is held now. It names the founder of the first that had one, for good.

        `lost`: the length that a lost log had; what is only coming back does not lower it.
        """
        if not self.is_set and (found := founder_and_genesis(log, self.network_id)) is not None:
            self = msgspec.structs.replace(self, founder=found[0], genesis=found[1])
        return msgspec.structs.replace(
            self, entries=max(len(log), lost), kind=log.standing.kind if self.is_set else self.kind
        )

    def founded_by(self, founder: str) -> Self:
        """The pin of a device that was told who founds the network, before it has heard anything signed."""
        genesis = base32.encode(founding_digest(self.network_id, KindChange("closed"), founder))
        return msgspec.structs.replace(self, founder=founder, genesis=genesis, kind="closed", provisional=True)

    def keeping(self, removals: Mapping[str, int]) -> Self:
        """Removals that count from now on, whatever becomes of their author: bare id to Unix seconds."""
        return msgspec.structs.replace(self, evicted={**self.evicted, **removals})

    def only_keeping(self, removals: Mapping[str, int]) -> Self:
        """No removals are kept but these."""
        return self if removals == self.evicted else msgspec.structs.replace(self, evicted=removals)

    def awaiting(self, *, contact: bool) -> Self:
        """Whether somebody who can know has still to answer; a restart forgets nobody's silence."""
        return self if self.provisional is contact else msgspec.structs.replace(self, provisional=contact)

    def refusing(self, founder: str) -> Self:
        """The user turned a founder down."""
        others = tuple(other for other in self.refused if other != founder)
        return msgspec.structs.replace(self, refused=(*others, founder)[-MAX_REFUSED:])

    def stub(self) -> Self | None:
        """What a purge leaves: that this key signed here, if it did."""
        return type(self)(self.network_id, signed=True) if self.signed else None

    def to_json(self) -> dict[str, object]:
        """The object that the file holds."""
        return written(self)


def founder_and_genesis(log: Log, network_id: str) -> tuple[str, str] | None:
    """Who founded the network of a log and by which entry; None for a log without a close."""
    founding = log.founding
    if founding is None:
        return None
    founder = founding.entry.signers[0]
    return founder, base32.encode(founding_digest(network_id, founding.entry.variant, founder))


def read_pin(data: bytes, network_id: str) -> Pin:
    """The pin that a file holds. Raises `JsonError`, also for another version or another network's pin.

    What cannot be read must keep the network from being joined: a lost pin would let in another founder.
    """
    pin: Pin = shape(Pin).build(decode_object(data, "struct Pin"))
    if pin.version != VERSION:
        raise JsonError(f"pin version {pin.version} unsupported (this build reads {VERSION})")
    if pin.network_id != network_id:
        raise JsonError(f"pin of network {pin.network_id!r}, not of {network_id!r}")
    return pin
