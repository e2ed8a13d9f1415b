"""What a signature of governance is over (spec 02 §5, §12).

Neither the time of an entry nor its place in a log is signed, so a signature says only *that* somebody once wanted
this; which copy of it counts is decided elsewhere.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, assert_never

from myownmesh.protocol import base32
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    UnknownVariant,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.protocol.transitions import Variant

STATE_TAG: Final = "myownmesh-network-state-v1:"


def signed_bytes(network_id: str, variant: Variant) -> bytes:
    """The message that the signers of an entry sign. Raises `UnicodeEncodeError` for lone surrogates."""
    return f"{STATE_TAG}{network_id}|{_said(variant)}".encode()


def denied_bytes(network_id: str, proposal_id: str, signer: str) -> bytes:
    """The message that `signer` (a bare id) signs to deny a proposal."""
    return f"{STATE_TAG}deny|{network_id}|{proposal_id}|{signer}".encode()


def content_digest(network_id: str, variant: Variant) -> str:
    """What a person compares: that the proposal is still the one that was shown (spec 02 §24.3 no. 45)."""
    return base32.encode(sha256(signed_bytes(network_id, variant)).digest())


def founding_digest(network_id: str, variant: Variant, founder: str) -> bytes:
    """SHA-256 over what a founding entry says and who says it; pins and ids of records are made of it (02 §24.2)."""
    return sha256(signed_bytes(network_id, variant) + b"|" + founder.encode()).digest()


def _said(variant: Variant) -> str:
    match variant:
        case KindChange(to=to):
            return f"kind_change|to={to}"
        case RoleGrant(target=target, role=role):
            return f"role_grant|target={target}|role={role}"
        case RoleRevoke(target=target):
            return f"role_revoke|target={target}"
        case Evict(target=target):
            return f"evict|target={target}"
        case Split(new_network_id=new_id, members=members):
            return f"split|new_id={new_id}|members={','.join(_sorted(members))}"
        case TopologyChange(to=to):
            return f"topology|{_shape(to)}"
        case UnknownVariant():
            return "unknown"
        case _:
            assert_never(variant)


def _shape(mode: TopologyMode) -> str:
    match mode:
        case FullMesh():
            return "full_mesh"
        case Ring(n_preferred=n):
            return f"ring|n={_number(n)}"
        case Star(hub=hub):
            return f"star|hub={hub}"
        case Hubs(hubs=hubs, spoke_redundancy=redundancy):
            return f"hubs|hubs={','.join(_sorted(hubs))}|r={_number(redundancy)}"
        case _:
            assert_never(mode)


def _number(value: int | None) -> str:
    return "none" if value is None else str(value)


def _sorted(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=str.encode)
