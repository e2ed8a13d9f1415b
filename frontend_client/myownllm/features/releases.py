"""Several registrations of one feature, taken back as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myownllm.client.registry import Release


def all_of(*releases: Release) -> Release:
    """Takes them back in reverse."""

    def release() -> None:
        for each in reversed(releases):
            each()

    return release
