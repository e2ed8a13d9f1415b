"""Where a daemon comes from when this machine has none: the release at the pin, staged by the bundler (spec 09 §5).

The bundler is looked up at run time, so that an app that ships its daemon need not ship the bundler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import trio

from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class StagingUnavailableError(AppError):
    """No daemon could be fetched; the text says why and what helps."""


async def stage(target: Path, pin: str | None, report: Callable[[str], None]) -> Path:
    """Fetch, verify and stage the pinned daemon into `target`; returns its path. Raises StagingUnavailableError.

    `report` gets one line per step, for a person who waits.
    """
    if pin is None:
        raise StagingUnavailableError("this build has no `.myownmesh-rev`, so it does not know which release to fetch")
    try:
        bundler = importlib.import_module("mesh_bundler.stage")
        ensure = bundler.ensure_for_app
    except (ImportError, AttributeError):
        raise StagingUnavailableError("the bundler is not part of this installation") from None
    try:
        staged: Path = await trio.to_thread.run_sync(ensure, target, pin, report, abandon_on_cancel=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise StagingUnavailableError(str(error)) from error
    return staged
