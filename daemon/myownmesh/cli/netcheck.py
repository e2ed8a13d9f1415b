"""``netcheck``: what lets other devices be met and reached from here, and what does not (docs/lan.md)."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from mesh_common.labels import shown
from mesh_common.netcheck import EXIT_CODES, Netcheck
from mesh_common.streams import words
from mesh_common.tables import columns
from myownmesh.cli import client
from myownmesh.cli.errors import CliError
from myownmesh.cli.output import write_line
from myownmesh.store.errors import StoreError, os_error_text

if TYPE_CHECKING:
    from mesh_common.netcheck import Multicast

_DAEMON_S: Final = 5.0
"""A daemon that says nothing for so long is not waited for."""


def netcheck(*, as_json: bool) -> int:
    """Look, print it, and return the exit status. Raises `CliError`."""
    found = _by_daemon() or _by_ourselves()
    if as_json:
        write_line(json.dumps(msgspec.to_builtins(found), indent=2, sort_keys=True, ensure_ascii=False))
    else:
        write_line(table(found))
    return EXIT_CODES[found.verdict]


def run(*, as_json: bool) -> int:
    """`netcheck` with what goes wrong as a sentence, for a command line that nothing else has to be read of."""
    words.catch()
    try:
        status = netcheck(as_json=as_json)
        if (lost := words.unsaid()) is not None:
            raise CliError(f"write output: {os_error_text(lost)}")
    except (CliError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _by_daemon() -> Netcheck | None:
    """A running daemon knows the services of members that it uses. None without one that can look."""
    try:
        data = client.request({"op": "netcheck"}, _DAEMON_S)
    except (client.NoDaemon, client.Unsupported):
        return None
    except CliError as error:
        print(f"warning: {error}; looking without it", file=sys.stderr)
        return None
    try:
        return msgspec.convert(data, Netcheck)
    except msgspec.ValidationError as error:
        raise CliError(f"the daemon's answer is wrong: {error}") from error


def _by_ourselves() -> Netcheck:
    try:
        import trio

        from myownmesh.netcheck.check import check
        from myownmesh.netcheck.wanted import NOTHING, wanted
        from myownmesh.signaling.room import app_id_of
        from myownmesh.store.config_file import load_config
        from myownmesh.store.paths import Home
    except ImportError as error:
        from myownmesh.daemon import needs

        raise CliError(needs.missing_text(needs.missing()) if needs.missing() else str(error)) from error
    try:
        loaded = load_config(Home.resolve(os.environ))
    except StoreError as error:
        raise CliError(f"load config: {error}") from error
    for problem in loaded.problems:
        print(f"warning: {problem}; left out", file=sys.stderr)
    servers = wanted([(record, NOTHING) for record in loaded.config.networks], app_id_of(os.environ))
    return trio.run(check, servers, os.environ)


def table(found: Netcheck) -> str:
    """For a person; the sentence is the last line."""
    nat = {"none": "none", "independent": "the same for every destination", "unknown": "not known"}
    looks = f", seen as {' and '.join(found.nat.seen_as)}" if found.nat.seen_as else ""
    clock = found.clock
    time = (
        "not told"
        if clock is None
        else f"{abs(clock.ahead_ms) / 1000:.0f} s {'ahead' if clock.ahead_ms > 0 else 'behind'}"
    )
    facts = [
        ["addresses", ", ".join(found.addresses) or "none"],
        ["UDP", found.udp.state],
        ["IPv6", found.ipv6.state + (f", {found.ipv6.address}" if found.ipv6.address else "")],
        ["NAT", nat.get(found.nat.state, "another for each destination") + looks],
        ["clock", time],
        ["multicast", _multicast(found.multicast)],
    ]
    rows = [
        [
            row.kind + (" of a member" if row.from_member else ""),
            shown(row.url, 80),
            row.over.upper(),
            f"{row.ms} ms" if row.ok else shown(row.reason or "does not answer", 200),
            ", ".join(shown(name, 40) for name in row.networks),
        ]
        for row in found.servers
    ]
    parts = [columns(facts, ["here", "is"])]
    if rows:
        parts.append(columns(rows, ["server", "address", "over", "answer", "networks"]))
    return "\n\n".join([*parts, found.sentence])


def _multicast(multicast: Multicast) -> str:
    match multicast.state:
        case "heard":
            return f"passes, {multicast.answers} device{'s' * (multicast.answers != 1)} answered"
        case "possible":
            return "possible, nobody answered"
        case state:
            return state if multicast.reason is None else f"{state}: {shown(multicast.reason, 200)}"
