"""What every worker and the daemon say to each other: one JSON object a line, a job in, reports out.

A worker faces strangers, so it is told no more than it needs: no identity, no roster, no control socket.
"""

from __future__ import annotations

import os
import signal
from typing import Final

import msgspec
from msgspec import Struct

MAX_LINE: Final = 65536
"""Bytes of a report; far more than there is to say."""
CHUNK_BYTES: Final = 65536


class Listening(Struct, frozen=True, tag="listening"):
    """It serves."""

    address: str
    port: int
    tls_port: int | None = None


class Refused(Struct, frozen=True, tag="refused"):
    """It cannot, and ends."""

    reason: str


def line(message: Struct) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def say(reports: int, message: Struct) -> None:
    """Tell the daemon through this descriptor, which must not block."""
    try:
        os.write(reports, line(message))  # shorter than what a pipe takes at once, so whole or not at all
    except OSError:
        return  # nobody reads: the next report says it all again


def first_line(commands: int) -> tuple[bytes, bytes]:
    """The job, and what was read behind it."""
    held = b""
    while b"\n" not in held and (data := os.read(commands, CHUNK_BYTES)):
        held += data
    text, _, begun = held.partition(b"\n")
    return text, begun


def leave_signals_to_the_daemon() -> None:
    """Whoever stops the whole group means the daemon, and its end is ours."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
