"""Who may do what: the table of v0.3.8, and what ours refuses beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.governance.quorum import VOID, unmet
from myownmesh.governance.rules import STRICT, Rules
from myownmesh.governance.standing import Standing
from myownmesh.protocol.modes import FullMesh
from myownmesh.protocol.transitions import Evict, RoleGrant, RoleRevoke, Split, TopologyChange
from support.governance import ALICE, BOB, CAROL, DAVE, ERIN, IDS, MALLORY, V038, variant_of
from support.vectors import load

SWITCHES = {
    "controller-over-owner": ("LOWER-OWNER", Rules(controller_demotes_owner=True)),
    "member-over-owner": ("LOWER-OWNER", Rules(controller_demotes_owner=True)),
    "grant-on-open": ("OPEN-GRANT", Rules(roles_from_open_phase=True)),
    "evict-on-open": ("OPEN-REMOVE", Rules(open_network_evict=True)),
    "split-one": ("SPLIT-AUTHORITY", Rules(unauthorised_splits=True)),
}
CLOSED = Standing("closed", {ALICE: "owner", BOB: "owner", CAROL: "controller"})


@pytest.mark.parametrize("case", load("governance", "quorum"), ids=lambda case: case["id"])
def test_vectors(case: dict[str, Any]) -> None:
    """Each weakness is refused, and its own switch alone brings it back."""
    mode = case["topology_before"]
    standing = Standing(
        case["kind_before"],
        {IDS[name]: role for name, role in case["roles_before"].items()},
        topology=None
        if mode is None
        else FullMesh()
        if mode == {"kind": "full_mesh"}
        else pytest.fail("another shape"),
    )
    variant, signers = variant_of(case["variant"]), [IDS[name] for name in case["signers"]]
    assert unmet(standing, variant, signers, V038) == case["rule"]
    if case.get("weakness"):
        rule, switch = SWITCHES[case["id"]]
        assert unmet(standing, variant, signers, STRICT) == rule
        assert unmet(standing, variant, signers, switch) is None
    else:
        assert unmet(standing, variant, signers, STRICT) == case["rule"]


@pytest.mark.parametrize("removal", [Evict(CAROL), RoleRevoke(CAROL)])
def test_an_authority_removes_on_an_open_network_and_a_stranger_does_not(removal: Evict | RoleRevoke) -> None:
    reopened = Standing("open", CLOSED.roles)
    assert unmet(reopened, removal, [ALICE], STRICT) is None
    assert unmet(reopened, removal, [MALLORY], STRICT) in VOID


def test_an_owner_lowers_an_owner() -> None:
    assert unmet(CLOSED, RoleGrant(BOB, "controller"), [ALICE], STRICT) is None
    assert unmet(CLOSED, RoleGrant(BOB, "controller"), [CAROL, ERIN], STRICT) == "LOWER-OWNER"


def test_an_authority_may_split() -> None:
    assert unmet(CLOSED, Split("n", ()), [CAROL], STRICT) is None
    assert unmet(CLOSED, Split("n", ()), [ALICE, CAROL], V038) == "SPLIT-ONE"


def test_the_same_shape_again_is_none() -> None:
    assert unmet(
        Standing("closed", CLOSED.roles, topology=FullMesh()), TopologyChange(FullMesh()), [ALICE], STRICT
    ) == ("TOPO-NOOP")


def test_rules_come_from_the_switches_of_node_and_network() -> None:
    node = {"replayable_logs": True, "any_local_user": True, "ratify_everything": True}
    assert Rules.of(node, {"ratify_everything": False, "adopt_any_genesis": True}) == Rules(
        replayable_logs=True, adopt_any_genesis=True
    )
    assert Rules.of() == STRICT


def test_co_signers_never_hurt() -> None:
    assert unmet(CLOSED, RoleGrant(DAVE, "member"), [MALLORY, ERIN, CAROL], STRICT) is None
