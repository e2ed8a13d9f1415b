"""The system's own programs for services, run with a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.tools import ToolError, ToolMissing, run_tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.tools import Ended

PATIENCE_S: Final = 150.0
"""Longer than systemd waits for a start or a stop before it gives up and says so."""


class ServiceError(Exception):
    """Something with the service could not be done; the text is for a person."""


if TYPE_CHECKING:
    Run = Callable[..., Ended]
    """Words of a command to how it ended. Raises `ServiceError` where the program is missing or does not end."""


def run(*words: str) -> Ended:
    """Run a program of the system. Raises `ServiceError`."""
    try:
        return run_tool(words, PATIENCE_S)
    except ToolMissing as error:
        raise ServiceError(f"{error}, so nothing here can run a service; use `myownmesh serve`") from error
    except ToolError as error:
        raise ServiceError(str(error)) from error


def must(run: Run, *words: str) -> None:
    """`run`; raises `ServiceError` with what it said when it fails."""
    ran = run(*words)
    if ran.status:
        raise ServiceError(f"`{' '.join(words)}`: {ran.errors or ran.out or f'ended with status {ran.status}'}")
