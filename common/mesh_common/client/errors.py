"""What can go wrong between a program and its daemon: one exception, whose kind is what code may branch on.

A daemon answers a failed request with a text and nothing else (spec 05 §4). `refusal` turns the texts of the reference
and of our daemon into kinds; nobody else compares them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class ErrorKind(StrEnum):
    """Why a request failed."""

    # ── found on this side of the socket ──────────────────────────────────────────────────────────────────────────────
    CONNECT_FAILED = "connect_failed"
    """Nobody listens at the address."""
    NOT_CONNECTED = "not_connected"
    """The connection is down and being made again."""
    CONNECTION_LOST = "connection_lost"
    """The event connection ended while the request was under way; whether the daemon carried it out is unknown."""
    CLOSED = "closed"
    """The daemon closed the connection without an answer."""
    PROTOCOL = "protocol"
    """What came is no answer of a daemon."""
    INVALID = "validation"
    """JSON cannot carry the request, or a name in it is too long; nothing was sent."""
    STOPPED = "stopped"
    """This program itself gave it up."""
    TOO_SLOW = "too_slow"
    """The reader of a stream fell too far behind."""

    # ── found by either side ──────────────────────────────────────────────────────────────────────────────────────────
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"

    # ── refusals of the daemon ────────────────────────────────────────────────────────────────────────────────────────
    UNSUPPORTED = "unsupported"
    """The daemon does not know the operation: it is older than that, or leaves it out."""
    BAD_REQUEST = "bad_request"
    """The request has not the members that this daemon wants."""
    UNKNOWN_NETWORK = "unknown_network"
    ALREADY_JOINED = "already_joined"
    NOT_SAVED = "not_saved"
    """Done, but the configuration could not be written: it will not survive a restart."""
    UNKNOWN_CLIENT = "unknown_client"
    """The event connection that the request names has ended."""
    UNKNOWN_PEER = "unknown_peer"
    """No peer of that id holds an admitted link. To a caller, unknown and not admitted are the same (spec 01 §5)."""
    NOT_ADMITTED = "not_admitted"
    """A link came up, and one of its ends refused the other."""
    UNREACHABLE = "unreachable"
    """The peer is known, but no frame can be given to its link."""
    NO_HANDLER = "no_handler"
    """Nobody serves that method at the peer."""
    HANDLER_FAILED = "handler_failed"
    """The peer's handler raised; the text is its own."""
    LINK_DOWN = "link_down"
    """The link dropped while the call was under way."""
    NO_SUCH_CALL = "no_such_call"
    """The inbound call is answered already, or its caller is gone."""
    NEEDS_CODE = "needs_code"
    """This device signs in that network only with an authenticator's code, and none came."""
    CODE_REFUSED = "code_refused"
    """The code is wrong, was used before, or came too soon after wrong ones; the text says which."""
    BUSY = "busy"
    """A limit of the daemon is reached."""
    REFUSED = "daemon_error"
    """Any other refusal."""


class ControlError(Exception):
    """A request failed. `kind` is for code, `text` one sentence for people; `refused`: the daemon said it.

    `os_error` is what this system said of the socket, of those that `Connection` found there.
    """

    def __init__(self, kind: ErrorKind, text: str, *, refused: bool = False, os_error: OSError | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.refused = refused
        self.os_error = os_error


HANDLER_ERROR: Final = "handler returned error: "
"""What a daemon writes before the error text of a peer's handler (spec 05 §13.1)."""

_TEXTS: Final = (
    (ErrorKind.UNSUPPORTED, r"parse: .*unknown variant"),
    (ErrorKind.BAD_REQUEST, r"parse: "),
    (ErrorKind.UNKNOWN_NETWORK, r"unknown network\b"),
    (ErrorKind.ALREADY_JOINED, r".*(config id '.*' already in use|network id '.*' already joined)"),
    (ErrorKind.NOT_SAVED, r"(network (joined|left|removed|updated)|config applied) but config\.json save failed"),
    (ErrorKind.UNKNOWN_CLIENT, r"unknown client_id: "),
    (ErrorKind.UNKNOWN_PEER, r".*not (found )?in active set$|network: peer not (found|connected): "),
    (ErrorKind.NOT_ADMITTED, r"peer denied$|network: connect \S+: (Denied|AuthFailed)$|.* abandoned: Denied$"),
    (ErrorKind.TOO_LARGE, r".*exceeds the \d+-byte limit|.*packet larger than maximum|capabilities too large"),
    (
        ErrorKind.TIMEOUT,
        r"call timed out$|.*peer send timed out$|network: connect .* still pending after |.* expired before",
    ),
    (ErrorKind.NEEDS_CODE, r"custody: this change requires "),
    (ErrorKind.CODE_REFUSED, r"custody: (invalid authenticator code|too many attempts)"),
    (ErrorKind.BUSY, r"too many |.*send queue of this peer is full|.*outbox for \S+ is full"),
    (ErrorKind.NO_SUCH_CALL, r"no in-flight inbound "),
    (ErrorKind.LINK_DOWN, r"network down$|network: network shut down$|network: connect \S+: "),
    (ErrorKind.UNREACHABLE, r"transport: "),
)
"""Patterns from the left, the first one counts. They are compiled when a daemon refuses something: most commands see
none."""
_NOBODY: Final = r"no handler for |no IPC client holds |handler owner client disconnected$"


def refusal(text: str) -> ControlError:
    """The failure that a daemon tells with this text."""
    if text.startswith(HANDLER_ERROR):
        return ControlError(_handler_kind(text.removeprefix(HANDLER_ERROR)), text, refused=True)
    kind = next((kind for kind, pattern in _TEXTS if re.match(pattern, text)), ErrorKind.REFUSED)
    return ControlError(kind, text, refused=True)


def stream_failure(text: str) -> ControlError:
    """The failure with which a streamed answer ended: what the peer's handler said, or that its link dropped."""
    error = refusal(text)
    if error.kind is ErrorKind.LINK_DOWN:
        return error
    return ControlError(_handler_kind(text), text, refused=True)  # any other text is the peer's own


def _handler_kind(text: str) -> ErrorKind:
    return ErrorKind.NO_HANDLER if re.match(_NOBODY, text) else ErrorKind.HANDLER_FAILED
