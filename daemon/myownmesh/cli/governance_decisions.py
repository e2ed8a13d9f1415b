"""What a person is shown and asked before something is signed, and files of what was signed.

Questions are asked at a terminal only; a script says what it wants with options.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.files import write_atomically
from mesh_common.handwritten import read_all
from mesh_common.tables import printable
from myownmesh.cli import governance_tables
from myownmesh.cli.client import Unsupported
from myownmesh.cli.ctl_base import ask, decide, named, show
from myownmesh.cli.errors import CliError
from myownmesh.cli.tables import object_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.cli.client import Request

_SAID_FIRST: Final = frozenset({"governance_propose_kind_change"})
"""Ops whose outlook is said before they act, also to a script: a founding asks nobody."""


def decided(request: Request, keep: str | None = None, *, dry_run: bool = False) -> None:
    """Send an op that signs; before it acts a person at a terminal sees what it would do, and chooses."""
    asked = {**request, **kept(keep)}
    if dry_run:
        if not _looks_ahead(request):
            raise CliError("this daemon knows no dry run: it would do it")
        show(named(ask({**asked, "dry_run": True})), governance_tables.decision)
        return
    if (is_attended() or request["op"] in _SAID_FIRST) and _looks_ahead(request):
        would = object_of(ask({**asked, "dry_run": True}))
        outlook = object_of(would.get("outlook"))
        if text := governance_tables.outlook(outlook):
            print(text, file=sys.stderr)
        if is_attended():
            asked |= _chosen(outlook, keep)
    decide(asked, governance_tables.decision)


def kept(text: str | None) -> dict[str, object]:
    """The member `keep` of an op, if the option was given. Raises `CliError`."""
    if text is None:
        return {}
    if text in ("all", "none"):
        return {"keep": text}
    if text.startswith("before:"):
        return {"keep": {"before": _time(text.removeprefix("before:"))}}
    return {"keep": [each.strip() for each in text.split(",") if each.strip()]}


def shown_digest(network: str, proposal: str) -> str | None:
    """Show what waits under this id and ask whether to go on; the digest of what was shown.

    None for a daemon that lists nothing, and for an id that it does not list: it says why it refuses.
    """
    row = next((row for row in _pending(network) or () if row.get("id") == proposal), None)
    if row is None:
        return None
    print(f"{printable(text_of(row.get('text')))}\n  sign: {printable(text_of(row.get('sign')))}", file=sys.stderr)
    if is_attended() and not _yes("Sign?"):
        raise CliError("nothing was signed")
    return text_of(row.get("digest"))


def export(network: str, file: Path | None) -> None:
    """Write an export to a file that nobody else can read, or to standard output. Raises `CliError`."""
    document = object_of(ask({"op": "governance_export", "network": network})).get("document")
    if file is None:
        show(document)
        return
    try:
        write_atomically(file, json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape"), mode=0o600)
    except OSError as error:
        raise CliError(f"write {file}: {error.strerror}") from error
    show({"written": str(file)}, lambda _: f"Written to {file}; nobody else on this machine can read it.")


def read_export(file: str) -> object:
    """The JSON object that a file holds. Raises `CliError`."""
    try:
        if file == "-":
            data = read_all(sys.stdin.buffer)
        else:
            with Path(file).open("rb") as opened:
                data = read_all(opened)
        document: object = json.loads(data)
    except OSError as error:
        raise CliError(f"read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CliError(f"{file} is no export of `ctl governance export`: {error}") from error
    return document


def _chosen(outlook: Mapping[str, object], keep: str | None) -> dict[str, object]:
    """What a person at the terminal says. Raises `CliError` when it is no."""
    chosen: dict[str, object] = {}
    if outlook.get("falling_admits") and keep is None:
        said = _line("Whom do you sign in anew? all, none, or ids with commas between them [all]: ")
        chosen = kept(said or "all")
    founding = object_of(outlook.get("founding"))
    doubts = outlook.get("refused") or any(founding.values()) or outlook.get("owners") == [] or outlook.get("let_in")
    if doubts and not _yes("Go on?"):
        raise CliError("nothing was signed")
    return chosen


def _looks_ahead(request: Request) -> bool:
    """Whether the daemon knows dry runs; the reference's would do what it was only to look at."""
    return _pending(text_of(request["network"])) is not None


def _pending(network: str) -> list[Mapping[str, object]] | None:
    """What waits there; None: this daemon does not list it."""
    try:
        found = object_of(ask({"op": "governance_pending", "network": network}))
    except Unsupported:
        return None
    rows = found.get("rows")
    return [object_of(row) for row in rows] if isinstance(rows, list) else []


def is_attended() -> bool:
    """Whether a person sits at a terminal and can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _yes(question: str) -> bool:
    return _line(f"{question} [y/N] ").lower() in ("y", "yes")


def _line(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _time(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise CliError(f"{text!r} is no time; say before:2026-01-31 or Unix seconds") from None
    return int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp())
