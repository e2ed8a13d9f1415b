"""The README's list of what a person can do: every command of it is run, between two devices, as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from e2e.devices import REPOSITORY, Pair, demo, eventually, myownllm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def base() -> Iterator[Path]:
    folder: Path = demo.temporary_base()
    yield folder
    demo.shutil.rmtree(folder, ignore_errors=True)


def commands() -> list[str]:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    section = text.partition("## What a person can do\n")[2].partition("\n## ")[0]
    block = section.split("```")[1]
    return [re.split(r" +# ", line)[0] for line in block.splitlines() if line]


@pytest.mark.slow  # a dozen commands, each a process
def test_what_a_person_can_do(base: Path) -> None:
    pair, model = Pair(base), demo.Model(base, None)
    demo.configure(pair.anna, {"kind": "none"})
    demo.configure(pair.boris, {"kind": "ollama", "base_url": model.url})
    file = base / "notes.txt"
    file.write_text("bread, milk")
    lines = commands()
    assert len(lines) > 8
    assert all(line.startswith("myownllm ") for line in lines)
    try:
        model.start()
        pair.up()
        pair.meet()
        eventually(lambda: pair.anna.run("models")["models"], "the model of the peer")
        said = {}
        for line in lines:
            _, *words = shlex.split(line)
            words = [{"NAME": "Boris", "FILE": str(file)}.get(word, word) for word in words]
            done = myownllm(pair.anna.home, *words)
            in_part = (4,) if words == ["netcheck"] else ()  # no STUN server is named here
            assert done.returncode in (0, *in_part), (line, done.stdout, done.stderr)
            said[line] = done.stdout
        asked = next(line for line in lines if " infer " in line)
        model.check(shlex.split(asked)[2], said[asked])
        assert pair.boris.run("inbox")["offers"][0]["filename"] == file.name
        assert json.dumps(pair.boris.run("conversations", "list", "--here")).count("Dinner plans") == 1
        eventually(lambda: "Recipes" in json.dumps(pair.boris.run("prompts", "list")), "the prompt")
    finally:
        pair.stop()
        model.stop()
