"""`myownllm prompts`: the prompts of a network, which its devices share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh_common.handwritten import read_all, without_mark
from mesh_common.tables import columns
from myownllm.catalog.file import wall_ms
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, AppError
from myownllm.prompts import TOOLS, Prompt
from myownllm.records import PromptStore

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

app = typer.Typer(
    no_args_is_help=True,
    help="Prompts of the active network: list, add, edit, remove. Its devices share them.",
    rich_markup_mode=None,
)


def _store() -> PromptStore:
    return PromptStore(context.catalog_file(context.home()), wall_ms)


def complete_prompt(incomplete: str) -> list[str]:
    """Ids and names of prompts, for the shell's completion."""
    try:
        records = _store().read().records
    except FAILURES:
        return []
    return [text for p in records for text in (p.id, p.name) if text and text.startswith(incomplete)]


def complete_tool(incomplete: str) -> list[str]:
    return [tool for tool in TOOLS if tool.startswith(incomplete)]


Which = Annotated[str, typer.Argument(help="Id, unique beginning of the id, or name.", autocompletion=complete_prompt)]
OnNetwork = Annotated[str | None, typer.Option("--network", help="Another saved network than the active one.")]
Tools = Annotated[
    list[str] | None,
    typer.Option("--tool", help="A tool that it may use; may be repeated.", autocompletion=complete_tool),
]
NoTools = Annotated[bool, typer.Option("--no-tools", help="It may use no tool.")]
Text = Annotated[str | None, typer.Option("--system", help="The system prompt; @FILE reads it from a file.")]
User = Annotated[str | None, typer.Option("--user", help="The user prompt; @FILE reads it from a file.")]


@app.command("list")
def list_prompts(network: OnNetwork = None, as_json: Json = False) -> None:
    """Show the prompts."""
    try:
        records = _store().read(network).records
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"prompts": [p.to_json() for p in records]})
    elif not records:
        print("No prompts. `myownllm prompts add <name> --system <text>` makes one.")
    else:
        rows = [[p.id, context.shown(p.name, 60), ", ".join(p.tools) or "none"] for p in records]
        print(columns(rows, ["id", "name", "tools"]))


@app.command("show")
def show(prompt: Which, network: OnNetwork = None, as_json: Json = False) -> None:
    """Show one prompt."""
    try:
        found = _store().read(network).find(prompt)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(found.to_json())
        return
    print(f"{found.id}  {context.shown(found.name)}")
    print(f"tools: {', '.join(found.tools) or 'none'}")
    for title, text in (("system prompt", found.system_prompt), ("user prompt", found.user_prompt)):
        if text:
            print(f"{title}:")
            print("\n".join(f"  {context.shown(line, len(line))}" for line in text.splitlines()))


def _change(request: JsonObject, done: str, *, as_json: bool) -> None:
    """Have it made, and say so."""
    from myownllm.changes import change_prompts  # other commands do without

    answer = context.have_changed("prompts", request, lambda asked: change_prompts(_store(), asked), as_json=as_json)
    if not as_json:
        print(f"Prompt '{context.shown(str(answer.get('name', '')), 60)}' ({answer.get('id')}) {done}.")


def _members(
    name: str | None, system: str | None, user: str | None, tool: list[str] | None, *, no_tools: bool
) -> JsonObject:
    """What was given. Raises AppError."""
    if tool and no_tools:
        raise AppError("say --tool or --no-tools, not both")
    tools = [] if no_tools else tool or None
    given = {"name": name, "system_prompt": _text(system), "user_prompt": _text(user), "tools": tools}
    return {member: value for member, value in given.items() if value is not None}


def _text(option: str | None) -> str | None:
    """The text, or what is in the file that `@` names. Raises AppError."""
    if option is None or not option.startswith("@"):
        return option
    path = Path(option[1:])
    try:
        with path.open("rb") as file:
            return without_mark(read_all(file)).decode()
    except OSError as error:
        raise AppError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AppError(f"{path} is no UTF-8 text") from None


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    system: Text = None,
    user: User = None,
    tool: Tools = None,
    no_tools: NoTools = False,
    as_json: Json = False,
) -> None:
    """Save a new prompt. It may use every tool unless --tool says which. Peers learn it if gossip is on."""
    try:
        members = _members(name, system, user, tool, no_tools=no_tools)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    _change({"action": "add", **members}, "saved", as_json=as_json)


@app.command("edit")
def edit(
    prompt: Which,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    system: Text = None,
    user: User = None,
    tool: Tools = None,
    no_tools: NoTools = False,
    as_json: Json = False,
) -> None:
    """Change what is given; the rest stays."""
    try:
        members = _members(name, system, user, tool, no_tools=no_tools)
        if not members:
            raise AppError("say what to change: --name, --system, --user, --tool or --no-tools")
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    _change({"action": "edit", "prompt": prompt, **members}, "changed", as_json=as_json)


@app.command("remove")
def remove(prompt: Which, as_json: Json = False) -> None:
    """Delete a prompt, on every device of the network that knows about deletion."""
    _change({"action": "remove", "prompt": prompt}, "removed", as_json=as_json)


@app.command("use")
def use(
    prompt: Which,
    network: Annotated[str, typer.Option("--network", help="The saved network that it is on.")],
    as_json: Json = False,
) -> None:
    """Copy a prompt of another saved network to the active one."""
    _change({"action": "use", "prompt": prompt, "network": network}, "is on this network now", as_json=as_json)


@app.command("export")
def export(
    prompt: Annotated[str | None, typer.Argument(help="Left out: all.", autocompletion=complete_prompt)] = None,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Print prompts as JSON."""
    try:
        book = _store().read(network)
        records: tuple[Prompt, ...] = book.records if prompt is None else (book.find(prompt),)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    context.print_json({"prompts": [p.to_json() for p in records]})
