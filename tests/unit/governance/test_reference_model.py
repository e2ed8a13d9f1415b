"""The plain reading of v0.3.8 that attacks and simulations use says what the vectors say; attacks win against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.identity import Identity
from myownmesh.simulator.reference_governance import ReferenceGovernance, quorum
from support.attacks import ATTACKS, NETWORK, Scene, View
from support.governance import IDS, entries_of, variant_of
from support.vectors import load

if TYPE_CHECKING:
    from support.attacks import Attack

ME = Identity.from_seed(bytes([77]) * 32)
LENIENT = ("small-order-key", "non-canonical-key")
"""v0.3.8 accepts signatures that libsodium refuses."""


@pytest.mark.parametrize("case", load("governance", "quorum"), ids=lambda case: case["id"])
def test_quorum(case: dict[str, Any]) -> None:
    roles = {IDS[name]: role for name, role in case["roles_before"].items()}
    signers = [IDS.get(name, name) for name in case["signers"]]
    before = case.get("topology_before")
    topology = None
    if before is not None:
        topology = variant_of({"kind": "topology_change", "to": before}).to  # type: ignore[union-attr]  # it has one
    met = quorum(case["kind_before"], roles, variant_of(case["variant"]), signers, topology)
    assert met == (case["expect"] == "accept")


@pytest.mark.parametrize("case", load("governance", "governance_logs"), ids=lambda case: case["id"])
def test_logs(case: dict[str, Any]) -> None:
    reached = ReferenceGovernance(case["network_id"], ME).reaches(entries_of(case["log"]))
    if any(name in case["id"] for name in LENIENT):
        assert reached is None
        return
    assert (reached is not None) == (case["expect"] == "accept")
    if reached is not None:
        assert (reached.kind, reached.roles) == (case["state"]["kind"], case["state"]["roles"])


@pytest.mark.parametrize("case", load("governance", "adoption"), ids=lambda case: case["id"])
def test_adoption(case: dict[str, Any]) -> None:
    model = ReferenceGovernance(case["network_id"], ME, log=list(entries_of(case["local"])))
    adopted = model.adopt(entries_of(case["incoming"]))
    assert adopted == (case["expect"] == "adopt")


@pytest.mark.unwatched
@pytest.mark.heavy
@pytest.mark.parametrize("attack", [each for each in ATTACKS if each.switch is None], ids=lambda each: each.name)
def test_attacks_succeed_against_v038(attack: Attack) -> None:
    scene = Scene(ME.device_id, Identity.from_seed(bytes([78]) * 32), attack.who)
    kind = attack.where if attack.where in ("open", "silent") else "closed"
    model = ReferenceGovernance(NETWORK, ME, kind=kind)
    if log := scene.log(attack.where):
        assert model.take(log, scene.members())
    assert not attack.won(View.of_model(model), scene) or attack.where == "joiner", "won before it began"
    for frame in attack.frames(scene):
        model.hear(frame, scene.mallory.device_id)
    assert attack.won(View.of_model(model), scene)
