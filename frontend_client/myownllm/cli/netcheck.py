"""`myownllm netcheck`: what lets other devices be met and reached from here; the daemon's program looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from myownllm.cli import context
from myownllm.cli.daemon import programs
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, AppError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownllm.home import AppHome

EPILOG: Final = (
    "Exit status: 0 everything works, 4 a part of it, 5 nothing, 1 it could not look; three seconds at most."
)
_WAIT_S: Final = 20.0
"""For a program that looks for a second and a half, on a machine that is busy."""
_UNKNOWN: Final = 2
"""A program that does not know the command: a daemon of another release."""


def netcheck(as_json: Json = False) -> None:
    """Look what lets other devices be met and reached from here: UDP, NAT, servers with times, clock, multicast."""
    try:
        done = _looked(context.home(), ["--json"] if as_json else [])
        answer = msgspec.json.decode(done.stdout) if as_json and done.stdout else None
    except msgspec.DecodeError as error:
        context.fail(AppError(f"`myownmesh netcheck` says no JSON: {error}"), as_json=as_json)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    sys.stderr.write(done.stderr)
    if answer is not None:
        context.print_answer(answer)
    else:
        sys.stdout.write(done.stdout)
    raise SystemExit(done.returncode)


def _looked(app_home: AppHome, options: list[str]) -> subprocess.CompletedProcess[str]:
    """What the first program says that knows how to look. Raises AppError."""
    daemon = context.find_daemon(app_home)
    home = app_home.shared_daemon if daemon is not None and daemon.mode == "shared" else app_home.own_daemon
    environ = {**os.environ, "MYOWNMESH_HOME": str(home)}  # a daemon that cannot look has its networks there
    tried = []
    for program in _candidates():
        tried.append(program)
        try:
            done = subprocess.run(
                [program, "netcheck", *options],
                env=environ,
                capture_output=True,
                encoding="utf-8",
                timeout=_WAIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AppError(f"{program} netcheck did not end within {_WAIT_S:.0f} s") from None
        except OSError:
            continue  # it is no program for this machine; `daemon paths` names it
        if done.returncode != _UNKNOWN:
            return done
    raise AppError(f"no program here can look: {', '.join(tried) or 'there is none'}; it takes our `myownmesh`")


def _candidates() -> Iterator[str]:
    """Programs, best first. The usual one is found without the supervisor, whose modules cost a quarter of a look."""
    beside = Path(sys.executable).with_name("myownmesh")
    named = any(os.environ.get(variable, "").strip() for variable in ("MYOWNLLM_MESH_BIN", "MYOWNMESH_BIN"))
    if not named and os.access(beside, os.X_OK):
        yield str(beside)
    yield from (each["path"] for each in programs() if not each["problem"])
