"""Signatures: which count, how they are remembered, how ours are marked."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from myownmesh.governance import marking
from myownmesh.governance import signatures as module
from myownmesh.governance.entries import fault_of_form
from myownmesh.governance.marking import is_marked, sign_marked
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity import verify
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, RoleGrant, Transition
from support.governance import ALICE, BOB, DAVE, DEVICES, entry, variant_of
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.governance.signatures import Slices


@pytest.mark.parametrize("case", load("governance", "signature_acceptance"), ids=lambda case: case["id"])
def test_acceptance(case: dict[str, Any]) -> None:
    """Spellings that v0.3.8 takes beside the canonical one are refused by form, and no switch restores them (FIX 8,
    34); the display form decodes, and carries no authority there either."""
    variant = variant_of(case["variant"])
    signed = Transition(0, variant, (case["signer"],), (case["signature"],))
    good = fault_of_form(signed) is None and Checks(case["network_id"]).is_good(signed)
    assert good == (case["id"] == "canonical")
    if case["expect"] != "valid":
        assert not Checks(case["network_id"]).signed(
            case["signer"], signed_bytes(case["network_id"], variant), case["signature"]
        )


def test_a_good_signature_is_checked_once_and_a_bad_one_each_time() -> None:
    checks = Checks("fleet-1")
    good = entry(Evict(DAVE), ALICE, BOB)
    assert checks.is_good(good)
    assert checks.count == 2
    assert checks.is_good(msgspec.structs.replace(good, at=7))
    assert checks.count == 2
    bad = msgspec.structs.replace(good, variant=RoleGrant(DAVE, "owner"))
    assert not checks.is_good(bad)
    assert not checks.is_good(bad)
    assert checks.count == 4
    assert not Checks("fleet-2").is_good(good)


def test_memory_of_good_signatures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    checks = Checks("fleet-1")
    first, *others = (entry(Evict(target), ALICE) for target in (BOB, DAVE, ALICE))
    for each in (first, *others):
        assert checks.is_good(each)
    assert checks.is_good(others[1])
    assert checks.count == 3
    assert checks.is_good(first)
    assert checks.count == 4


def test_sliced_work_is_done_at_once() -> None:
    def work() -> Slices[str]:
        yield
        yield
        return "done"

    assert finish(work()) == "done"


@pytest.mark.heavy
def test_marked_signatures_verify_and_the_rng_decides(seeded: random.Random) -> None:
    """Each takes a tenth of a second; which one it is follows from the rng, so that a run can be repeated."""
    alice, payload = DEVICES["alice"], b"what is signed"
    first = sign_marked(alice, payload, seeded)
    raw = base32.decode(first, 64)
    assert verify(ALICE, payload, raw)
    assert is_marked(raw)
    assert raw != alice.sign(payload)
    assert sign_marked(alice, payload, random.Random(15)) == first
    assert sign_marked(alice, payload, random.Random(16)) != first


@pytest.mark.parametrize("drawn", [bytes(32), b"\xff" * 32])
def test_a_bad_rng_repeats_a_signature_and_gives_no_key_away(drawn: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nonce comes from the secret key as well: of another payload it is another one."""
    monkeypatch.setattr(marking, "is_marked", lambda _: True)

    class Stuck:
        def randbytes(self, n: int, /) -> bytes:
            return drawn[:n]

    one, other = (base32.decode(sign_marked(DEVICES["alice"], text, Stuck()), 64) for text in (b"one", b"other"))
    assert one[:32] != other[:32]
    assert verify(ALICE, b"one", one)


def test_signatures_of_v038_are_unmarked() -> None:
    signatures = [case["signature"] for case in load("governance", "payloads") if "signature" in case]
    assert signatures
    assert not any(is_marked(base32.decode(signature, 64)) for signature in signatures)
