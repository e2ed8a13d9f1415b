"""Which certificate a handshake speaks for."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.protocol.binding import agreed_binding, certificate_binding, first_fingerprint
from support.vectors import load

VECTORS = load("peer-protocol", "sdp_fingerprint")
HEX = ":".join(["aa"] * 32)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["note"])
def test_first_fingerprint(case: dict[str, Any]) -> None:
    assert first_fingerprint(case["sdp"]) == case["binding"]


def test_binding_of_a_certificate() -> None:
    case = VECTORS["from_certificate"]
    assert certificate_binding(bytes.fromhex(case["der_hex"])) == case["binding"]


@pytest.mark.parametrize("case", VECTORS["presented"]["cases"], ids=lambda case: case["note"])
def test_the_description_must_agree_with_the_presented_certificate(case: dict[str, Any]) -> None:
    expected = case["presented"] if case["accept"] else None
    assert agreed_binding(case["sdp"], case["presented"]) == expected


@pytest.mark.parametrize("presented", [None, "", f"sha-384 {HEX}", f"sha-256 {HEX.upper()}", "sha-256 aa:aa"])
def test_nothing_but_a_whole_sha_256_is_a_binding(presented: str | None) -> None:
    assert agreed_binding(f"v=0\r\na=fingerprint:{presented}\r\n", presented) is None


def test_only_the_first_line_of_a_section_counts() -> None:
    sdp = f"v=0\nm=application 9 X\na=fingerprint:sha-256 {HEX}\na=fingerprint:sha-256 bb\nm=audio 9 X\n"
    assert agreed_binding(sdp, f"sha-256 {HEX}") == f"sha-256 {HEX}"
