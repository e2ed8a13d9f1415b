"""What a daemon says of itself (spec 09 §3.3)."""

from __future__ import annotations

import pytest

from mesh_common.semver import SemVer
from mesh_common.versions import PROGRAM, Reported, Unreadable, read_version


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"", "empty_output"),
        (b"\nmyownmesh 0.3.8\n", "blank_first_line"),
        (b"warning: x\nmyownmesh 0.3.8\n", "wrong_program"),
        (b"myownmesh\n", "unparsable"),
        (b"myownmesh 0.3\n", "unparsable"),
        (b"myownmesh 0.3.8 extra\n", "unparsable"),
        (b"\xff", "not_utf8"),
        (b"myownmesh 0.3.8" + b" " * 5000, "output_too_large"),
    ],
)
def test_unreadable_versions_name_their_reason(output: bytes, reason: str) -> None:
    reading = read_version(output, 0, program=PROGRAM)
    assert isinstance(reading, Unreadable)
    assert reading.reason == reason


@pytest.mark.parametrize(
    ("output", "commits"), [(b"myownmesh 0.3.8\r\nmore\n", ()), (b"myownmesh v0.3.8 (abcdef0 2026)\n", ("abcdef0",))]
)
def test_readable_versions(output: bytes, commits: tuple[str, ...]) -> None:
    assert read_version(output, 0, program=PROGRAM) == Reported(SemVer(0, 3, 8), commits)
