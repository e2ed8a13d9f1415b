"""What all ``ctl`` commands share: options of the group, sending a request, showing its answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mesh_common.durations import whole_seconds
from mesh_common.handwritten import other_encoding, read_all, without_mark
from mesh_common.streams import words
from myownmesh.cli import client
from myownmesh.cli.ctl_completion import complete_network
from myownmesh.cli.errors import CliError
from myownmesh.cli.output import emit, write_line

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_U64 = 2**64 - 1
"""Largest number of milliseconds that a request can carry."""

MAX_RECORDING_S = 24 * 3600
"""A day: a longer time is a slip, and its command would wait for it."""

ANSWER_S = 45.0
"""For an answer that nothing is waited for: a daemon on a small device may need ten while its network changes, and one
that was stopped never answers (spec 07 C20)."""
_WAITING = frozenset(
    {
        "rpc_call",
        "network_connect_peer",
        "network_record",
        "channel_send_reliable",
        "governance_recover",
        "governance_replace",
        "governance_import",
    }
)
"""Ops that answer when something has happened, which their own members may bound."""
_SHOWING = frozenset(
    {
        "status",
        "identity_show",
        "config_show",
        "services_status",
        "services_offers",
        "metrics",
        "networks_list",
        "peers_list",
        "roster_list",
        "invite_list",
        "invite_create",
        "governance_state",
        "governance_mfa_status",
        "governance_log",
        "governance_who",
        "governance_doctor",
        "governance_pending",
        "governance_export",
        "governance_recovery_create",
        "network_id_generate",
        "network_id_normalize",
        "rpc_call",
    }
)
"""Ops whose answer is what was asked for: without it the command has failed, whatever the daemon did."""

Network = Annotated[
    str, typer.Argument(metavar="NETWORK", help="Record id or network id.", autocompletion=complete_network)
]
Peer = Annotated[str, typer.Argument(metavar="PEER", help="Device id, with or without its suffix.")]
Payload = Annotated[str, typer.Argument(metavar="JSON", help="JSON text, @FILE, or - for standard input.")]
ClientId = Annotated[str, typer.Argument(metavar="CLIENT", help="Client id, as `ctl events` prints it first.")]


class Options:
    """Options of ``ctl`` itself, for every command below it."""

    as_json = False
    timeout: float | None = None


def ask(request: client.Request) -> object:
    """Send one request; returns ``data``. Raises `CliError`."""
    limit = ANSWER_S if Options.timeout is None and request["op"] not in _WAITING else Options.timeout
    answer = client.request(request, limit)
    if request["op"] not in _SHOWING:
        words.work_is_done()
    return answer


def show(data: object, table: Callable[[object], str] | None = None) -> None:
    """Print an answer."""
    emit(data, as_json=Options.as_json, table=table)


def run(request: client.Request, table: Callable[[object], str] | None = None) -> None:
    """Send one request and print its answer."""
    show(ask(request), table)


def ask_signed(request: client.Request, member: str = "mfa_code") -> object:
    """`ask` for an op that may sign: who sits at a terminal is asked for the code that the daemon wants."""
    try:
        return ask(request)
    except client.NeedsCode:
        if sys.stdin is None or not sys.stdin.isatty():
            raise
    from mesh_common.passed_secrets import NoSecret, passed_secret

    try:
        return ask({**request, member: passed_secret(None, "Authenticator code (not shown): ")})
    except NoSecret as error:
        raise CliError(str(error)) from error


WAITING: Final = 3
"""Exit code of a decision that is recorded and waits for somebody: neither done (0) nor refused (1)."""


def decide(request: client.Request, table: Callable[[object], str]) -> None:
    """Send an op that signs, print what came of it, and end with `WAITING` while it is not in force."""
    answer = named(ask_signed(request))
    show(answer, table)
    if isinstance(answer, dict) and answer.get("effective") is False:
        raise typer.Exit(WAITING)


def named(answer: object) -> object:
    """What came of a decision, with those that it waits for as people know them: ids with their suffix."""
    from myownmesh.protocol.ids import BadDeviceId, display_id, parse_device_id

    def shown(device: object) -> object:
        try:
            return display_id(parse_device_id(device)) if isinstance(device, str) else device
        except BadDeviceId:
            return device  # of another daemon, which may say what it likes

    if not isinstance(answer, dict) or not isinstance(answer.get("waits_for"), list):
        return answer
    return {**answer, "waits_for": [shown(device) for device in answer["waits_for"]]}


def seconds(text: str, most_s: int = MAX_RECORDING_S, most: str = "a day") -> int:
    """`30s`, `10m`, `1h`, `2d`. Raises `CliError`, also for more than `most_s`."""
    span_s = whole_seconds(text, most_s)
    if span_s is None:
        raise CliError(f"{text!r} is no time; say 30s, 10m or 1h, {most} at most")
    return span_s


def follow(request: client.Request) -> None:
    """Send a request that turns the connection into a stream, then print its lines until the daemon ends it."""
    with client.connection(Options.timeout) as opened:
        client.ask(opened, request)
        for line in client.lines(opened):
            write_line(line.decode("utf-8", "surrogateescape"))
            if words.gone():
                return


def json_argument(text: str, what: str) -> object:
    """A JSON argument: the text itself, ``@FILE``, or ``-`` for standard input. Raises `CliError`."""
    try:
        if text == "-":
            data = read_all(sys.stdin.buffer)
        elif text.startswith("@"):
            with Path(text[1:]).open("rb") as file:
                data = read_all(file)
        else:
            data = text.encode()
    except OSError as error:
        raise CliError(f"read {what}: {error}") from error
    if (encoding := other_encoding(data)) is not None:
        raise CliError(f"{what} is {encoding} text; save it as UTF-8")
    try:
        text = without_mark(data).decode()
        value: object = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CliError(
            f"{what} is not JSON: {error}; quote it for the shell, a string needs its own quotes: '\"text\"'"
        ) from error
    return value


def object_argument(text: str, what: str) -> dict[str, object]:
    """A JSON argument that must be an object. Raises `CliError`."""
    value = json_argument(text, what)
    if not isinstance(value, dict):
        raise CliError(f"{what} must be a JSON object")
    return value


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
