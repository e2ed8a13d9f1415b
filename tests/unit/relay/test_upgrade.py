"""The request with which a client asks for a WebSocket."""

from __future__ import annotations

import pytest

from myownmesh.relay.upgrade import NoUpgrade, begins_well, read_upgrade

DATE = b"Tue, 15 Nov 1994 08:12:31 GMT"
GOOD = (
    b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
)


def test_the_answer_is_that_of_the_rfc() -> None:
    upgrade = read_upgrade(GOOD, DATE)
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" in upgrade.answer
    assert upgrade.answer.startswith(b"HTTP/1.1 101 ")
    assert upgrade.answer.count(b"\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n") == 1
    assert upgrade.forwarded_for == ()


def test_what_is_no_request_is_seen_from_its_first_bytes() -> None:
    assert all(begins_well(GOOD[:count]) for count in range(1, 9))
    assert not begins_well(b"\x16\x03\x01")
    assert not begins_well(b"POST")


def test_names_have_no_case_and_what_else_is_wanted_is_not_given() -> None:
    request = GOOD.replace(b"Upgrade: websocket", b"UPGRADE:  h2c, WebSocket").replace(
        b"Connection: Upgrade", b"connection: keep-alive, upgrade"
    )
    extras = b"\r\nSec-WebSocket-Protocol: nostr\r\nSec-WebSocket-Extensions: \xff;;=,\r\nOrigin: https://x"
    assert read_upgrade(request + extras, DATE).answer == read_upgrade(GOOD, DATE).answer


def test_a_long_request_is_read_like_a_short_one() -> None:
    assert read_upgrade(GOOD + b"\r\nCookie: " + b"x" * 1000, DATE) == read_upgrade(GOOD, DATE)


def test_the_key_may_stand_anywhere_and_another_one_has_another_answer() -> None:
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    last = GOOD.replace(key + b"\r\n", b"") + b"\r\n" + key.replace(b"Sec-WebSocket-Key", b"sec-websocket-KEY") + b" \t"
    assert read_upgrade(last, DATE) == read_upgrade(GOOD, DATE)
    other = GOOD.replace(b"dGhlIHNhbXBsZSBub25jZQ", b"eGhlIHNhbXBsZSBub25jZQ")
    assert read_upgrade(other, DATE).answer != read_upgrade(GOOD, DATE).answer


def test_forwarded_addresses_are_told_line_by_line() -> None:
    request = GOOD + b"\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nx-forwarded-for: 192.0.2.3\xff"
    assert read_upgrade(request, DATE).forwarded_for == ("192.0.2.1, 192.0.2.2", "192.0.2.3\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET /chat", b"POST /chat"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/chat", b"/ch at"),
        (b"Host: server.example.com\r\n", b""),
        (b"Host: server.example.com", b"Host: a\r\nHost: b"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"Version: 13", b"Version: 12"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZQ=="),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"no base 64 at all"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQ==\n"),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: "),
        (b"\r\nSec-WebSocket-Version", b"\r\n Sec-WebSocket-Version"),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version"),
    ],
)
def test_anything_else_is_none(old: bytes, new: bytes) -> None:
    with pytest.raises(NoUpgrade):
        read_upgrade(GOOD.replace(old, new), DATE)
