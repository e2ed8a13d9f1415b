"""The branch of a command tree that a command line goes along, so that typer does not build the other branches.

A tree of fifty commands costs typer 25 ms at every start, one command of it half a millisecond.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from typer.main import get_command_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer
    from typer.models import CommandInfo, TyperInfo


def branch(tree: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """The tree with only the command that the words begin with, group by group.

    Where the next word is no command (an option, a mistake, the end of the words), everything below stays, because
    help texts and corrections name all of it.
    """
    if not words or tree.registered_callback is None:  # without one, a tree of one command would lose its name
        return tree
    return _branch(tree, words)


def _branch(tree: typer.Typer, words: Sequence[str]) -> typer.Typer:
    commands = [command for command in tree.registered_commands if _name(command) == words[0]]
    groups = [group for group in tree.registered_groups if group.name == words[0]]
    if len(commands) + len(groups) != 1:
        return tree
    pruned = copy(tree)
    pruned.registered_commands = commands
    pruned.registered_groups = [_group(group, words[1:]) for group in groups]
    return pruned


def _name(command: CommandInfo) -> str:
    return command.name or (get_command_name(command.callback.__name__) if command.callback is not None else "")


def _group(group: TyperInfo, words: Sequence[str]) -> TyperInfo:
    if not words or group.typer_instance is None:
        return group
    pruned = copy(group)
    pruned.typer_instance = _branch(group.typer_instance, words)
    return pruned
