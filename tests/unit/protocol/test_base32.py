"""One spelling per value: base32 without any slack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol import base32
from support.vectors import load

IDENTITIES = load("peer-protocol", "identities")


@pytest.mark.parametrize("case", IDENTITIES, ids=lambda case: case["name"])
def test_spells_seeds_and_keys_like_the_reference(case: dict[str, str]) -> None:
    assert base32.encode(bytes.fromhex(case["seed_hex"])) == case["seed_base32"]
    assert base32.encode(bytes.fromhex(case["public_key_hex"])) == case["device_id"]
    assert base32.decode(case["device_id"], 32).hex() == case["public_key_hex"]


@given(st.binary(max_size=80))
def test_every_value_comes_back(data: bytes) -> None:
    text = base32.encode(data)
    assert base32.decode(text, len(data)) == data
    assert base32.decode(text.upper(), len(data)) == data


@given(st.binary(max_size=80))
def test_only_the_canonical_spelling_where_that_is_asked_for(data: bytes) -> None:
    text = base32.encode(data)
    assert base32.decode(text, len(data), canonical=True) == data
    if text.upper() != text:
        with pytest.raises(ValueError, match="alphabet"):
            base32.decode(text.upper(), len(data), canonical=True)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567=1 ſ", max_size=20), st.integers(0, 12))
def test_accepts_only_what_it_would_write(text: str, nbytes: int) -> None:
    try:
        data = base32.decode(text, nbytes)
    except ValueError:
        return
    assert base32.encode(data) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a4dqobyh", "13 are needed for 8 bytes"),
        ("aaaaaaaaaaaaa=", "13 are needed"),
        ("aaaaaaaaaaaa=", "outside the alphabet"),
        ("aaaaaaaaaaaa1", "outside the alphabet"),
        ("aaaaaaaaaaaaſ", "outside the alphabet"),
        ("aaaaaaaaaaaab", "trailing bits"),
    ],
)
def test_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        base32.decode(text, 8)
