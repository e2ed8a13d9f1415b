"""What the daemon and the worker for STUN and TURN say to each other."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from myownmesh.turn.binding import Counts
from myownmesh.turn.limits import Limits
from myownmesh.turn.table import Settings
from myownmesh.worker.messages import Listening, Refused


class TlsFiles(Struct, frozen=True):
    """Where certificate and key are; both are read again when they change."""

    cert_file: str
    key_file: str
    port: int


class Job(Struct, frozen=True):
    """The first line that a worker is told. It ends when the pipe that this came through is closed."""

    bind: str
    """Address or name, IPv6 with or without brackets."""
    port: int
    """0 takes a free one."""
    turn: Settings | None = None
    """None: STUN alone."""
    tcp: bool = False
    tls: TlsFiles | None = None
    relay_ports: tuple[int, int] = (0, 0)
    """First and last port to relay at; 0: any that the system gives."""
    limits: Limits = Limits()


class Change(Struct, frozen=True, omit_defaults=True):
    """Every other line: whose time-limited passwords are good from now on, and whose are no longer."""

    admit: tuple[str, ...] = ()
    expel: tuple[str, ...] = ()


class Report(Struct, frozen=True, tag="report"):
    """What it does and has done; at most one a second, and none when nothing has changed."""

    allocations: int
    streams: int
    counts: Counts
    problem: str | None = None
    """What somebody should look after, though it serves."""


Said = Listening | Refused | Report
_said: Final = msgspec.json.Decoder(Said)


def read_said(text: bytes) -> Said:
    """Raises `msgspec.DecodeError`."""
    said: Said = _said.decode(text)
    return said


def read_change(text: bytes) -> Change:
    """Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(text, type=Change)


def read_job(text: bytes) -> Job:
    """Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(text, type=Job)
