"""What is signed, byte for byte as v0.3.8 signs it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from myownmesh.governance.signed_bytes import content_digest, denied_bytes, founding_digest, signed_bytes
from myownmesh.identity import verify
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import KindChange
from support.governance import ALICE, DEVICES, variant_of
from support.vectors import load


@pytest.mark.parametrize("case", load("governance", "payloads"), ids=lambda case: case["id"])
def test_payloads(case: dict[str, Any]) -> None:
    payload = signed_bytes(case["network_id"], variant_of(case["variant"]))
    assert payload.decode() == case["payload_utf8"]
    if "signature" in case:
        assert base32.encode(DEVICES[case["signer"]].sign(payload)) == case["signature"]


@pytest.mark.parametrize("case", load("governance", "payload_aliases"), ids=lambda case: case["id"])
def test_texts_that_mean_the_same_bytes(case: dict[str, Any]) -> None:
    """The weakness itself stays in the wire's bytes; `fault_of_form` refuses every id that it needs (FIX 38)."""
    a, b = (signed_bytes("fleet-1", variant_of(case[name])) for name in "ab")
    assert (a == b) == case["same_payload"]


@pytest.mark.parametrize("case", load("governance", "deny_payloads"), ids=lambda case: case["id"])
def test_denials(case: dict[str, Any]) -> None:
    payload = denied_bytes(case["network_id"], case["proposal_id"], case["signer"])
    assert payload.decode() == case["payload_utf8"]
    assert verify(case["signer"], payload, base32.decode(case["signature"], 64))


def test_digests_are_hashes_of_the_signed_bytes() -> None:
    close = KindChange("closed")
    payload = signed_bytes("fleet-1", close)
    assert content_digest("fleet-1", close) == base32.encode(sha256(payload).digest())
    assert founding_digest("fleet-1", close, ALICE) == sha256(payload + b"|" + ALICE.encode()).digest()
