"""The vectors in tests/vectors: cases that decide what is right, as data."""

from __future__ import annotations

import functools
import json
import marshal
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).parents[1] / "vectors"


def load(file: str, section: str) -> Any:
    """One section of one file, for example `load("peer-protocol", "frames")`; each call gives a copy of its own."""
    return marshal.loads(_parse(file.removesuffix(".json"))[section])


def suite(name: str) -> pytest.MarkDecorator:
    """One test per case of a suite of frontend.json, as the argument `case`."""
    cases = load("frontend", "suites")[name]["cases"]
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in cases])


@functools.cache
def _parse(name: str) -> dict[str, bytes]:
    """The sections, as what a copy is quickly made of."""
    sections = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return {section: marshal.dumps(value) for section, value in sections.items()}
