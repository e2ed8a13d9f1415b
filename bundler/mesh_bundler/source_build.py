"""Building the daemon from source: the last resort, only when asked (spec 09 §5 row 6)."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_bundler.errors import Exit, Notice, Refused
from mesh_common.programs import own_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mesh_bundler.decision import BuildSource
    from mesh_bundler.plan import Plan

_LIMIT = 45 * 60.0
"""Seconds; a cold build of the reference on a slow machine."""
_POLL = 0.5
"""Seconds."""


@contextlib.contextmanager
def built(
    plan: Plan, build: BuildSource, notice: Callable[[Notice], None], checkpoint: Callable[[], None]
) -> Iterator[Path]:
    """Path of the freshly built daemon, valid inside the block. Raises `Refused` with `source_build_failed`."""
    name = plan.settings.program
    with tempfile.TemporaryDirectory(prefix="mesh-build-") as folder:
        command = [
            "cargo", "install", "--git", f"https://github.com/{plan.feed.repo}", "--bin", name, "--locked",
            "--root", folder, "--tag" if build.is_tag else "--rev", build.revision,
        ]  # fmt: skip
        command += [] if plan.runnable else ["--target", plan.target.triple]
        notice(
            Notice("source_build", f"Building {name} {build.revision} from source; this takes minutes.", level="info")
        )
        _run(command, folder, checkpoint)
        path = Path(folder) / "bin" / (name + plan.target.platform.exe)
        if not path.is_file():
            raise _failed(f"cargo reported success but built no {path.name}")
        yield path


def _run(command: list[str], folder: str, checkpoint: Callable[[], None]) -> None:
    log = Path(folder) / "build.log"
    deadline = time.monotonic() + _LIMIT
    with log.open("wb") as out, own_group(command, stdout=out, stderr=out) as process:
        while process.poll() is None:
            checkpoint()
            if time.monotonic() > deadline:
                raise _failed(f"it took longer than {_LIMIT / 60:.0f} min")
            time.sleep(_POLL)
    if process.returncode:
        raise _failed(log.read_text(encoding="utf-8", errors="replace")[-400:].strip())


def _failed(why: str) -> Refused:
    return Refused(
        "source_build_failed",
        Exit.NETWORK,
        f"The daemon could not be built from source: {why}.",
        hint="Use a released version, or build it by hand and set MYOWNLLM_MESH_BIN.",
    )
