"""docs/health.md names every member of the report and every exit status, and no other."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec

from myownllm.cli.report import Report
from myownllm.health import EXIT_CODES, Finding

DOCUMENT = (Path(__file__).parents[3] / "docs" / "health.md").read_text(encoding="utf-8")


def members(cls: type[msgspec.Struct], before: str = "") -> list[str]:
    """Paths of every member, `peers[].why`."""
    found: list[str] = []
    for field in msgspec.structs.fields(cls):
        kinds = [field.type, *typing.get_args(field.type)]
        is_list = any(typing.get_origin(kind) is list or kind is list for kind in kinds)
        inner = [arg for kind in kinds for arg in (kind, *typing.get_args(kind))]
        nested = [each for each in inner if isinstance(each, type) and issubclass(each, msgspec.Struct)]
        path = f"{before}{field.name}"
        if nested and nested[0] is not Finding:
            found += members(nested[0], f"{path}{'[]' if is_list else ''}.")
        else:
            found.append(path)
    return found


def test_every_member_of_the_report_is_documented() -> None:
    documented = re.findall(r"^\| `([a-z_.\[\]]+)` \| [a-z]", DOCUMENT.partition("## The report")[2], re.MULTILINE)
    assert documented == sorted(documented, key=members(Report).index), "in the order of the report"
    assert set(documented) == set(members(Report))


def test_every_exit_status_is_documented() -> None:
    documented = re.findall(r"^\| (\d+) \| `([a-z_]+)` \|", DOCUMENT, re.MULTILINE)
    assert {name: int(code) for code, name in documented} == EXIT_CODES
