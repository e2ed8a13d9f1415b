"""The proof in `auth_response`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from myownmesh.identity import Identity, handshake_payload, sign_handshake, verify_handshake
from support.vectors import load

VECTORS = load("peer-protocol", "handshake")
PEOPLE = VECTORS["participants"]
SEEDS = {case["name"]: bytes.fromhex(case["seed_hex"]) for case in load("peer-protocol", "identities")}
RESPONSES = VECTORS["auth_responses"]
TRANSCRIPTS = load("peer-protocol", "transcripts")["cases"]


@pytest.mark.parametrize("case", VECTORS["simple_payloads"], ids=lambda case: case["payload_utf8"])
def test_payload(case: dict[str, str]) -> None:
    payload = handshake_payload(case["nonce"], case["signer"], case["verifier"], case["binding"])
    assert payload == case["payload_utf8"].encode()
    assert payload.startswith(VECTORS["domain_tag"].encode())


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case["from"])
def test_worked_example(case: dict[str, str]) -> None:
    signer, verifier = PEOPLE[case["from"]], PEOPLE[case["to"]]
    identity = Identity.from_seed(SEEDS[case["from"]])
    nonce, binding = verifier["nonce_in_hello"], signer["own_certificate_binding"]
    assert handshake_payload(nonce, identity.device_id, verifier["device_id"], binding).hex() == case["payload_hex"]
    assert sign_handshake(identity, nonce, verifier["device_id"], binding) == case["signature"]
    assert verify_handshake(nonce, signer["device_id"], verifier["device_id"], binding, case["signature"])


def test_display_forms_sign_the_same_bytes() -> None:
    alice, bob = PEOPLE["alice"]["device_id"], PEOPLE["bob"]["device_id"]
    assert handshake_payload("n", f"{alice}-7432D", f"{bob}-FE85D", "b") == handshake_payload("n", alice, bob, "b")


@pytest.mark.parametrize("changed", ["nonce", "signer", "verifier", "binding", "signature"])
def test_nothing_of_it_can_be_changed(changed: str) -> None:
    good = {
        "nonce": PEOPLE["bob"]["nonce_in_hello"],
        "signer": PEOPLE["alice"]["device_id"],
        "verifier": PEOPLE["bob"]["device_id"],
        "binding": PEOPLE["alice"]["own_certificate_binding"],
        "signature": RESPONSES[0]["signature"],
    }
    other = {
        "nonce": PEOPLE["alice"]["nonce_in_hello"],
        "signer": PEOPLE["bob"]["device_id"],
        "verifier": PEOPLE["alice"]["device_id"],
        "binding": PEOPLE["bob"]["own_certificate_binding"],
        "signature": RESPONSES[1]["signature"],
    }
    assert verify_handshake(**good)
    assert not verify_handshake(**good | {changed: other[changed]})


def test_a_reflected_signature_proves_nothing() -> None:
    alice, bob = PEOPLE["alice"], PEOPLE["bob"]
    binding = alice["own_certificate_binding"]
    mirrored = RESPONSES[0]["signature"]
    assert not verify_handshake(bob["nonce_in_hello"], bob["device_id"], alice["device_id"], binding, mirrored)


@pytest.mark.parametrize("signature", ["", "a" * 102, "a" * 103, "a" * 102 + "b", "ſ" * 103, "-" * 103])
def test_an_unreadable_signature_is_a_failed_check(signature: str) -> None:
    alice, bob = PEOPLE["alice"]["device_id"], PEOPLE["bob"]["device_id"]
    assert not verify_handshake("n", alice, bob, "b", signature)


@pytest.mark.parametrize("case", TRANSCRIPTS, ids=lambda case: case["offerer"])
def test_recorded_handshakes_verify_in_both_directions(case: dict[str, Any]) -> None:
    spoken = [(frame["from"], json.loads(frame["text"])) for frame in case["frames"]]
    nonces = {speaker: frame["nonce"] for speaker, frame in reversed(spoken) if frame["kind"] == "hello"}
    proofs = [(speaker, frame["signature"]) for speaker, frame in spoken if frame["kind"] == "auth_response"]
    assert len(proofs) >= 2
    for speaker, signature in proofs:
        signer, verifier = case[speaker], case["probe" if speaker == "daemon" else "daemon"]
        nonce = nonces["probe" if speaker == "daemon" else "daemon"]
        assert verify_handshake(nonce, signer["device_id"], verifier["device_id"], signer["binding"], signature)
