"""Which message opens the data channel."""

from __future__ import annotations

import pytest

from myownmesh.transport.sctp_opening import ACK, OPEN, opens_ours


def test_ours_is_what_rfc_8832_says() -> None:
    assert OPEN.hex() == "030001000000000000090000" + b"myownmesh".hex()
    assert opens_ours(OPEN)
    assert opens_ours(OPEN + b"a protocol")


@pytest.mark.parametrize(
    "message",
    [ACK, *(OPEN[:size] for size in range(1, len(OPEN))), OPEN.replace(b"mesh", b"wire"), b"\x02" + OPEN[1:]],
    ids=bytes.hex,
)
def test_nothing_else_is(message: bytes) -> None:
    assert not opens_ours(message)
