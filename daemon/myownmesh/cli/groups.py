"""Command groups that load their parts when used, and that have a ``help`` word at every level (spec 07 §6.1)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
import typer.main
from typer.core import TyperGroup

from mesh_common.branches import branch

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP_OPTIONS = {"help_option_names": ["--help", "-h"]}
"""Both spellings, at every level below too."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option of every command that answers programs, too."""


class Group(TyperGroup):
    """A group whose subgroups are imported only when somebody goes there or asks for help."""

    lazy: ClassVar[dict[str, str]] = {}
    """Name of a subgroup to the module whose ``app`` it is."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, loading it if need be."""
        self._load(cmd_name, ())
        return super().get_command(ctx, cmd_name)

    def _load(self, name: str, words: Sequence[str]) -> None:
        """Have the subgroup of this name, if it is one; of it no more than what the words behind its name go along."""
        if name in self.lazy and name not in self.commands:
            app: typer.Typer = import_module(self.lazy[name]).app
            command = typer.main.get_command(branch(app, words))
            command.name = name
            self.commands[name] = command

    def list_commands(self, ctx: Any) -> list[str]:
        """Own commands in their order of definition, then subgroups."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in self.lazy if name not in own)]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command of `args`; the word ``help`` prints the help of what follows it and ends with code 0."""
        if args[0] == "help" and self.get_command(ctx, "help") is None:
            _print_help(self, ctx, args[1:])
            raise typer.Exit(0)
        self._load(args[0], [word for word in args[1:] if word != "--json"])  # a switch, wherever it stands
        return super().resolve_command(ctx, args)


def _print_help(group: Any, ctx: Any, path: list[str]) -> None:
    for name in path:
        command: Any = group.get_command(ctx, name) if isinstance(group, Group) else None
        if command is None:
            ctx.fail(f"No such command '{name}'.")
        ctx = command.make_context(name, [], parent=ctx, resilient_parsing=True)
        group = command
    typer.echo(ctx.get_help())


def group(help_text: str, **lazy: str) -> typer.Typer:
    """A group with a help text; `lazy` maps names of subgroups to modules, underscores standing for hyphens."""

    class Here(Group):
        pass

    Here.lazy = {name.replace("_", "-"): module for name, module in lazy.items()}
    app = typer.Typer(
        cls=Here,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=help_text,
        epilog="'help COMMAND' explains one command.",
    )

    @app.callback()
    def callback() -> None:
        pass

    return app
