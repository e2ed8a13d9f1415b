"""Rules of the source that neither the linter nor the type checker knows."""

from __future__ import annotations

import ast
import re
import tokenize
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
PACKAGES = ("common", "daemon", "frontend_client", "bundler")
CHECKED = (*PACKAGES, "scripts", "benchmarks", "tests/unit/transport", "tests/integration/transport")

IGNORE = re.compile(r"#\s*type:\s*ignore")
WITH_REASON = re.compile(r"# type: ignore\[[a-z,-]+\]  # \S.{4,}")
WINDOWS = re.compile(r"\b(win32|cygwin|msvcrt|winreg|_winapi)\b|os\.name\b|\\\\pipe\\\\")

REBUILT = frozenset({"daemon/myownmesh/cli/client.py"})
"""Gives way to the common client, with its Windows pipe."""
KNOWS_TARGETS = frozenset({"bundler/mesh_bundler/target.py"})
"""Pure knowledge of what the reference is built for."""


def sources(*places: str) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT))
        for place in places
        for path in (ROOT / place).rglob("*.py")
        if ".venv" not in path.parts
    )


def comments(name: str) -> list[tuple[int, str]]:
    with (ROOT / name).open("rb") as file:
        return [
            (token.start[0], token.string)
            for token in tokenize.tokenize(file.readline)
            if token.type == tokenize.COMMENT
        ]


def unexplained(name: str) -> list[str]:
    found = [(line, text) for line, text in comments(name) if IGNORE.search(text)]
    return [f"{name}:{line}: {text}" for line, text in found if not WITH_REASON.fullmatch(text)]


def test_an_ignored_type_error_has_its_reason_beside_it() -> None:
    names = sources(*CHECKED)
    assert len(names) > 300
    assert [found for name in names if name not in REBUILT for found in unexplained(name)] == []


@pytest.mark.parametrize(
    ("comment", "explained"),
    [
        ("# type: ignore[arg-type]  # any trio stream does", True),
        ("# type: ignore[attr-defined,misc]  # as written", True),
        ("# type: ignore[arg-type]", False),
        ("# type: ignore[arg-type] # close", False),
        ("# type: ignore[arg-type]  # x", False),
        ("# type: ignore  # whatever it is", False),
    ],
)
def test_what_counts_as_a_reason(comment: str, explained: bool) -> None:
    assert bool(WITH_REASON.fullmatch(comment)) is explained


def test_no_code_for_a_system_that_no_test_runs_on() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in sources(*PACKAGES)
        if name not in KNOWS_TARGETS and name not in REBUILT
        for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1)
        if WINDOWS.search(line)
    ]
    assert found == []


def test_the_metadata_names_the_supported_systems() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    systems = {name for name in project["classifiers"] if name.startswith("Operating System")}
    assert systems == {"Operating System :: MacOS", "Operating System :: POSIX :: Linux"}
    assert "Supported are Linux and macOS" in (ROOT / "README.md").read_text()


# ── one way of writing ────────────────────────────────────────────────────────────────────────────────────────────────

RULER = re.compile(r"\s*# ── \S.* ─+")
LOOKS_LIKE_A_RULER = re.compile(r"\s*# ?.*(?:-{6}|={6}|─{6}|#{6})\s*")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


def wrong_rulers(text: str) -> list[str]:
    lines = [line for line in text.split("\n") if LOOKS_LIKE_A_RULER.fullmatch(line)]
    return [line for line in lines if not RULER.fullmatch(line)]


def wrong_loggers(text: str) -> list[str]:
    made = re.findall(r"^\w+ *= *logging\.getLogger\(.*\)$", text, flags=re.MULTILINE)
    return [line for line in made if line != "log = logging.getLogger(__name__)"]


def remarks_beside_constants(text: str) -> list[str]:
    """Constants of a module or class that are explained beside their value instead of below it."""
    lines, found = text.split("\n"), []
    tree = ast.parse(text)
    for holder in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
        for statement in holder.body:
            match statement:
                case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                    pass
                case _:
                    continue
            assert statement.end_lineno is not None
            rest = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode()
            is_remark = rest.strip().startswith("#") and not re.match(r"\s*# (type:|noqa|fmt)", rest)
            if CONSTANT.fullmatch(name) and name != "TYPE_CHECKING" and is_remark:
                found.append(f"{name}{rest}")
    return found


@pytest.mark.parametrize(
    ("wrong", "places"),
    [
        (wrong_rulers, (*PACKAGES, "tests", "benchmarks", "scripts")),
        (wrong_loggers, PACKAGES),
        (remarks_beside_constants, PACKAGES),
    ],
)
def test_every_module_is_written_alike(wrong: Callable[[str], list[str]], places: tuple[str, ...]) -> None:
    found = [f"{name}: {line}" for name in sources(*places) for line in wrong((ROOT / name).read_text("utf-8"))]
    assert found == []


def test_what_is_written_otherwise_is_seen() -> None:
    name = " name "
    assert wrong_rulers("# ------------------")
    assert wrong_rulers(f"# --{name}".ljust(120, "-"))
    assert not wrong_rulers(f"# ──{name}".ljust(120, "─"))
    assert wrong_loggers('log = logging.getLogger("x")')
    assert wrong_loggers("logger = logging.getLogger(__name__)")
    assert not wrong_loggers("log = logging.getLogger(__name__)")
    assert remarks_beside_constants("WAIT_S = 1.0  # seconds")
    assert remarks_beside_constants("class A:\n    WAIT_S: float = 1.0  # seconds")
    assert not remarks_beside_constants('WAIT_S = 1.0\n"""Seconds."""\nwait = 2  # no constant')
