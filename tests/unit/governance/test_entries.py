"""Keys, forms and signer order of single entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from myownmesh.governance.entries import MAX_ENTRY_BYTES, canonical_signers, entry_key, fault_of_form
from myownmesh.identity.weak_keys import WEAK_KEYS
from myownmesh.protocol.modes import FullMesh, Hubs, Star
from myownmesh.protocol.transitions import Evict, RoleGrant, Split, TopologyChange
from support.governance import ALICE, BOB, CAROL, DAVE, IDS, entry, entry_of, variant_of
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Transition

KEYS = {case["id"]: case for case in load("governance", "entry_keys")}


@pytest.mark.parametrize("name", sorted(KEYS.keys() - {"unknown-collapses"}))
def test_keys(name: str) -> None:
    assert entry_key(entry_of(KEYS[name]["transition"])).decode() == KEYS[name]["key"]


def test_an_unknown_variant_keeps_its_text_in_the_key() -> None:
    """FIX 29: v0.3.8 collapses it to a stub, and loses what it meant."""
    value = KEYS["unknown-collapses"]["transition"]
    assert msgspec.json.decode(entry_key(entry_of(value))) == value


@pytest.mark.parametrize("case", load("governance", "canonical_signers"), ids=lambda case: case["proposer"][:6])
def test_signer_order(case: dict[str, Any]) -> None:
    signers, signatures = canonical_signers(case["proposer"], case["signers"], case["signatures"])
    assert (list(signers), list(signatures)) == (case["expect_signers"], case["expect_signatures"])


GOOD = entry(RoleGrant(DAVE, "member"), ALICE)


def changed(**members: object) -> Transition:
    return msgspec.structs.replace(GOOD, **members)


@pytest.mark.parametrize(
    ("fault", "bad"),
    [
        (None, GOOD),
        (None, entry(TopologyChange(Hubs((ALICE, BOB))), ALICE, BOB)),
        (None, entry(TopologyChange(FullMesh()), ALICE)),
        (None, entry(Split("junk", (ALICE,)), ALICE)),
        ("SIG-EMPTY", changed(signers=(), signatures=())),
        ("SIG-COUNT", changed(signers=(ALICE, BOB))),
        ("SIGNER-TWICE", changed(signers=(ALICE, ALICE), signatures=GOOD.signatures * 2)),
        ("SIGNER-FORM", changed(signers=(ALICE.upper(),))),
        ("SIGNER-FORM", changed(signers=(f"{ALICE}-B1265",))),
        ("SIG-DECODE", changed(signatures=(GOOD.signatures[0].upper(),))),
        ("SIG-DECODE", changed(signatures=("junk",))),
        ("TARGET-FORM", changed(variant=Evict("everybody"))),
        ("TARGET-FORM", changed(variant=TopologyChange(Star("x")))),
        ("TARGET-FORM", changed(variant=TopologyChange(Hubs(("x,y",))))),
        ("TARGET-FORM", changed(variant=Split("junk", ("x",)))),
        ("ENTRY-SIZE", changed(variant=Split("x" * MAX_ENTRY_BYTES, ()))),
    ],
)
def test_forms(fault: str | None, bad: Transition) -> None:
    assert fault_of_form(bad) == fault


@pytest.mark.parametrize("case", load("governance", "weak_keys"), ids=lambda case: case["pubkey_hex"])
def test_keys_that_nobody_owns_sign_nothing_and_are_granted_nothing(case: dict[str, Any]) -> None:
    """FIX 34: no switch restores them."""
    assert case["device_id"] in WEAK_KEYS
    assert fault_of_form(changed(signers=(case["device_id"],))) == "SIGNER-FORM"
    assert fault_of_form(changed(variant=Evict(case["device_id"]))) == "TARGET-FORM"


def test_honest_keys_are_not_weak() -> None:
    assert not WEAK_KEYS & set(IDS.values())
    assert len(WEAK_KEYS) == len(load("governance", "weak_keys"))


@pytest.mark.parametrize("case", load("governance", "payload_aliases"), ids=lambda case: case["id"])
def test_what_aliases_need_has_no_good_form(case: dict[str, Any]) -> None:
    for name in "ab":
        assert fault_of_form(changed(variant=variant_of(case[name]))) is not None


def test_the_key_is_the_copy() -> None:
    assert entry_key(changed(at=GOOD.at + 1)) != entry_key(GOOD)
    assert entry_key(entry(RoleGrant(DAVE, "member"), ALICE, CAROL)) != entry_key(GOOD)
