"""Sealed texts against the vectors, and that one opens only under exactly its way (spec 11 §2.2)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.identity import Identity
from myownmesh.protocol import base32, base64url
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import Candidate
from myownmesh.sealing import keys
from myownmesh.sealing.box import MAX_SEALED_CHARACTERS, Pair, Way, opened, seal
from myownmesh.sealing.contents import STEP_BYTES, SealedAnswer, SealedOffer, padded, parsed
from support.vectors import load

A, B, C = (Identity.from_seed(bytes([each]) * 32) for each in (7, 8, 9))
CONTENTS = {"offer": SealedOffer, "answer": SealedAnswer, "candidate": Candidate}
ROOM = "fb5600cd865da754c5cba246a45166327d63336d871dbb81c10d8d957f9615de"


def pair(ours: Identity, theirs: Identity | str) -> Pair:
    theirs_id = theirs if isinstance(theirs, str) else theirs.device_id
    own, other = keys.public_of(ours.device_id), keys.public_of(theirs_id)
    assert own is not None
    assert other is not None
    return Pair(keys.secret_of(ours.seed), own, other)


@pytest.mark.parametrize("case", load("sealing", "seal"), ids=lambda case: case["note"])
def test_sealed_texts(case: dict[str, Any]) -> None:
    sender, receiver = (Identity.from_seed(bytes.fromhex(case[f"{who}_seed"])) for who in ("sender", "receiver"))
    way = Way(case["room"], case["from"], case["to"], case["kind"], case["offer_id"])
    mine = pair(sender, receiver)
    assert (mine.secret.hex(), mine.ours.hex(), mine.theirs.hex()) == (
        case["sender_x25519_secret"],
        case["S"],
        case["R"],
    )
    assert way.associated_data.decode() == case["ad"]
    content = CONTENTS[case["kind"]](**case["content"])
    plaintext = case["plaintext"].encode()
    assert padded(content) == plaintext
    assert seal(mine, way, plaintext, bytes.fromhex(case["epk_secret"])) == case["eseal"]
    text = opened(pair(receiver, sender), way, case["eseal"])
    assert text == plaintext
    assert parsed(CONTENTS[case["kind"]], text) == content


@pytest.mark.parametrize("case", load("sealing", "must_fail"), ids=lambda case: case["note"])
def test_texts_that_must_not_open(case: dict[str, Any]) -> None:
    receiver = Identity.from_seed(bytes.fromhex(case["receiver_seed"]))
    way = Way(case["room"], case["from"], case["to"], case["kind"], case["offer_id"])
    assert opened(pair(receiver, case["from"]), way, case["eseal"]) is None


@pytest.mark.parametrize("case", load("sealing", "ids_that_do_not_seal"), ids=lambda case: case["note"])
def test_ids_that_do_not_seal(case: dict[str, Any]) -> None:
    assert base32.encode(bytes.fromhex(case["key"])) == case["id"]
    assert keys.public_of(case["id"]) is None


WAYS = st.fixed_dictionaries(
    {
        "room": st.sampled_from([ROOM, ROOM[::-1]]),
        "sender": st.sampled_from([A.device_id, C.device_id]),
        "receiver": st.sampled_from([B.device_id, C.device_id]),
        "kind": st.sampled_from(["offer", "answer", "candidate"]),
        "offer_id": st.integers(0, 2).map(lambda n: new_offer_id(A.device_id, B.device_id, Random(n))),
    }
)


@given(WAYS, WAYS, st.binary(max_size=600), st.integers(0, 2**32))
def test_a_text_opens_under_exactly_its_way(
    made: dict[str, str], taken: dict[str, str], text: bytes, drawn: int
) -> None:
    made = made | {"sender": A.device_id, "receiver": B.device_id}
    sealed = seal(pair(A, B), Way(**made), text, Random(drawn).randbytes(32))
    assert sealed is not None
    expected = text if made == taken else None
    sender = next(each for each in (A, C) if each.device_id == taken["sender"])
    receiver = next(each for each in (B, C) if each.device_id == taken["receiver"])
    if sender is receiver:
        return
    assert opened(pair(receiver, sender), Way(**taken), sealed) == expected


@given(st.integers(0, 2**32), st.integers(0, 4000), st.integers(0, 7))
def test_no_flipped_bit_opens(drawn: int, byte: int, bit: int) -> None:
    way = Way(ROOM, A.device_id, B.device_id, "offer", new_offer_id(A.device_id, B.device_id, Random(1)))
    sealed = seal(pair(A, B), way, b"{}", Random(drawn).randbytes(32))
    assert sealed is not None
    data = bytearray(base64url.decode(sealed))
    data[byte % len(data)] ^= 1 << bit
    assert opened(pair(B, A), way, base64url.encode(bytes(data))) is None


@pytest.mark.parametrize("text", ["", "A", "AAAA", base64url.encode(bytes(40)), "A" * (MAX_SEALED_CHARACTERS + 1), "é"])
def test_rubbish_does_not_open(text: str) -> None:
    way = Way(ROOM, A.device_id, B.device_id, "offer", new_offer_id(A.device_id, B.device_id, Random(1)))
    assert opened(pair(B, A), way, text) is None


@pytest.mark.parametrize("offer_id", ["", "AAAQEAYEAUDAO", "aaaqeayeaudap", "aaaqeayeauda", "aaaqeayeaudao="])
def test_only_a_canonical_offer_id_is_looked_at(offer_id: str) -> None:
    way = Way(ROOM, A.device_id, B.device_id, "offer", offer_id)
    sealed = seal(pair(A, B), way, b"{}", bytes(range(32)))
    assert sealed is not None
    assert opened(pair(B, A), way, sealed) is None


def test_a_key_of_small_order_is_no_agreement() -> None:
    way = Way(ROOM, A.device_id, B.device_id, "offer", "aaaqeayeaudao")
    assert seal(evolve(pair(A, B), theirs=bytes(32)), way, b"{}", bytes(range(32))) is None
    assert opened(evolve(pair(B, A), theirs=bytes(32)), way, "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9_AsrhtHHw" * 2) is None


def test_mirrored_ids_have_one_key_and_are_told_apart() -> None:
    key = bytearray(base32.decode(A.device_id, 32))
    key[31] ^= 0x80
    mirror = base32.encode(bytes(key))
    assert keys.public_of(mirror) == keys.public_of(A.device_id)
    way = Way(ROOM, A.device_id, B.device_id, "offer", "aaaqeayeaudao")
    sealed = seal(pair(A, B), way, b"{}", bytes(range(32)))
    assert sealed is not None
    assert opened(pair(B, mirror), replace(way, sender=mirror), sealed) is None


@given(st.text(max_size=700), st.integers(0, 2**64 - 1))
def test_contents_are_padded_and_read_back(sdp: str, re: int) -> None:
    for content in (SealedOffer(sdp, re), SealedAnswer(sdp), Candidate(sdp, "0", 0, None)):
        text = padded(content)
        assert len(text) % STEP_BYTES == 0
        assert parsed(type(content), text) == content


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b'{"sdp":1,"re":0}', b'{"sdp":"","re":-1}', b'{"sdp":"","re":0}x', b'{"sdp":"\xff","re":0}', b"[]"],
)
def test_contents_that_are_none(text: bytes) -> None:
    assert parsed(SealedOffer, text) is None
