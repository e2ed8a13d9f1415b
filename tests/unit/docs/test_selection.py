"""The fast loop leaves out only what nothing has touched (scripts/check, docs/development.md)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.selecting.choice import Memory, choose, remember, shares
from support.selecting.tree import EVERYTHING, Tree, names_in, of_repository
from support.selecting.witness import ROOT, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = {
    "daemon/myownmesh/__init__.py": "",
    "daemon/myownmesh/deep.py": "X = 1",
    "daemon/myownmesh/middle.py": "def f():\n    from myownmesh.deep import X\n    return X",
    "daemon/myownmesh/named.py": "",
    "tests/conftest.py": "from support import settings",
    "tests/support/settings.py": "",
    "tests/support/vectors.py": "",
    "tests/unit/a/test_middle.py": "from myownmesh import middle",
    "tests/unit/a/test_named.py": "import importlib\nimportlib.import_module('myownmesh.named')",
    "tests/unit/b/test_data.py": "from support.vectors import load",
    "tests/unit/b/test_starts.py": "import subprocess",
    "tests/vectors/one.json": "{}",
    "docs/page.md": "",
}
TESTS = [path for path in FILES if "/test_" in path]
READ = {"tests/support/vectors.py": ["tests/vectors/one.json"], "tests/unit/b/test_starts.py": [EVERYTHING]}


def tree_of(root: Path, files: Mapping[str, str], known: dict[str, list[str]]) -> Tree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Tree(root, {path: text + "!" for path, text in files.items()}, known)


def report(**members: object) -> dict[str, object]:
    return {"whole": True, "failed": [], "ran": dict.fromkeys(TESTS, 1.0), "read": READ} | members


def after_a_green_run(root: Path) -> Memory:
    memory = Memory("")
    assert remember(memory, tree_of(root, FILES, memory.known), TESTS, [report()]) == set(TESTS)
    return memory


def chosen(root: Path, memory: Memory, edits: Mapping[str, str], *, budget_s: float | None = None) -> list[str]:
    return choose(TESTS, tree_of(root, FILES | edits, memory.known), memory, budget_s=budget_s).now


def test_at_first_everything_runs_and_then_nothing(tmp_path: Path) -> None:
    assert sorted(chosen(tmp_path, Memory(""), {})) == sorted(TESTS)
    memory = after_a_green_run(tmp_path)
    assert chosen(tmp_path, memory, {}) == []


@pytest.mark.parametrize(
    ("edited", "runs"),
    [
        ("tests/unit/a/test_middle.py", {"tests/unit/a/test_middle.py"}),
        ("daemon/myownmesh/middle.py", {"tests/unit/a/test_middle.py"}),
        ("daemon/myownmesh/deep.py", {"tests/unit/a/test_middle.py"}),
        ("daemon/myownmesh/named.py", {"tests/unit/a/test_named.py"}),
        ("daemon/myownmesh/__init__.py", {"tests/unit/a/test_middle.py", "tests/unit/a/test_named.py"}),
        ("tests/vectors/one.json", {"tests/unit/b/test_data.py"}),
        ("tests/support/settings.py", set(TESTS)),
        ("docs/page.md", set()),
        ("docs/new.md", set()),
    ],
)
def test_what_depends_on_it_runs(tmp_path: Path, edited: str, runs: set[str]) -> None:
    memory = after_a_green_run(tmp_path)
    # Of a test that starts a program nobody knows what the program reads.
    assert set(chosen(tmp_path, memory, {edited: "Y = 2"})) == runs | {"tests/unit/b/test_starts.py"}


def test_what_failed_runs_again(tmp_path: Path) -> None:
    memory = Memory("")
    tree = tree_of(tmp_path, FILES, memory.known)
    remember(memory, tree, TESTS, [report(failed=["tests/unit/a/test_named.py"])])
    assert chosen(tmp_path, memory, {}) == ["tests/unit/a/test_named.py"]


def test_what_exceeds_the_budget_waits_farthest_first_and_is_not_forgotten(tmp_path: Path) -> None:
    memory = after_a_green_run(tmp_path)
    edits = {"daemon/myownmesh/deep.py": "X = 2", "tests/unit/a/test_named.py": "Z = 3"}
    tree = tree_of(tmp_path, FILES | edits, memory.known)
    choice = choose(TESTS, tree, memory, budget_s=1.5)
    assert choice.now == ["tests/unit/a/test_named.py"]
    assert choice.waiting == ["tests/unit/a/test_middle.py", "tests/unit/b/test_starts.py"]
    remember(memory, tree, choice.now, [report(ran={"tests/unit/a/test_named.py": 0.5})])
    assert chosen(tmp_path, memory, edits) == choice.waiting


def test_of_another_interpreter_or_a_damaged_file_nothing_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "memory.json"
    memory = after_a_green_run(tmp_path)
    memory.save(file)
    assert Memory.load(file, "") == memory
    assert Memory.load(file, "another").green == {}
    file.write_text('{"about": ""')
    assert Memory.load(file, "").green == {}


def test_parts_take_about_as_long(tmp_path: Path) -> None:
    assert shares("abcd", {"a": 3.0, "b": 1.0, "c": 1.0, "d": 1.0}, 2) == [["a"], ["b", "c", "d"]]
    assert shares([], {}, 2) == []


def test_names_stand_wherever_a_module_may_be_imported() -> None:
    source = (
        "import a.b\nif TYPE_CHECKING:\n    from c import d\ndef f():\n    import_module('e.f')\n    return 'no name'"
    )
    assert names_in(source) == ["a.b", "c", "c.d", "e.f"]


def test_who_looks_at_the_repository_depends_on_all_of_it() -> None:
    assert told(f"{ROOT}README.md", folder=False) == EVERYTHING
    assert told(f"{ROOT}daemon", folder=True) == EVERYTHING
    assert told(f"{ROOT}tests/vectors", folder=True) == "tests/vectors/"
    assert told(f"{ROOT}tests/vectors/governance.json", folder=False) == "tests/vectors/governance.json"
    assert told("/etc/passwd", folder=False) is None


def test_files_are_what_git_knows_and_would_add(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("left\n")
    (tmp_path / "new").write_text("1")
    (tmp_path / "left").write_text("2")
    first = of_repository(tmp_path)
    assert sorted(first) == [".gitignore", "new"]
    (tmp_path / "new").write_text("3")
    assert of_repository(tmp_path)["new"] != first["new"]
