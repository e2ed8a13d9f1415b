"""Programs of the system that some tests need: who lacks one skips those and is told what helps, CI never does."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable


def excused(missing: Iterable[str]) -> list[str]:
    """What of it excuses a test from running. In CI nothing does: scripts/test brings it there, or the test fails."""
    return [] if os.environ.get("CI") else list(missing)


def absent(*programs: str) -> list[str]:
    """Programs that are not here."""
    return [program for program in programs if shutil.which(program) is None]


def needs(program: str, package: str, untested: str) -> pytest.MarkDecorator:
    """For tests that run a program of a Debian package."""
    return pytest.mark.skipif(
        bool(excused(absent(program))),
        reason=f"NO {program} HERE, so {untested}: scripts/test installs it on Debian (apt-get install {package})",
    )
