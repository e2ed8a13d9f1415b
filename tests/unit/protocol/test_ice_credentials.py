"""Which generation a description is of (spec 04 §5.10)."""

from __future__ import annotations

import pytest

from myownmesh.protocol.ice_credentials import ice_ufrag


@pytest.mark.parametrize(
    ("sdp", "ufrag"),
    [
        ("v=0\r\nm=application 9\r\na=ice-ufrag:abcd\r\na=ice-pwd:x\r\n", "abcd"),
        ("v=0\nm=video 9\na=ice-ufrag:one \nm=audio 9\na=ice-ufrag:two\n", "one"),
        ("v=0\r\n", None),
        ("", None),
    ],
)
def test_the_first_one_counts(sdp: str, ufrag: str | None) -> None:
    assert ice_ufrag(sdp) == ufrag
