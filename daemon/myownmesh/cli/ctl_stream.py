"""Commands that stay connected: events, channel subscriptions, streamed answers.

A client that receives needs two connections (spec 05 §3): one that the daemon pushes to, one for requests that name
the first one's client id.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from myownmesh.cli import client
from myownmesh.cli.ctl_base import Options
from myownmesh.cli.output import write_line

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def event_connection() -> Iterator[tuple[str, Iterator[bytes]]]:
    """Subscribe; gives the client id and the lines that follow."""
    with client.connection(Options.timeout) as opened:
        yield opened.subscribe(), client.lines(opened)


def follow_events() -> None:
    """Print the acknowledgement's data, then each frame, as JSON lines."""
    with event_connection() as (client_id, lines):
        write_line(json.dumps({"subscribed": True, "client_id": client_id}))
        for line in lines:
            write_line(line.decode("utf-8", "surrogateescape"))


def frames(lines: Iterator[bytes]) -> Iterator[dict[str, object]]:
    """The frames among the lines; what is no object is skipped, as clients must (spec 05 §10.1)."""
    for line in lines:
        try:
            frame = json.loads(line)
        except ValueError:
            continue
        if isinstance(frame, dict):
            yield frame
