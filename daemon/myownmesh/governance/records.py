"""Proposals that wait for signatures, and splits, as the state file and clients show them (spec 02 §11.1, §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from myownmesh.protocol.schema import U64
from myownmesh.protocol.transitions import Variant

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Transition


class Proposal(msgspec.Struct, frozen=True):
    """A change that waits: for authorities to sign it, or for a person here to decide."""

    id: str
    created_at: U64
    """Unix seconds; what the entry will carry as its time."""
    proposer: str
    """Bare id."""
    variant: Variant
    signers: tuple[str, ...]
    signatures: tuple[str, ...]
    deniers: tuple[str, ...]
    """Bare ids."""
    split_spawned: bool

    @classmethod
    def of(cls, proposal_id: str, proposer: str, entry: Transition) -> Self:
        """A record that nobody has answered yet, of what `proposer` wants and of who has signed it."""
        return cls(proposal_id, entry.at, proposer, entry.variant, entry.signers, entry.signatures, (), False)

    def signed_by(self, signer: str, signature: str) -> Self:
        """With one more signature."""
        return msgspec.structs.replace(self, signers=(*self.signers, signer), signatures=(*self.signatures, signature))


class SplitRecord(msgspec.Struct, frozen=True):
    """A network that somebody split off from this one."""

    new_network_id: str
    spawned_at: U64
    """Unix seconds."""
    spawned_by: str
    members: tuple[str, ...]
