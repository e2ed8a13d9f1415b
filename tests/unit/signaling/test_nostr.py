"""Events: the bytes that are hashed, the signature, and what is no event."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.strict_json import compact_json, dumps, proven
from myownmesh.signaling.nostr import (
    NostrEvent,
    NostrKey,
    decode_event,
    decode_shortest,
    event_id,
    has_right_id,
    is_ephemeral,
    is_genuine,
)
from support.vectors import load

EVENTS = load("signaling", "nostr_events")["events"]
ABOUT = load("signaling", "about")["fixed_inputs"]
SECRETS = {
    ABOUT[name]["pubkey_xonly_hex"]: ABOUT[name]["secret_hex"]
    for name in ("nostr_key_A", "nostr_key_B", "nostr_key_relay")
}
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
VALID = EVENTS[0]["event"]


@pytest.mark.parametrize("case", EVENTS, ids=lambda case: case["name"])
def test_events_hash_and_sign_as_the_reference_does(case: dict[str, Any]) -> None:
    event = decode_event(dumps(case["event"]))
    preimage = [0, event.pubkey, event.created_at, event.kind, event.tags, event.content]
    assert compact_json(preimage) == case["id_preimage"]
    assert is_genuine(event)
    key = NostrKey(bytes.fromhex(SECRETS[event.pubkey]))
    assert key.sign(created_at=event.created_at, kind=event.kind, tags=event.tags, content=event.content) == event


@pytest.mark.parametrize("case", load("signaling", "nostr_verify")["cases"], ids=lambda case: case["case"])
def test_verification(case: dict[str, Any]) -> None:
    assert is_genuine(decode_event(dumps(case["event"]))) is case["valid"]


@given(st.integers(0, 2**40), st.integers(0, 65535), st.lists(st.lists(TEXT, max_size=3), max_size=4), TEXT)
def test_what_a_key_signs_survives_the_wire(created_at: int, kind: int, tags: list[list[str]], content: str) -> None:
    key = NostrKey.generate(random.Random(1))
    event = key.sign(created_at=created_at, kind=kind, tags=tuple(map(tuple, tags)), content=content)
    assert decode_event(proven(event.json().encode())) == event
    assert is_genuine(event)


def test_every_character_is_escaped_as_ids_need_it() -> None:
    everything = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x10000), 0x10FFFF)))
    event = NostrEvent("i", "p", 1, 2, (("r", everything),), everything, "s")
    members = {"content": everything, "created_at": 1, "id": "i", "kind": 2, "pubkey": "p", "sig": "s"}
    assert event.json() == compact_json(members | {"tags": [["r", everything]]})
    hashed = compact_json([0, "p", 1, 2, [["r", everything]], everything]).encode()
    assert event_id("p", 1, 2, (("r", everything),), everything) == hashlib.sha256(hashed).hexdigest()


@given(st.integers(0, 127), st.integers(0, 15))
def test_no_other_signature_passes(position: int, digit: int) -> None:
    sig = VALID["sig"]
    forged = sig[:position] + f"{digit:x}" + sig[position + 1 :]
    assert is_genuine(decode_event(dumps({**VALID, "sig": forged}))) is (forged == sig)


@pytest.mark.parametrize(
    "replace",
    [
        {"id": None},
        {"sig": 5},
        {"created_at": -1},
        {"created_at": 1e9},
        {"created_at": True},
        {"created_at": 2**64},
        {"kind": 65536},
        {"kind": -1},
        {"kind": "1077"},
        {"tags": {}},
        {"tags": [["r", 1]]},
        {"tags": ["r"]},
        {"content": {}},
    ],
)
def test_wrong_types_are_no_event(replace: dict[str, object]) -> None:
    with pytest.raises(JsonError):
        decode_event(dumps({**VALID, **replace}))


@pytest.mark.parametrize("name", list(VALID))
def test_every_member_is_needed_and_may_come_once(name: str) -> None:
    with pytest.raises(JsonError, match=f"missing field `{name}`"):
        decode_event(dumps({key: value for key, value in VALID.items() if key != name}))
    twice = compact_json(VALID)[:-1] + f",{compact_json({name: VALID[name]})[1:]}"
    with pytest.raises(JsonError, match=f"duplicate field `{name}`"):
        decode_event(proven(twice.encode()))


@pytest.mark.parametrize(("name", "spelling"), [("created_at", "-0"), ("kind", "-0"), ("kind", "1e3")])
def test_numbers_that_are_no_integers_to_the_reference(name: str, spelling: str) -> None:
    text = compact_json({**VALID, name: 0}).replace(f'"{name}":0', f'"{name}":{spelling}')
    with pytest.raises(JsonError, match="floating point"):
        decode_event(proven(text.encode()))


def test_order_and_spelling_do_not_matter() -> None:
    event = decode_event(dumps(VALID))
    assert decode_event(dumps(dict(reversed(VALID.items())))) == event
    assert decode_event(proven(json.dumps(VALID, indent=1).encode())) == event


@pytest.mark.parametrize(
    ("written", "other"),
    [
        (b"{", b"{ "),
        (b'"sig":', b'"x":[1e999],"sig":'),
        (b'"id":', b'"id":"x","id":'),
        (b'"created_at":', b'"created_at":-'),
        (b'"content":"', b'"content":"\\u0041'),
        (b'"content":"', b'"content":"\xff'),
        (b'"sig":', b'"x":7,"sig":'),
    ],
)
def test_what_has_a_character_to_spare_is_not_proven_by_its_length(written: bytes, other: bytes) -> None:
    text = compact_json(VALID | {"created_at": 0}).encode()
    assert decode_shortest(text) == decode_event(Raw(text))
    assert decode_shortest(text.replace(written, other, 1)) is None


@pytest.mark.parametrize("value", [None, 1, "x", [], [VALID]])
def test_only_objects_are_events(value: object) -> None:
    with pytest.raises(JsonError):
        decode_event(dumps(value))


def test_unknown_members_are_ignored() -> None:
    assert decode_event(dumps({**VALID, "extra": 1})) == decode_event(dumps(VALID))


def test_a_lone_surrogate_has_no_id() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        event_id(VALID["pubkey"], 0, 1, (), "\ud800")


def test_the_id_covers_everything_but_the_signature() -> None:
    event = decode_event(dumps({**VALID, "sig": "00" * 64}))
    assert has_right_id(event)
    assert not is_genuine(event)


@pytest.mark.parametrize("pubkey", ["", "zz" * 32, "ff" * 32, "00" * 32, " " + VALID["pubkey"][1:]])
def test_a_pubkey_off_the_curve_signs_nothing(pubkey: str) -> None:
    identifier = event_id(pubkey, 1, 1, (), "")
    event = decode_event(
        dumps(
            {
                "id": identifier,
                "pubkey": pubkey,
                "created_at": 1,
                "kind": 1,
                "tags": [],
                "content": "",
                "sig": "00" * 64,
            }
        )
    )
    assert not is_genuine(event)


def test_impossible_secrets_are_skipped() -> None:
    class Sequence:
        def __init__(self) -> None:
            self.values = [bytes(32), b"\xff" * 32, b"\x01" * 32]

        def randbytes(self, n: int, /) -> bytes:
            return self.values.pop(0)[:n]

    assert NostrKey.generate(Sequence()).pubkey == ABOUT["nostr_key_A"]["pubkey_xonly_hex"]


@pytest.mark.parametrize("case", load("signaling", "relay_server")["stored_kind"])
def test_kinds_that_relays_store(case: dict[str, Any]) -> None:
    assert is_ephemeral(case["kind"]) is not case["stored"]
