"""Keys that no device can own (spec 02 FIX 34): the ids of the vectors, and nobody's else."""

from __future__ import annotations

from myownmesh.identity import Identity
from myownmesh.identity.keys import SIGNATURE_BYTES, verify_with
from myownmesh.identity.weak_keys import WEAK_KEYS
from myownmesh.protocol import base32
from support.vectors import load


def test_the_weak_keys_are_those_of_the_vectors() -> None:
    assert {case["device_id"] for case in load("governance", "weak_keys")} == WEAK_KEYS
    assert Identity.from_seed(bytes(32)).device_id not in WEAK_KEYS


def test_a_weak_key_signs_nothing_and_a_short_signature_is_none() -> None:
    for key in WEAK_KEYS:
        public = base32.decode(key, 32)
        assert not verify_with(public, b"text", public + bytes(32))
    me = Identity.from_seed(bytes(32))
    signature = me.sign(b"text")
    public = base32.decode(me.device_id, 32)
    assert verify_with(public, b"text", signature)
    assert not verify_with(public, b"text", signature[: SIGNATURE_BYTES - 1])
