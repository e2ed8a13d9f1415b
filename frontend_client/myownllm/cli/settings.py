"""`myownllm settings`: what this device does for others and how much it says. A running app takes it over at once."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer
from msgspec.structs import asdict

from mesh_common.streams import words
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, AppError, DoorError
from myownllm.remote.settings import SECTION, WARNING, RemoteSettings, changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.catalog.model import Catalog
    from myownllm.coerce import JsonObject

app = typer.Typer(no_args_is_help=True, help="This device's own settings; left out, a value is shown.")

FOLLOW_S = 15.0
"""A person waits no longer for the app."""


class Accepting(StrEnum):
    """What peers may ask of this device."""

    available = "available"
    limited = "limited"
    busy = "busy"


class Switch(StrEnum):
    on = "on"
    off = "off"


@app.command()
def accepting(
    value: Annotated[Accepting | None, typer.Argument(help="What peers read; `busy` refuses their models.")] = None,
    as_json: Json = False,
) -> None:
    """Say to peers of the active network whether this device works for them."""

    def changed(catalog: Catalog) -> Catalog:
        return catalog.update_network(context.need_active(catalog).id, accepting=str(value))

    _setting("accepting", lambda c: context.need_active(c).accepting, None if value is None else changed, as_json)


@app.command()
def gossip(
    value: Annotated[Switch | None, typer.Argument(help="Off: nothing is sent and nothing taken over.")] = None,
    as_json: Json = False,
) -> None:
    """Share prompts and tool policies with the active network by itself."""

    def changed(catalog: Catalog) -> Catalog:
        return catalog.update_network(context.need_active(catalog).id, auto_gossip=value is Switch.on)

    _setting("gossip", lambda c: context.need_active(c).auto_gossip, None if value is None else changed, as_json)


@app.command()
def quiet(
    value: Annotated[Switch | None, typer.Argument(help="On: warnings and errors only.")] = None,
    as_json: Json = False,
) -> None:
    """Hide info lines of the activity log."""

    def changed(catalog: Catalog) -> Catalog:
        return attrs.evolve(catalog, diag_quiet=value is Switch.on)

    _setting("quiet", lambda c: c.diag_quiet, None if value is None else changed, as_json)


@app.command()
def remote(
    value: Annotated[Switch | None, typer.Argument(help="On: browsers of the local network may be paired.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Where; 0 takes a free one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Open it without a question.")] = False,
    as_json: Json = False,
) -> None:
    """Open a small chat to browsers of the local network, without encryption; `myownllm remote` shows it."""
    applied: bool | None = None
    try:
        file = context.catalog_file(context.home())
        before = RemoteSettings.read(file.load().sections)
        if value is Switch.on and not before.enabled:
            _warn(yes=yes, as_json=as_json)
        section: JsonObject = {SECTION: asdict(before)}
        if value is not None or port is not None:
            wanted = changed(None if value is None else value is Switch.on, port)
            section = {SECTION: file.change_section(SECTION, wanted)}
            words.work_is_done()
            applied = _applied()
        now = RemoteSettings.read(section)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"remote": now.enabled, "port": now.port, "applied": applied})
        return
    what = f"remote: {'on' if now.enabled else 'off'}, port {now.port}"
    print(what if value is None and port is None else f"{what} ({_ENDS[applied]})")
    if now.enabled and applied:
        print("`myownllm remote --pair` shows where it is and a code that lets one browser in.")


def _warn(*, yes: bool, as_json: bool) -> None:
    """Have a person say that the local network may come in. Raises AppError."""
    if yes:
        if not as_json:
            print(f"{WARNING}.")
        return
    if as_json or not sys.stdin.isatty():
        raise AppError(f"{WARNING}. Say --yes to go on")
    if not typer.confirm(f"{WARNING}. Go on?"):
        raise AppError("nothing was changed")


def _setting(
    name: str, read: Callable[[Catalog], Any], change: Callable[[Catalog], Catalog] | None, as_json: bool
) -> None:
    app_home = context.home()
    applied: bool | None = None
    try:
        file = context.catalog_file(app_home)
        if change is None:
            catalog = file.load().catalog
        else:
            catalog = file.mutate(change)
            words.work_is_done()
            applied = _applied()
        value = read(catalog)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({name: value, "applied": applied})
        return
    word = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if change is None:
        print(f"{name}: {word}")
        return
    print(f"{name}: {word} ({_ENDS[applied]})")


_ENDS = {
    None: "saved for the next `myownllm up`",
    True: "the running app has taken it over",
    False: "saved, but the running app did not answer: `myownllm health`",
}


def _applied() -> bool | None:
    """Let a running app take it over; None when no app runs, False when it did not answer."""
    app_home = context.home()
    if context.app_pid(app_home) is None:
        return None
    try:
        context.ask_app(app_home, "follow", FOLLOW_S)
    except DoorError:
        return False
    return True
