"""Proposals that wait for signatures, and splits, as the state file and clients show them (spec 02 §11.1, §6)."""

from __future__ import annotations

import msgspec

from myownmesh.protocol.schema import U64
from myownmesh.protocol.transitions import Variant


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


class SplitRecord(msgspec.Struct, frozen=True):
    """A network that somebody split off from this one."""

    new_network_id: str
    spawned_at: U64
    """Unix seconds."""
    spawned_by: str
    members: tuple[str, ...]
