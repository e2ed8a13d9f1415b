"""Tokens, their ids and macs against the vectors (spec 11 §1.2, §1.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.invitations.tokens import Meeting, id_of, mac_of, proves, read_token, token_text
from support.vectors import load

CASES = load("sealing", "invite")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_tokens(case: dict[str, Any]) -> None:
    token = bytes.fromhex(case["token_bytes"])
    assert (token_text(token), read_token(case["token"]), id_of(token)) == (case["token"], token, case["id"])
    meeting = Meeting(case["room"], case["joiner"], case["inviter"], case["joiner_binding"])
    assert mac_of(token, meeting) == case["mac"]
    assert proves(token, meeting, case["mac"])


@pytest.mark.parametrize(
    "text", ["", "aaaqeayeaudaocajbifqydiob", "aaaqeayeaudaocajbifqydiob5", "AAAQEAYEAUDAOCAJBIFQYDIOB4"]
)
def test_texts_that_are_no_token(text: str) -> None:
    with pytest.raises(ValueError, match=r"base32|lower case"):
        read_token(text)


@given(st.sampled_from(["room", "joiner", "inviter", "joiner_binding"]), st.text(max_size=8), st.binary(max_size=16))
def test_a_mac_counts_for_its_meeting_and_token_only(member: str, text: str, other: bytes) -> None:
    case = CASES[0]
    token = bytes.fromhex(case["token_bytes"])
    meeting = Meeting(case["room"], case["joiner"], case["inviter"], case["joiner_binding"])
    elsewhere = replace(meeting, **{member: text})
    assert not proves(token, elsewhere, case["mac"])
    assert not proves(other.ljust(16, b"x"), meeting, case["mac"])
    assert not proves(token, meeting, text)
