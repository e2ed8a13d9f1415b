"""A seed makes an identity; signatures are checked strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.identity import Identity, verify
from myownmesh.identity.keys import verify_each
from myownmesh.protocol import base32
from myownmesh.protocol.ids import parse_device_id
from support.vectors import load

IDENTITIES = load("peer-protocol", "identities")
HANDSHAKE = load("peer-protocol", "handshake")
SEEDS = {case["name"]: bytes.fromhex(case["seed_hex"]) for case in IDENTITIES}


@pytest.mark.parametrize("case", IDENTITIES, ids=lambda case: case["name"])
def test_the_id_follows_from_the_seed(case: dict[str, str]) -> None:
    identity = Identity.from_seed(bytes.fromhex(case["seed_hex"]), "a label")
    assert identity.device_id == case["device_id"]
    assert identity.label == "a label"
    assert Identity(identity.seed, identity.device_id) == identity.with_label("")


def test_a_foreign_id_is_refused_where_somebody_can_read_it() -> None:
    bob = IDENTITIES[1]["device_id"]
    with pytest.raises(ValueError, match=f"device id {bob} does not belong to this seed, which gives 5jfg"):
        Identity(SEEDS["alice"], bob)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"has 32 bytes, this one has {length}"):
        Identity.from_seed(bytes(length))
    with pytest.raises(ValueError, match=f"has 32 bytes, this one has {length}"):
        Identity(bytes(length), IDENTITIES[0]["device_id"])


def test_the_secret_does_not_show() -> None:
    shown = repr(Identity.from_seed(SEEDS["alice"]))
    assert "5jfgyy" in shown
    assert "seed" not in shown
    assert "secret" not in shown


@pytest.mark.parametrize("case", HANDSHAKE["plain_signatures"], ids=lambda case: case["message_utf8"])
def test_signatures_equal_the_reference(case: dict[str, str]) -> None:
    identity = Identity.from_seed(SEEDS[case["signer"]])
    assert base32.encode(identity.sign(case["message_utf8"].encode())) == case["signature"]


@pytest.mark.parametrize("case", HANDSHAKE["verify"], ids=lambda case: case["case"])
def test_verify_vectors(case: dict[str, Any]) -> None:
    try:
        signature = base32.decode(case["signature"], 64)
    except ValueError:
        assert case["expect"] == "error"
        return
    # "error" is undecodable input: for us one of the failed checks.
    assert verify(case["device_id"], case["message_utf8"].encode(), signature) == (case["expect"] is True)


@given(st.binary(max_size=100), st.integers(0, 511))
def test_one_flipped_bit_is_noticed(payload: bytes, bit: int) -> None:
    identity = Identity.from_seed(SEEDS["count"])
    signature = bytearray(identity.sign(payload))
    assert verify(identity.device_id, payload, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(identity.device_id, payload, bytes(signature))


@given(st.text(max_size=60), st.binary(max_size=80))
def test_what_cannot_be_read_does_not_verify(device_id: str, signature: bytes) -> None:
    assert not verify(device_id, b"payload", signature)


def test_keys_of_small_order_are_refused() -> None:
    # The identity point: with it, a signature of zeros passes every lax check for every message.
    device_id = base32.encode(b"\x01" + bytes(31))
    assert not verify(device_id, b"anything", b"\x01" + bytes(63))


HOW = ["right", "another payload", "another key", "short", "short key"]


@given(st.lists(st.tuples(st.binary(max_size=40), st.sampled_from(HOW))))
def test_many_at_once_are_judged_as_each_alone(said: list[tuple[bytes, str]]) -> None:
    signer, other = (Identity.from_seed(bytes(31) + bytes([n])) for n in (1, 2))
    keys = [base32.decode(parse_device_id(each.device_id), 32) for each in (signer, other)]
    signed = []
    for payload, how in said:
        signature = signer.sign(payload)
        behind = {"another payload": payload + b"!", "short": b""}.get(how, payload)
        key = keys[0][:31] if how == "short key" else keys[how == "another key"]
        signed.append((key, signature[:40] + behind if how == "short" else signature + behind))
    assert verify_each(signed) == [how == "right" for _, how in said]
