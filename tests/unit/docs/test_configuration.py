"""docs/configuration.md names every member that the app reads, with the default that it has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import pytest
from msgspec import Struct

from myownllm.api.settings import ApiSettings
from myownllm.catalog import model, network
from myownllm.catalog.model import Catalog
from myownllm.runtimes.models import Model
from myownllm.runtimes.settings import KEEP_ALIVE, OLLAMA_URL, RuntimeSettings
from myownllm.runtimes.speech import MODEL
from myownllm.supervisor.binaries import OVERRIDES
from myownllm.transfer_files.settings import FileSettings
from myownllm.ui.settings import UiSettings

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    """Members and their defaults below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([^|]+)` \|([^|]*)\|", section, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in rows}


def fields(cls: type, *without: str) -> set[str]:
    names = cls.__struct_fields__ if issubclass(cls, Struct) else [field.name for field in attrs.fields(cls)]
    return {*names} - set(without)


@pytest.mark.parametrize(
    ("heading", "members"),
    [
        ("`cloud_mesh`", {*model.MEMBERS, *model.OWN_MEMBERS, "daemon_download"}),
        ("`cloud_mesh.networks[*]`", set(network.MEMBERS)),
        ("`runtime`", fields(RuntimeSettings, "problem", "keep_alive")),
        ("`transcription`", {"base_url", "api_key", "model", "language"}),
        ("`api`", fields(ApiSettings, "problem")),
        ("`ui`", fields(UiSettings)),
        ("`files`", fields(FileSettings)),
    ],
)
def test_every_member_that_is_read_stands_there(heading: str, members: set[str]) -> None:
    assert set(table(heading)) == members


def test_what_the_code_asks_of_the_whole_file_stands_on_top() -> None:
    source = Path(model.__file__).parents[1]
    read = set()
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name, value in re.findall(r"^([A-Z_]+): Final = (\"[a-z_]+\")$", text, re.MULTILINE):
            text = text.replace(f".get({name})", f".get({value})")
        read |= set(re.findall(r"\b(?:config|sections)\.get\(\"([a-z_]+)\"\)", text))
    assert read | {"cloud_mesh"} == set(table("On top"))


def test_the_defaults_are_those_of_the_code() -> None:
    for heading, made in (("`api`", ApiSettings()), ("`ui`", UiSettings()), ("`cloud_mesh`", Catalog())):
        for name, told in table(heading).items():
            default = getattr(made, name, True)  # `daemon_download` is no member of the class
            stated = None if told == "none" else json.loads(told)
            assert stated == (list(default) if isinstance(default, tuple) else default), name
    assert table("On top")["ollama_keep_alive"] == f'"{KEEP_ALIVE}"'
    assert OLLAMA_URL in table("`runtime`")["base_url"]
    assert table("`transcription`")["model"] == f'"{MODEL}"'
    assert all(f"`{name}`" in PAGE for name in OVERRIDES)
    assert all(f'"{name}"' in PAGE for name in fields(Model, "chats"))
