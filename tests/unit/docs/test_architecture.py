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


def test_folders_and_modules_that_the_text_names_exist() -> None:
    known = [path for package in ("daemon/myownmesh", "common/mesh_common") for path in (ROOT / package,)]
    for name in re.findall(r"`([a-z_]+/[a-z_./]+)`", TEXT):
        assert any((place / name).exists() for place in (*known, ROOT)), f"{name} is on no map"
