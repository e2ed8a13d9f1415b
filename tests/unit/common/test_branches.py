"""Only the branch of a command tree that is gone along is built, and nobody can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from mesh_bundler.commands import app as bundler
from mesh_common.branches import branch
from myownllm.cli.tree import app as frontend
from myownmesh.cli.app import app as daemon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and every group below it, by its words."""
    yield path
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from paths(command.get_command(None, name), (*path, name))


WHOLE: dict[typer.Typer, Any] = {tree: get_command(tree) for tree in (frontend, daemon, bundler)}
EVERYWHERE = [(tree, path) for tree, whole in WHOLE.items() for path in paths(whole)]


def said(command: Any, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        command.main(args=list(words), prog_name="program")
    return (end.value.code, *capsys.readouterr())


@pytest.mark.heavy
@pytest.mark.parametrize(("tree", "path"), EVERYWHERE, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_a_branch_says_what_the_whole_tree_says(
    tree: typer.Typer, path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for rest in (["--help"], ["--no-such-option"], ["no-such-command", "--no-such-option"]):
        pruned = get_command(branch(tree, [*path, *rest]))
        assert said(pruned, [*path, *rest], capsys) == said(WHOLE[tree], [*path, *rest], capsys)


@pytest.mark.parametrize(
    ("tree", "path"),
    [(tree, path) for tree, path in EVERYWHERE if tree is not daemon],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_nothing_beside_the_branch_is_built(tree: typer.Typer, path: tuple[str, ...]) -> None:
    command: Any = get_command(branch(tree, [*path, "argument"]))
    whole = WHOLE[tree]
    for name in path:
        assert list(command.commands) == [name]
        command, whole = command.commands[name], whole.commands[name]
    assert list(getattr(command, "commands", {})) == list(getattr(whole, "commands", {}))


def test_groups_that_are_loaded_when_used_are_built_along_the_branch_too(capsys: pytest.CaptureFixture[str]) -> None:
    command: Any = get_command(daemon)
    said(command, ["ctl", "--json", "networks", "list", "--help"], capsys)
    assert list(command.commands["ctl"].commands["networks"].commands) == ["list"]


def test_a_tree_without_a_callback_keeps_the_names_of_its_commands() -> None:
    tree = typer.Typer()
    tree.command("one")(lambda: print("one"))
    tree.command("two")(lambda: print("two"))
    assert CliRunner().invoke(branch(tree, ["two"]), ["two"]).output == "two\n"


def test_a_name_that_stands_twice_is_left_to_typer() -> None:
    tree = typer.Typer()
    tree.callback()(lambda: None)
    tree.command("one")(lambda: print("first"))
    tree.command("one")(lambda: print("second"))
    assert branch(tree, ["one"]) is tree
