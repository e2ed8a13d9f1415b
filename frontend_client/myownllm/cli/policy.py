"""`myownllm policy`: which tools a model may use on this device, and what peers ask to change about that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from myownllm.catalog.file import wall_ms
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, AppError
from myownllm.policy import TOOLS, Mode, Tool
from myownllm.records import PolicyStore

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

app = typer.Typer(
    no_args_is_help=True,
    help="Which tools a model may use on this device. Devices of the active network share it.",
    rich_markup_mode=None,
)

OnOff = Literal["on", "off"]


ToolName = Annotated[Tool, typer.Argument(help="shell or write_file.")]
_MEANING = {"ask": "asks before each use", "accept_all": "allows every use", "denied": "refuses every use"}


def _store() -> PolicyStore:
    return PolicyStore(context.catalog_file(context.home()), wall_ms)


def complete_literal(typed: typer.Context, incomplete: str) -> list[str]:
    """Entries of the allow list, for the shell's completion."""
    try:
        gate = _store().read().in_force.gate(typed.params["tool"])
    except (*FAILURES, KeyError):
        return []
    return [entry for entry in gate.always_accept if entry.startswith(incomplete)]


def _change(request: JsonObject, *, as_json: bool) -> JsonObject:
    """Have it made, and print it for programs."""
    from myownllm.changes import change_policy  # other commands do without

    return context.have_changed("policy", request, lambda asked: change_policy(_store(), asked), as_json=as_json)


@app.command("show")
def show(as_json: Json = False) -> None:
    """Show the policy of the active network."""
    try:
        permissions = _store().read()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(permissions.to_json())
        return
    for tool in TOOLS:
        gate = permissions.in_force.gate(tool)
        print(f"{tool}: {_MEANING[gate.mode]}")
        for entry in gate.always_accept:
            print(f"  never asks for {_quoted(entry)}")
    if permissions.pending:
        print(f"Waiting for you: {', '.join(permissions.pending)} (`myownllm policy pending`).")


def _quoted(entry: str) -> str:
    """A command or path so that nothing in it hides: control and odd characters are spelled out."""
    return json.dumps(entry, ensure_ascii=not entry.isprintable())


@app.command("set")
def set_mode(
    tool: ToolName, mode: Annotated[Mode, typer.Argument(help="ask, accept_all or denied.")], as_json: Json = False
) -> None:
    """Choose what a tool's gate does. Peers learn it if gossip is on."""
    _change({"action": "set", "tool": tool, "mode": mode}, as_json=as_json)
    if not as_json:
        print(f"{tool} {_MEANING[mode]} now.")


Entry = Annotated[str, typer.Argument(help="The exact command, or an absolute path.", autocompletion=complete_literal)]


@app.command("allow")
def allow(tool: ToolName, literal: Entry, as_json: Json = False) -> None:
    """Never ask again for exactly this command or path."""
    if tool == "write_file" and not literal.startswith("/"):
        context.fail(AppError(f"'{literal}' is no absolute path, so no use would ever match it"), as_json=as_json)
    answer = _change({"action": "allow", "tool": tool, "literal": literal}, as_json=as_json)
    if not as_json:
        is_denied = answer[tool]["mode"] == "denied"
        but = f" Yet it refuses every use: `myownllm policy set {tool} ask` changes that." if is_denied else ""
        print(f"{tool} never asks for {_quoted(literal)}.{but}")


@app.command("forget")
def forget(tool: ToolName, literal: Entry, as_json: Json = False) -> None:
    """Take an entry off the allow list."""
    _change({"action": "forget", "tool": tool, "literal": literal}, as_json=as_json)
    if not as_json:
        print(f"{tool} asks for {_quoted(literal)} again.")


@app.command("pending")
def pending(as_json: Json = False) -> None:
    """Show what peers ask to relax. It is not in force until you agree."""
    try:
        permissions = _store().read()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"held": permissions.to_json()["held"]})
        return
    if not permissions.held:
        print("Nothing waits.")
        return
    for tool, held in permissions.held.items():
        now = permissions.in_force.gate(tool)
        verdict = " (you said no)" if held.is_rejected else ""
        print(f"{held.sender[:8]} asks: {tool} {_MEANING[held.gate.mode]}{verdict}; now it {_MEANING[now.mode]}.")
        added = [entry for entry in held.gate.always_accept if entry not in now.always_accept]
        for entry in added:
            print(f"  would never ask for {_quoted(entry)}")
        print(f"  myownllm policy agree {tool} {held.code}")


@app.command("agree")
def agree(
    tool: ToolName,
    code: Annotated[str, typer.Argument(help="The code that `pending` shows beside it.")],
    as_json: Json = False,
) -> None:
    """Let what a peer asks for come into force."""
    answer = _change({"action": "agree", "tool": tool, "code": code}, as_json=as_json)
    if not as_json:
        print(f"{tool} {_MEANING[answer[tool]['mode']]} now.")


@app.command("reject")
def reject(tool: ToolName, as_json: Json = False) -> None:
    """Keep this device's gate against what a peer asks for. `set` makes it count on every device."""
    answer = _change({"action": "reject", "tool": tool}, as_json=as_json)
    if not as_json:
        print(f"{tool} still {_MEANING[answer[tool]['mode']]}.")


@app.command("confirm")
def confirm(
    switch: Annotated[OnOff, typer.Argument(help="on or off.")],
    as_json: Json = False,
) -> None:
    """Whether what relaxes a gate waits for you (on, the default), or comes into force with a warning."""
    _change({"action": "confirm", "on": switch == "on"}, as_json=as_json)
    if not as_json:
        print("What relaxes a gate waits for you." if switch == "on" else "Peers may relax gates of this device.")
