"""The system's own programs for services, run with a bound."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mesh_common.readable import readable

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S: Final = 150.0
"""Longer than systemd waits for a start or a stop before it gives up and says so."""


class ServiceError(Exception):
    """Something with the service could not be done; the text is for a person."""


@frozen
class Ran:
    """How a program ended, and what it said."""

    status: int
    out: str = ""
    errors: str = ""


if TYPE_CHECKING:
    Run = Callable[..., Ran]
    """Words of a command to how it ended. Raises `ServiceError` where the program is missing or does not end."""


def run(*words: str) -> Ran:
    """Run a program of the system. Raises `ServiceError`."""
    program = shutil.which(words[0])
    if program is None:
        raise ServiceError(
            f"{words[0]} is not on this machine, so nothing here can run a service; use `myownmesh serve`"
        )
    try:
        ended = subprocess.run(
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"`{' '.join(words)}` has not ended within {PATIENCE_S:.0f} s") from error
    except OSError as error:
        raise ServiceError(f"{program}: {error.strerror or error}") from error
    return Ran(ended.returncode, readable(ended.stdout.strip()), readable(ended.stderr.strip()))


def must(run: Run, *words: str) -> None:
    """`run`; raises `ServiceError` with what it said when it fails."""
    ran = run(*words)
    if ran.status:
        raise ServiceError(f"`{' '.join(words)}`: {ran.errors or ran.out or f'ended with status {ran.status}'}")
