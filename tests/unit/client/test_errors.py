"""Texts of daemons as kinds: every text of the vectors, and those that only our daemon says."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_common.client.errors import ErrorKind, refusal, stream_failure
from support.vectors import load

EXPECTED = {
    "unknown network: nope": ErrorKind.UNKNOWN_NETWORK,
    "unknown network 'x' — join it with network_add first": ErrorKind.UNKNOWN_NETWORK,
    "config id 'home' already in use": ErrorKind.ALREADY_JOINED,
    "network id 'home-mesh' already joined under a different config": ErrorKind.ALREADY_JOINED,
    "network joined but config.json save failed: <error>": ErrorKind.NOT_SAVED,
    "network left but config.json save failed: <error>": ErrorKind.NOT_SAVED,
    "config applied but config.json save failed: <error>": ErrorKind.NOT_SAVED,
    "network updated but config.json save failed: <error>": ErrorKind.NOT_SAVED,
    "unknown client_id: c9": ErrorKind.UNKNOWN_CLIENT,
    "peer peer not found: KEY not in active set": ErrorKind.UNKNOWN_PEER,
    "peer KEY not found in active set": ErrorKind.UNKNOWN_PEER,
    "network: peer not found: KEY": ErrorKind.UNKNOWN_PEER,
    "network: peer not connected: KEY": ErrorKind.UNKNOWN_PEER,
    "network: connect KEY: Denied": ErrorKind.NOT_ADMITTED,
    "transport: reliable send to KEY abandoned: Denied": ErrorKind.NOT_ADMITTED,
    "transport: session not yet established": ErrorKind.UNREACHABLE,
    "transport: data channel not open": ErrorKind.UNREACHABLE,
    "transport: network: no route to KEY: not directly connected and the topology names no next hop": (
        ErrorKind.UNREACHABLE
    ),
    "transport: no video lane 9": ErrorKind.UNREACHABLE,
    "transport: no audio lane 9": ErrorKind.UNREACHABLE,
    "transport: all 8 media lanes are open (device ceiling)": ErrorKind.UNREACHABLE,
    "transport: peer send timed out": ErrorKind.TIMEOUT,
    "network: connect to KEY still pending after 5s (the dial keeps going)": ErrorKind.TIMEOUT,
    "network: connect to KEY still pending after 250ms (the dial keeps going; the pin stays armed)": ErrorKind.TIMEOUT,
    "transport: reliable send to KEY expired before delivery": ErrorKind.TIMEOUT,
    "transport: reliable outbox for KEY is full (256 frames pending)": ErrorKind.BUSY,
    "transport: frame of 70045 bytes exceeds the 65535-byte limit": ErrorKind.TOO_LARGE,
    "transport: data channel send: outbound packet larger than maximum message size": ErrorKind.TOO_LARGE,
    "handler returned error: busy": ErrorKind.HANDLER_FAILED,
    "handler returned error: IPC handler dropped without responding": ErrorKind.HANDLER_FAILED,
    "handler returned error: no handler for 'echo'": ErrorKind.NO_HANDLER,
    "handler returned error: no IPC client holds method 'echo' on 'office-mesh'": ErrorKind.NO_HANDLER,
    "network down": ErrorKind.LINK_DOWN,
    "custody: this change requires your authenticator code": ErrorKind.NEEDS_CODE,
    "custody: invalid authenticator code": ErrorKind.CODE_REFUSED,
    "no in-flight inbound RPC for 'x'": ErrorKind.NO_SUCH_CALL,
    "no in-flight inbound stream for 'x'": ErrorKind.NO_SUCH_CALL,
}
"""Kinds of the vectors' texts, the peer's id written as KEY; any other text of theirs is REFUSED."""

PEER = "fgwlvykbxtfpbmrodkkngtily43b4utnbp7bfsexss6jgiuwnxlq"
TEXTS = sorted({error["response"]["error"] for op in load("control-socket", "ops") for error in op.get("errors", ())})


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_the_vectors(text: str) -> None:
    error = refusal(text)
    assert error.kind is EXPECTED.get(text.replace(PEER, "KEY"), ErrorKind.REFUSED)
    assert error.refused
    assert str(error) == error.text == text


def test_the_vectors_hold_every_expected_text() -> None:
    assert EXPECTED.keys() <= {text.replace(PEER, "KEY") for text in TEXTS}


@pytest.mark.parametrize("case", load("control-socket", "parse_errors"), ids=str)
def test_what_a_daemon_cannot_parse(case: dict[str, Any]) -> None:
    text = case["response"]["error"] if "response" in case else case["error"]
    kind = ErrorKind.UNSUPPORTED if "unknown variant" in text and "expected one of" in text else ErrorKind.BAD_REQUEST
    assert refusal(text).kind is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("call timed out", ErrorKind.TIMEOUT),
        ("transport: send queue of this peer is full", ErrorKind.BUSY),
        ("too many calls under way", ErrorKind.BUSY),
        ("capabilities too large", ErrorKind.TOO_LARGE),
        ("network: network shut down", ErrorKind.LINK_DOWN),
        ("handler returned error: handler owner client disconnected", ErrorKind.NO_HANDLER),
        ("peer denied", ErrorKind.NOT_ADMITTED),
        ("custody: too many attempts; wait 2 s", ErrorKind.CODE_REFUSED),
    ],
)
def test_texts_that_only_some_daemons_say(text: str, kind: ErrorKind) -> None:
    assert refusal(text).kind is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("network down", ErrorKind.LINK_DOWN),
        ("no handler for 'count'", ErrorKind.NO_HANDLER),
        ("no IPC client holds streaming method 'count' on 'home'", ErrorKind.NO_HANDLER),
        ("my own words", ErrorKind.HANDLER_FAILED),
    ],
)
def test_ends_of_streams(text: str, kind: ErrorKind) -> None:
    """They come without the words that mark a handler's error in the answer of a call."""
    assert stream_failure(text).kind is kind
