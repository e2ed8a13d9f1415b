"""The daemon of this device for ``ctl`` commands, and its failures in the words of the command line.

Commands use the blocking client: most of the time of a ``ctl`` command would be the import of more than that.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mesh_common.client.address import addresses
from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import answer_data, request_line
from myownmesh.cli.errors import CliError
from myownmesh.store.errors import os_error_text

if TYPE_CHECKING:
    from collections.abc import Iterator

Request = dict[str, object]
"""A whole request, its ``op`` included."""


class NoDaemon(CliError):
    """Nobody answers on the control socket."""


class NeedsCode(CliError):
    """The daemon signs this only with an authenticator's code, and got none."""


class Unsupported(CliError):
    """The daemon does not know this op: it is another release, or the reference's."""


@contextmanager
def connection(timeout: float | None) -> Iterator[Connection]:
    """Connect to the first daemon that can be reached; a failure within the block is a `CliError`, or `NoDaemon`.

    `timeout` (seconds) bounds each wait for the daemon; None waits for ever.
    """
    try:
        with Connection.open(addresses(), timeout) as opened:
            yield opened
    except ControlError as error:
        raise _told(error, timeout) from error


def ask(opened: Connection, request: Request) -> object:
    """Send one request and return the answer's ``data``. Raises `ControlError`."""
    members = dict(request)
    return answer_data(opened.exchange(request_line(str(members.pop("op")), members)))


def request(request: Request, timeout: float | None = None) -> object:
    """One request on a connection of its own; returns ``data``. Raises `CliError`."""
    with connection(timeout) as opened:
        return ask(opened, request)


def lines(opened: Connection) -> Iterator[bytes]:
    """What the daemon pushes, until it closes the connection. Raises `CliError`, `ControlError`."""
    try:
        yield from opened.lines()
    except ControlError as error:
        if error.kind is ErrorKind.TIMEOUT:
            raise CliError(f"nothing from the daemon within {opened.timeout:g} s") from error
        raise


def _told(error: ControlError, timeout: float | None) -> CliError:
    if error.kind is ErrorKind.NEEDS_CODE:
        return NeedsCode(f"daemon error: {error.text}")
    if error.kind is ErrorKind.UNSUPPORTED:
        return Unsupported(f"daemon error: {error.text}")
    if error.refused:
        return CliError(f"daemon error: {error.text}")
    if error.kind is ErrorKind.CONNECT_FAILED and error.os_error is not None:
        return NoDaemon(f"connect daemon socket — is `myownmesh serve` running?: {os_error_text(error.os_error)}")
    if error.kind is ErrorKind.TIMEOUT:
        return CliError(f"no answer from the daemon within {timeout:g} s")
    if error.kind is ErrorKind.CLOSED and error.os_error is not None:
        return CliError(f"talk to the daemon: {os_error_text(error.os_error)}")
    return CliError(error.text)
