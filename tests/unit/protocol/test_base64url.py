"""Base64 of links: one spelling for every value (RFC 4648 §5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol import base64url


@given(st.binary(max_size=80))
def test_what_is_written_is_read_back_in_one_spelling(data: bytes) -> None:
    text = base64url.encode(data)
    assert base64url.decode(text) == data
    for other in (text + "=", text + "\n", " " + text):
        with pytest.raises(ValueError, match="base64url"):
            base64url.decode(other)


@pytest.mark.parametrize("text", ["A", "AB", "AAB", "+/==", "é", "AAAAA"])
def test_what_nobody_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)
