"""docs/architecture.md is true to the tree: its tables are the folders, and the layers that lint-imports checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = {
    "daemon": ROOT / "daemon" / "myownmesh",
    "app": ROOT / "frontend_client" / "myownllm",
    "bundler": ROOT / "bundler" / "mesh_bundler",
    "common floor": ROOT / "common" / "mesh_common",
}


def table_of(title: str) -> dict[str, int]:
    """The rooms of one table and their layers."""
    section = TEXT.split(f"## The rooms of the {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+` ?)+) \| \S.* \|$", section, flags=re.MULTILINE)
    return {room: int(layer) for layer, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def rooms_on_disk(package: Path) -> set[str]:
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    modules = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    return folders | modules


def contract_of(package: Path) -> list[set[str]]:
    """The layers of the import contract, the lowest first."""
    (contract,) = (
        each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each.get("containers") == [package.name]
    )
    assert contract["exhaustive"], "a new room must say where it stands"
    return [set(re.findall(r"\w+", layer)) for layer in reversed(contract["layers"])]


@pytest.mark.parametrize("title", PACKAGES)
def test_each_room_on_disk_is_on_the_map_and_each_one_on_the_map_exists(title: str) -> None:
    assert set(table_of(title)) == rooms_on_disk(PACKAGES[title])


@pytest.mark.parametrize("title", PACKAGES)
def test_the_map_shows_the_layers_that_are_checked(title: str) -> None:
    on_map = table_of(title)
    layers = [{room for room, layer in on_map.items() if layer == number} for number in sorted(set(on_map.values()))]
    assert layers == contract_of(PACKAGES[title])


# ── names in the text ─────────────────────────────────────────────────────────────────────────────────────────────────

SOURCES = [ROOT / "common" / "mesh_common", ROOT / "daemon" / "myownmesh", ROOT / "frontend_client" / "myownllm"]
SOURCES.append(ROOT / "bundler" / "mesh_bundler")
CODE = {path: path.read_text("utf-8") for source in SOURCES for path in source.rglob("*.py")}
MAPS = ("architecture.md", "development.md")


def quoted(map_name: str, pattern: str) -> list[tuple[str, ...]]:
    """What stands between backticks and looks like that, call parentheses aside."""
    text = (ROOT / "docs" / map_name).read_text("utf-8")
    found = (re.fullmatch(pattern, name) for name in re.findall(r"`([^`\n]+?)(?:\([^`\n]*\))?`", text))
    return [match.groups() for match in found if match is not None]


@pytest.mark.parametrize("map_name", MAPS)
def test_files_that_a_map_names_exist(map_name: str) -> None:
    for (name,) in quoted(map_name, r"([a-z_.]+/[a-z_./<>]+)"):
        path = name.split("<")[0]
        assert any((place / path).exists() for place in (ROOT, *SOURCES)), f"{name} is nowhere"
    rooms = {path.name: path for source in SOURCES for path in source.iterdir() if path.is_dir()}
    for room, module in quoted(map_name, r"([a-z]+)\.([a-z_]+)"):
        if room in rooms and f"{room}.{module}" != "config.json":
            assert (rooms[room] / f"{module}.py").exists(), f"{room} has no module {module}"


@pytest.mark.heavy
@pytest.mark.parametrize("map_name", MAPS)
def test_classes_and_methods_that_a_map_names_exist(map_name: str) -> None:
    for name, method in quoted(map_name, r"([A-Z][a-z]+[A-Za-z]*)(?:\.([a-z_]+))?"):
        holders = [text for text in CODE.values() if re.search(rf"^class {name}\b", text, flags=re.MULTILINE)]
        assert holders, f"no class {name}"
        if method:
            assert any(re.search(rf"\b(?:def )?{method}\b", text) for text in holders), f"{name} has no {method}"
