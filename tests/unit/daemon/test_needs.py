"""The list of what serving needs is what the extra brings, and what the daemon imports is all declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from myownmesh.daemon import needs

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def modules_of(requirements: list[str]) -> set[str]:
    """Distribution names as they are imported."""
    names = (re.split(r"[<>=]", line, maxsplit=1)[0] for line in requirements)
    return {{"pynacl": "nacl", "pyopenssl": "OpenSSL"}.get(name, name.replace("-", "_")) for name in names}


def test_the_extra_brings_what_is_looked_for() -> None:
    assert set(needs.MODULES) == modules_of(PROJECT["optional-dependencies"][needs.EXTRA])


def test_everything_is_here() -> None:
    assert needs.missing() == []


def test_looking_imports_nothing() -> None:
    before = set(sys.modules)
    needs.missing()
    assert set(sys.modules) == before


@pytest.mark.parametrize("module", needs.MODULES)
def test_what_an_uninstallation_left_behind_is_no_library(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / module / "__pycache__").mkdir(parents=True)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert module in needs.missing()


@pytest.mark.heavy
def test_what_the_light_half_imports_is_installed_with_it() -> None:
    """What is imported when a module of the app, the bundler or the floor is, comes with the base installation.

    Only the screen's own modules, which are loaded when its extra is there, import what that brings.
    """
    base = modules_of(PROJECT["dependencies"])
    screen = modules_of(PROJECT["optional-dependencies"]["ui"])
    ours = {"mesh_common", "mesh_bundler", "myownllm"}
    for folder in ("common/mesh_common", "bundler/mesh_bundler", "frontend_client/myownllm"):
        for path in (ROOT / folder).rglob("*.py"):
            brought = base | screen if "ui" in path.parent.relative_to(ROOT).parts else base
            for node in ast.walk(ast.parse(path.read_text())):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                for name in names:
                    top = name.partition(".")[0]
                    assert top in sys.stdlib_module_names | brought | ours, (path, name)
