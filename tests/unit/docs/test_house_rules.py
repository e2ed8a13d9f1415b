"""Rules of the source that neither the linter nor the type checker knows."""

from __future__ import annotations

import ast
import re
import tokenize
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.examples import FAST_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
PACKAGES = ("common", "daemon", "frontend_client", "bundler")
EVERYWHERE = (*PACKAGES, "scripts", "benchmarks", "tests")

IGNORE = re.compile(r"#\s*type:\s*ignore")
WITH_REASON = re.compile(r"# type: ignore\[[a-z,-]+\]  # \S.{4,}")
WINDOWS = re.compile(r"\b(win32|cygwin|msvcrt|winreg|_winapi)\b|os\.name\b|\\\\pipe\\\\")

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
    if not IGNORE.search((ROOT / name).read_text("utf-8")):
        return []  # reading the words of a file takes much longer than reading the file
    found = [(line, text) for line, text in comments(name) if IGNORE.search(text)]
    return [f"{name}:{line}: {text}" for line, text in found if not WITH_REASON.fullmatch(text)]


def test_an_ignored_type_error_has_its_reason_beside_it() -> None:
    names = sources(*EVERYWHERE)
    assert len(names) > 1000
    assert [found for name in names for found in unexplained(name)] == []


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
        if name not in KNOWS_TARGETS
        for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1)
        if WINDOWS.search(line)
    ]
    assert found == []


def test_the_metadata_names_the_supported_systems() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    systems = {name for name in project["classifiers"] if name.startswith("Operating System")}
    assert systems == {"Operating System :: MacOS", "Operating System :: POSIX :: Linux"}
    assert "Supported are Linux and macOS" in (ROOT / "README.md").read_text()


# ── what a module keeps to itself ─────────────────────────────────────────────────────────────────────────────────────

MAY_REACH = re.compile(r"""(?<!\bself)(?<!\bcls)(?<!super\(\))\._[A-Za-z]|import .*\b_[A-Za-z]|attr\(.*["']_[A-Za-z]""")
PUBLIC = frozenset({"_exit", "_replace", "_fields", "_make", "_asdict"})
"""Of `os` and of named tuples: documented, and named so just to stay out of the way."""
REACHED = frozenset(
    {
        ("daemon/myownmesh/signaling/tls.py", "_ssl_object"),  # the dates of a verified chain: nothing else has them
        ("daemon/myownmesh/signaling/tls.py", "_sslobj"),
        ("daemon/myownmesh/signaling/websocket.py", "_message_parts"),  # the library bounds bytes, not pieces
        ("tests/integration/bundler/test_app_without_daemon.py", "_base_executable"),  # below any number of venvs
    }
)
"""Private members of others that there is no way around. Those of aiortc and aioice stand in `test_private_api`."""
LISTED_THERE = ("daemon/myownmesh/transport/", "tests/unit/transport/", "tests/support/reference_peer.py")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 1 and name not in PUBLIC


def reached(text: str) -> set[str]:
    """Private names that a module takes from objects, classes or modules that another one has made."""
    tree = ast.parse(text)
    own, found = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                own.add(name)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name):
                own.add(name)
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.ImportFrom(names=names):
                found |= {alias.name for alias in names}
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[_, ast.Constant(str(name)), *_]):
                found |= {name} if called in ("getattr", "setattr", "hasattr", "delattr") else set()
    return {name for name in found - own if is_private(name)}


@pytest.mark.heavy
def test_nobody_reaches_into_what_another_module_keeps_to_itself() -> None:
    """Tests neither: what they need to see is public, or seen by what it does."""
    found = {
        (name, member)
        for name in sources(*EVERYWHERE)
        if not name.startswith(LISTED_THERE) and MAY_REACH.search(text := (ROOT / name).read_text("utf-8"))
        for member in reached(text)
    }
    assert found == REACHED


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("peer.link._epoch", {"_epoch"}),
        ("f(x)._epoch = 1", {"_epoch"}),
        ("from room import _epoch", {"_epoch"}),
        ('monkeypatch.setattr(room, "_epoch", 1)', {"_epoch"}),
        ('getattr(room, "_epoch")', {"_epoch"}),
        ("self._epoch", set()),
        ("self._epoch = 1\nother._epoch", set()),
        ("usage._replace(free=1)", set()),
        ("peer.__class__", set()),
    ],
)
def test_what_counts_as_reaching_into_another(line: str, names: set[str]) -> None:
    assert reached(line) == names
    assert not names or MAY_REACH.search(line)


