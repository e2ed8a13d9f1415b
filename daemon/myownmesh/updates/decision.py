"""Whether a release on offer is taken (spec 09 §10.3). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from mesh_common.semver import SemVer

if TYPE_CHECKING:
    from collections.abc import Collection


class Verdict(StrEnum):
    """What a release on offer is to this installation."""

    DEFERRED = "deferred"
    """Somebody else owns this program's file."""
    INVALID_CANDIDATE = "invalid_candidate"
    UP_TO_DATE = "up_to_date"
    IGNORED_PRERELEASE = "ignored_prerelease"
    QUARANTINED = "quarantined"
    """It was here, and did not work."""
    POLICY_BLOCKED = "policy_blocked"
    STAGE_ONLY = "stage_only"
    """Fetched and verified; a person puts it in."""
    STAGE_AND_APPLY = "stage_and_apply"


_LARGEST_JUMP = {"patch": 2, "minor": 1, "all": 0, "none": 0}
"""Policy: the first field of a version that may differ. A word that is none of these is `patch`, as v0.3.8 has it."""


def decide(
    *,
    policy: str,
    current: str,
    candidate: str,
    channel: str = "stable",
    quarantined: Collection[str] = (),
    managed: bool = False,
) -> Verdict:
    """What becomes of the release `candidate`, by SemVer precedence: never a downgrade, whatever the policy."""
    if managed:
        return Verdict.DEFERRED
    here, there = SemVer.parse(current), SemVer.parse(candidate.removeprefix("v"))
    if here is None or there is None:
        return Verdict.INVALID_CANDIDATE
    if there.precedence <= here.precedence:
        return Verdict.UP_TO_DATE
    if there.pre and channel != "beta":
        return Verdict.IGNORED_PRERELEASE
    if str(there) in quarantined:
        return Verdict.QUARANTINED
    # Three equal fields: from a pre-release to its release, or to a later one.
    jump = next((at for at in range(3) if here.core[at] != there.core[at]), 2)
    if jump < _LARGEST_JUMP.get(policy, _LARGEST_JUMP["patch"]):
        return Verdict.POLICY_BLOCKED
    return Verdict.STAGE_ONLY if policy == "none" else Verdict.STAGE_AND_APPLY


def newer(current: str, candidate: str) -> bool:
    """Whether `candidate` is a later release than `current`; a text that is no version is never one."""
    here, there = SemVer.parse(current), SemVer.parse(candidate)
    return here is not None and there is not None and there.precedence > here.precedence
