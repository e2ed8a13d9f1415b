"""What the caller of the bundler allows, and how much proof it wants (spec 09 §5, §7.5)."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from mesh_common.versions import SiblingPolicy

    Level: TypeAlias = Literal["none", "checksum", "signature", "lock"]

LEVELS: tuple[Level, ...] = ("none", "checksum", "signature", "lock")
"""Ascending trust (spec 09 §7.5)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the caller allows. `require` is the release mode: no sibling, no source build, no stub."""

    require: bool = False
    skip: str | None = None  # the variable or switch that asked to skip
    use_siblings: bool = True
    sibling_policy: SiblingPolicy = "exact"
    allow_unpinned: bool = False
    allow_stub: bool = False
    keep_stale: bool = False
    allow_source_build: bool = False
    floor: Level = "checksum"
    override_variable: str = "MYOWNLLM_MESH_BIN"  # the one that hints name


def rank(level: str) -> int:
    """Position among the levels; what is unknown proves nothing."""
    return LEVELS.index(level) if level in LEVELS else 0