# ── who branches on what went wrong ───────────────────────────────────────────────────────────────────────────────────

STEERED = frozenset(
    {
        "frontend_client/myownllm/refusals.py",  # the one place that reads the words of other apps
    }
)
MAY_STEER = re.compile(r"str\(\w+\)|\.(text|message|args)\b")


def steered_by_words(text: str) -> list[int]:
    """Lines that compare the sentence of an error; `mesh_common.client.errors` and `refusals` turn those into kinds."""
    tree = ast.parse(text)
    errors = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)} | {"error"}

    def is_sentence(node: ast.expr) -> bool:
        match node:
            case ast.Call(func=ast.Name("str"), args=[ast.Name(name)]):
                return name in errors
            case ast.Attribute(value=ast.Name(name), attr="text" | "message" | "args"):
                return name in errors
            case ast.Call(func=ast.Attribute(value=value)):  # a part of it
                return is_sentence(value)
            case _:
                return False

    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                compared = [left, *others]
            case ast.Call(func=ast.Attribute(value=value, attr="startswith" | "endswith")):
                compared = [value]
            case ast.Call(func=ast.Attribute(value=ast.Name("re")), args=compared):
                pass
            case _:
                continue
        found += [node.lineno] if any(map(is_sentence, compared)) else []
    return found


@pytest.mark.heavy
def test_nobody_steers_by_comparing_sentences() -> None:
    found = {
        name
        for name in sources(*PACKAGES, "scripts", "benchmarks")
        if MAY_STEER.search(text := (ROOT / name).read_text("utf-8")) and steered_by_words(text)
    }
    assert found == STEERED


@pytest.mark.parametrize(
    ("line", "steers"),
    [
        ("error.text == WORDS", True),
        ("'no' in str(error)", True),
        ("error.text.removeprefix(P) != WORDS", True),
        ("str(error).startswith('no')", True),
        ("re.match(WORDS, error.text)", True),
        ("try: f()\nexcept E as gone:\n    str(gone) == WORDS", True),
        ("error.kind == KIND", False),
        ("print(error.text)", False),
        ("told.text == WORDS", False),
    ],
)
def test_what_counts_as_steering_by_a_sentence(line: str, steers: bool) -> None:
    assert bool(steered_by_words(line)) is steers
    assert not steers or MAY_STEER.search(line)


# ── one way of writing ────────────────────────────────────────────────────────────────────────────────────────────────

RULER = re.compile(r"\s*# ── \S.* ─+")
LOOKS_LIKE_A_RULER = re.compile(r"\s*# ?.*(?:-{6}|={6}|─{6}|#{6})\s*")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
MAY_BE_A_REMARK = re.compile(r"^ *_?[A-Z][A-Z0-9_]*\b.*[=)\]}].*#", re.MULTILINE)


def wrong_rulers(text: str) -> list[str]:
    lines = [line for line in text.split("\n") if LOOKS_LIKE_A_RULER.fullmatch(line)]
    return [line for line in lines if not RULER.fullmatch(line)]


def wrong_loggers(text: str) -> list[str]:
    made = re.findall(r"^\w+ *= *logging\.getLogger\(.*\)$", text, flags=re.MULTILINE)
    return [line for line in made if line != "log = logging.getLogger(__name__)"]


def remarks_beside_constants(text: str) -> list[str]:
    """Constants of a module or class that are explained beside their value instead of below it."""
    if not MAY_BE_A_REMARK.search(text):
        return []
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
        (wrong_rulers, EVERYWHERE),
        (wrong_loggers, PACKAGES),
        (remarks_beside_constants, PACKAGES),
    ],
)
def test_every_module_is_written_alike(wrong: Callable[[str], list[str]], places: tuple[str, ...]) -> None:
    found = [f"{name}: {line}" for name in sources(*places) for line in wrong((ROOT / name).read_text("utf-8"))]
    assert found == []


def many_examples(text: str) -> list[str]:
    """Properties that would draw more than the fast loop has time for."""
    return [found[0] for found in re.finditer(r"max_examples=(\d+)", text) if int(found[1]) > FAST_EXAMPLES]


def test_a_unit_test_says_by_examples_how_many_it_draws() -> None:
    found = [f"{name}: {each}" for name in sources("tests/unit") for each in many_examples((ROOT / name).read_text())]
    assert found == [], "max_examples=examples(100) draws a few of them in the fast loop"


def test_what_is_written_otherwise_is_seen() -> None:
    assert many_examples("@settings(max_examples=" + "16)")
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
