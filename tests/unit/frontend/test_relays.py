"""What the app says of relays, from what a daemon answers."""

from __future__ import annotations

import pytest

from mesh_common.views import RelayRow, RelayTrouble
from myownllm.relays import shown, told, troubled


def row(state: str, reason: RelayTrouble | None = None) -> RelayRow:
    return RelayRow("wss://r", public=False, state=state, since_ms=0, reason=reason)


def test_of_a_daemon_that_does_not_tell_no_relay_is_in_trouble() -> None:
    assert troubled(None) == ()
    assert troubled([row("up"), row("down")]) == (row("down"),)


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
    blocked = row("refusing", RelayTrouble("blocked", "blocked: no"))
    assert told([blocked]) == "wss://r is refusing: blocked: no — ask who runs it, or use another relay"
    assert told([row("connecting")]) == "wss://r is connecting: it has not answered yet"
    assert told([blocked] * 5).endswith("; and 2 more")
