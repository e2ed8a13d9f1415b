"""Devices whose person decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from myownmesh.governance.rules import STRICT
from myownmesh.mesh.governance_keeping import Governed
from myownmesh.mesh.governing import Governing
from myownmesh.protocol import base32
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK
from myownmesh.store.governance_files import GovernanceFiles
from unit.mesh.desk import Desk, Disk, Lock

if TYPE_CHECKING:
    from myownmesh.identity import Identity


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    def signed(identity: Identity, payload: bytes, _rng: object) -> str:
        return base32.encode(identity.sign(payload))  # a mark takes a tenth of a second

    monkeypatch.setattr("myownmesh.mesh.governing.sign_marked", signed)
    node, _ = World().pair()
    disk, lock = Disk(node), Lock()
    made: list[Desk] = []
    about = Governed(node.identity, NETWORK, "open", STRICT, None, lock.gate, lambda: (), lambda: made[0].ahead_s)
    files = GovernanceFiles(NETWORK, None, Path("nowhere"), None)
    governing = Governing(about, files, cast("Any", disk), node.switch, node.rng)
    made.append(Desk(node, disk, lock, governing))
    await governing.load()
    return made[0]
