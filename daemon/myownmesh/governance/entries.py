"""One entry of a signed log: its key, its form, its author (spec 02 §4, §8, FIX 8, 34, 38)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.identity.weak_keys import WEAK_KEYS
from myownmesh.protocol.ids import is_device_id
from myownmesh.protocol.modes import Hubs, Star
from myownmesh.protocol.transitions import (
    Evict,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    Transition,
    raw_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.transitions import Variant

MAX_ENTRY_BYTES: Final = 2048
"""Eleven signers; an honest entry has one or two (02 §24.3 no. 49)."""

_TARGETED: Final = (RoleGrant, RoleRevoke, Evict)
_REMOVALS: Final = (RoleRevoke, Evict)
_FEW_SIGNERS: Final = 8
SIGNATURE: Final = re.compile(r"[a-z2-7]{102}[aiqy]")
"""The canonical text of one."""
_write: Final = msgspec.json.Encoder(enc_hook=raw_text).encode


def entry_key(entry: Transition) -> bytes:
    """The entry as compact JSON: what tells copies apart, and the last thing that they are sorted by.

    Entries of an unknown variant keep their own text (FIX 29).
    """
    return _write(entry)


def with_shared_signers(entry: Transition) -> Transition:
    """The same entry for keeping: of ten thousand by one author all hold one text of its id."""
    return Transition(entry.at, entry.variant, shared_signers(entry.signers), entry.signatures)


@lru_cache(256)
def shared_signers(signers: tuple[str, ...]) -> tuple[str, ...]:
    """The same, as it came first."""
    return signers


def target_of(variant: Variant) -> str | None:
    """The device that a grant, a revocation or an eviction is about; None for other variants."""
    return variant.target if isinstance(variant, _TARGETED) else None


def is_removal(variant: Variant) -> bool:
    """Whether the variant takes a role or a membership away as such."""
    return isinstance(variant, _REMOVALS)


def is_member_grant(variant: Variant) -> bool:
    """Whether the variant admits a plain member."""
    return isinstance(variant, RoleGrant) and variant.role == "member"


def fault_of_form(entry: Transition) -> str | None:
    """Why an entry is none that an honest node writes, or None; no signature is checked.

    The ids are bare and canonical, the signatures canonical texts, one for each signer; nobody signs twice, and the
    whole is not longer than `MAX_ENTRY_BYTES`.
    """
    signers, signatures = entry.signers, entry.signatures
    if not signers:
        return "SIG-EMPTY"
    if len(signers) != len(signatures):
        return "SIG-COUNT"
    if len(signers) > 1 and len(set(signers)) != len(signers):
        return "SIGNER-TWICE"
    if not _all_usable(signers):
        return "SIGNER-FORM"
    for signature in signatures:
        if SIGNATURE.fullmatch(signature) is None:
            return "SIG-DECODE"
    target = target_of(entry.variant)
    if not _all_usable(_devices(entry.variant) if target is None else (target,)):
        return "TARGET-FORM"
    if len(signers) <= _FEW_SIGNERS and target is not None:
        return None  # it is short without being written
    return "ENTRY-SIZE" if len(entry_key(entry)) > MAX_ENTRY_BYTES else None


def is_usable_id(device: str) -> bool:
    """A canonical bare id of a key that only its owner can sign with."""
    return device not in WEAK_KEYS and is_device_id(device)


def canonical_signers(
    proposer: str, signers: Sequence[str], signatures: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Signers as an entry lists them: the proposer first, the rest sorted; signatures go along (spec 02 §10).

    Lists of different lengths stay as they are; the entry is invalid then.
    """
    if len(signers) != len(signatures):
        return tuple(signers), tuple(signatures)
    pairs = sorted(zip(signers, signatures, strict=True), key=lambda pair: (pair[0] != proposer, pair[0].encode()))
    return tuple(signer for signer, _ in pairs), tuple(signature for _, signature in pairs)


def _all_usable(devices: Sequence[str]) -> bool:
    # A plain loop: this is asked of each of ten thousand entries, and so is all that a member entry passes through.
    for device in devices:  # noqa: SIM110
        if not is_usable_id(device):
            return False
    return True


def _devices(variant: Variant) -> tuple[str, ...]:
    """The devices that a variant without a target names."""
    match variant:
        case TopologyChange(to=Star(hub=hub)):
            return (hub,)
        case TopologyChange(to=Hubs(hubs=hubs)):
            return hubs
        case Split(members=members):
            return members
        case _:
            return ()
