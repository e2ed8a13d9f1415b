"""What the daemon and the worker for the signaling relay say to each other."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from mesh_common.views import RelayActivity
from myownmesh.relay.client import Limits
from myownmesh.worker.messages import Listening, Refused


class Siblings(Struct, frozen=True):
    """All processes of one relay on this machine."""

    folder: str
    """Where their sockets are; nobody else's."""
    group: str
    """With what their names begin, and no other relay's."""
    own: int
    """Its number among them."""
    count: int
    listener: int
    """The descriptor of the listening socket that all of them share, in place of `bind` and `port`."""


class Job(Struct, frozen=True):
    """The first line that a worker is told. It ends when the pipe that this came through is closed."""

    bind: str
    """Address or name, IPv6 with or without brackets."""
    port: int
    """0 takes a free one."""
    limits: Limits = Limits()
    any_filter: bool = False
    """The compatibility switch `relay_any_filter`."""
    bus: str | None = None
    """URL of the Redis by which it is one relay with others."""
    siblings: Siblings | None = None
    """The other processes with which it is one relay."""


class Report(Struct, frozen=True, tag="report"):
    """What it has done; at most four in a second, and none when nothing has changed."""

    activity: RelayActivity
    problem: str | None = None
    """What somebody should look after, though it serves."""


Said = Listening | Refused | Report
_said: Final = msgspec.json.Decoder(Said)


def read_said(text: bytes) -> Said:
    """Raises `msgspec.DecodeError`."""
    said: Said = _said.decode(text)
    return said


def read_job(text: bytes) -> Job:
    """Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(text, type=Job)
