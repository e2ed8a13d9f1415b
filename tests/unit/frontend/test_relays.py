"""What the app says of relays, from what a daemon answers."""

from __future__ import annotations

import pytest

from myownllm.relays import Relay, relays, shown, told


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, None),
        ({}, None),
        ([], ()),
        ([7, {"url": "wss://r", "state": "up", "reason": None}], (Relay("wss://r", "up"),)),
        ([{"url": 7, "reason": {"kind": "tls", "text": ["x"]}}], (Relay("", "", "tls"),)),
    ],
)
def test_rows_of_any_daemon_are_read(value: object, found: tuple[Relay, ...] | None) -> None:
    assert relays(value) == found


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("wss://user:secret@r.example:444/x?token=1", "wss://r.example:444/x"),
        ("", "''"),
        ("ws://h/\x1b[2J", "'ws://h/\\x1b[2J'"),
        ("ws://[", "ws://["),
    ],
)
def test_an_address_is_shown_without_secrets_and_escapes(url: str, text: str) -> None:
    assert shown(url) == text


def test_relay_reason_and_way_out_stand_in_one_line() -> None:
    blocked = Relay("wss://r", "refusing", "blocked", "blocked: no")
    assert blocked.told() == "wss://r is refusing: blocked: no — ask who runs it, or use another relay"
    assert Relay("wss://r", "connecting").told() == "wss://r is connecting: it has not answered yet"
    assert told([blocked] * 5).endswith("; and 2 more")
