"""Ids and short random texts, as the vectors decide them."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol import base32, ids
from myownmesh.protocol.ids import BadDeviceId, BadNetworkId
from support.vectors import load

ALICE = "5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa"
RANDOM = load("peer-protocol", "random_strings")
SHORT = load("topology", "short_id")
PARTS = [(case["input"], case["output"]) for case in load("peer-protocol", "pubkey_part")["cases"]] + [
    (case["id"], case["part"]) for case in load("topology", "pubkey_part")
]
SUFFIXES = load("control-socket", "device_suffix")
NETWORK_IDS = load("control-socket", "network_id")["cases"]


class FixedBytes:
    """A random source that hands out the bytes of a vector."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def randbytes(self, n: int, /) -> bytes:
        taken, self.data = self.data[:n], self.data[n:]
        return taken


@pytest.mark.parametrize(("text", "part"), PARTS)
def test_pubkey_part_cuts_one_display_suffix(text: str, part: str) -> None:
    assert ids.pubkey_part(text) == part


@pytest.mark.parametrize("case", load("peer-protocol", "device_id_validity")["cases"])
def test_a_device_id_has_one_spelling(case: dict[str, Any]) -> None:
    assert ids.is_device_id(case["device_id"]) == case["valid"]


def test_parse_device_id_takes_the_display_form_too() -> None:
    assert ids.parse_device_id(ALICE) == ALICE
    assert ids.parse_device_id(f"{ALICE}-7432D") == ALICE


@pytest.mark.parametrize("text", ["", "bob", f"{ALICE}-7432D-7432D", f"{ALICE}\n", ALICE.upper(), "é" * 52, "\ud800"])
def test_parse_device_id_refuses_everything_else(text: str) -> None:
    with pytest.raises(BadDeviceId) as refused:
        ids.parse_device_id(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 40


@given(st.text())
def test_what_parse_device_id_returns_is_a_device_id(text: str) -> None:
    try:
        assert ids.is_device_id(ids.parse_device_id(text))
    except BadDeviceId:
        assert not ids.is_device_id(ids.pubkey_part(text))


@pytest.mark.parametrize("case", SUFFIXES, ids=lambda case: case["suffix"])
def test_display_id(case: dict[str, str]) -> None:
    assert ids.device_suffix(case["public_id"]) == case["suffix"]
    assert ids.display_id(case["public_id"]) == case["display_id"]
    assert ids.parse_device_id(case["display_id"]) == case["public_id"]


@pytest.mark.parametrize("case", load("peer-protocol", "display_suffix")["cases"], ids=lambda case: case["suffix"])
def test_display_suffix_of_any_text(case: dict[str, str]) -> None:
    text = case["input_utf8"] if "input_utf8" in case else bytes.fromhex(case["input_hex"]).decode()
    assert ids.device_suffix(text) == case["suffix"]


@pytest.mark.parametrize("case", load("peer-protocol", "identities"), ids=lambda case: case["name"])
def test_display_forms_of_known_identities(case: dict[str, str]) -> None:
    assert ids.display_id(case["device_id"]) == case["display_id"]


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case["short"])
def test_short_id(case: dict[str, str]) -> None:
    assert ids.short_id(case["id"]) == case["short"]


@pytest.mark.parametrize("case", NETWORK_IDS, ids=lambda case: ascii(case["input"])[:30])
def test_normalize_network_id(case: dict[str, str]) -> None:
    if case["input"] == "\u212aelvin":
        # Spec 01 §2.4: where a lower-cased Kelvin sign would join somebody's network, ours refuses.
        with pytest.raises(BadNetworkId, match="contains '\u212a'"):
            ids.normalize_network_id(case["input"])
    elif "error" in case:
        with pytest.raises(BadNetworkId) as refused:
            ids.normalize_network_id(case["input"])
        assert f"identity: {refused.value}" == case["error"]
    else:
        assert ids.normalize_network_id(case["input"]) == case["output"]


@pytest.mark.parametrize(
    "case", load("signaling", "network_id_normalisation")["cases"], ids=lambda case: ascii(case["in"])[:30]
)
def test_normalize_network_id_for_rooms(case: dict[str, Any]) -> None:
    if "error" in case.get("ours", case):
        with pytest.raises(BadNetworkId):
            ids.normalize_network_id(case["in"])
    else:
        assert ids.normalize_network_id(case["in"]) == case["out"]


@pytest.mark.parametrize("case", RANDOM["network_id"]["normalize"], ids=lambda case: ascii(case["input"])[:30])
def test_normalize_network_id_of_the_peer_protocol(case: dict[str, str]) -> None:
    if "error" in case:
        with pytest.raises(BadNetworkId):
            ids.normalize_network_id(case["input"])
    else:
        assert ids.normalize_network_id(case["input"]) == case["output"]


@given(st.text(max_size=80))
def test_a_normalized_network_id_is_normal(text: str) -> None:
    try:
        network_id = ids.normalize_network_id(text)
    except BadNetworkId:
        return
    assert ids.normalize_network_id(network_id) == network_id
    assert network_id.isascii()
    assert 3 <= len(network_id) <= 64


@pytest.mark.parametrize("case", RANDOM["verification_code"]["from_bytes"], ids=lambda case: case["code"])
def test_random_code(case: dict[str, str]) -> None:
    assert ids.random_code(FixedBytes(bytes.fromhex(case["bytes_hex"]))) == case["code"]


def test_random_texts_have_their_lengths() -> None:
    network = RANDOM["network_id"]["from_bytes"][0]
    assert ids.generate_network_id(FixedBytes(bytes.fromhex(network["bytes_hex"]))) == network["network_id"]
    nonce = RANDOM["nonce"]
    assert ids.random_nonce(FixedBytes(bytes.fromhex(nonce["example_bytes_hex"]))) == nonce["example"]
    request = RANDOM["request_id"]
    assert base32.encode(bytes.fromhex(request["example_bytes_hex"])) == request["example"]


def test_request_ids_spell_twelve_random_bytes_each() -> None:
    drawn = ids.random_request_ids(random.Random(7), 2000)
    spelled = [base32.decode(text, ids.REQUEST_ID_BYTES) for text in drawn]
    assert [base32.encode(data) for data in spelled] == drawn
    assert len(set(drawn)) == 2000
    for bit in range(8 * ids.REQUEST_ID_BYTES):
        ones = sum(data[bit // 8] >> bit % 8 & 1 for data in spelled)
        assert 850 < ones < 1150, f"bit {bit} is set in {ones} of 2000"


@given(st.integers())
def test_generated_texts_pass_their_own_checks(seed: int) -> None:
    rng = random.Random(seed)
    network_id = ids.generate_network_id(rng)
    assert ids.normalize_network_id(network_id) == network_id
    assert re.fullmatch("[a-z0-9]{6}", ids.random_code(rng))
