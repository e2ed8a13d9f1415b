"""What is made once for all tests, in however many processes they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

PATIENCE_S = 480
"""For what another process is making."""


def once(factory: pytest.TempPathFactory, worker_id: str, name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name; `make` fills it, unless another worker has done so or is at it.

    It is filled under the name that it keeps, because what is made may remember where it lies.
    """
    base = factory.getbasetemp() if worker_id == "master" else factory.getbasetemp().parent
    folder, made = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock") as lock:
        lock.acquire(wait=PATIENCE_S)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
