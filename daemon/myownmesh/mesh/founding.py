"""What a record says of who founds its network (spec 02 §24.2), and when that or a switch has it judged anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from myownmesh.store.network_config import NetworkConfig


def check_founder(record: NetworkConfig) -> None:
    """Raise `MeshError` for a founder that is no device: who believes that one is pinned must not be mistaken."""
    if record.unknown.get("founder") is not None and record.founder is None:
        raise MeshError(f"network '{record.id}': founder is no device id")


def judges_anew(old: NetworkConfig, new: NetworkConfig) -> bool:
    """Whether what is signed has to be judged again after such a change."""
    from myownmesh.governance.rules import Rules  # with the first network

    return new.founder != old.founder or Rules.of(new.compat) != Rules.of(old.compat)
