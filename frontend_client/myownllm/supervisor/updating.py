"""A daemon older than the pin is asked to update itself, once per run of the app (spec 08 FE-3.21).

It is advice and blocks nothing. The daemon's own updater decides what it takes; the app switches it on, has it look,
and, of a daemon in this app's own home only, has it put in what it found.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
import trio

from mesh_common.values import Value
from myownllm.supervisor.binaries import file_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from myownllm.coerce import Json, JsonObject
    from myownllm.supervisor.binaries import Candidate

    Run = Callable[[Path, Sequence[str]], Awaitable["Ran"]]
    """One command of the updater: the program, its arguments."""

COMMAND_S: Final = 120.0
"""One command of the updater; a download may be in it."""
SHOWN_CHARS: Final = 300
"""Of what a failed command said last."""


class Ran(Value, frozen=True):
    """How a command of the updater ended; a status of None is one that took too long or did not start."""

    status: int | None
    out: str = ""
    error: str = ""


@attrs.frozen
class UpdateResult:
    """What became of it, in the words of spec 08 FE-3.21."""

    own: bool
    binary: str
    ok: bool
    """the updater is on and has looked"""
    check: Json = None
    """what `update check --json` told, where it was JSON"""
    check_error: str = ""
    applied: bool | None = None
    """None of a shared daemon: its own app puts updates in"""
    apply: str = ""
    apply_error: str = ""

    @property
    def succeeded(self) -> bool:
        return self.ok and self.applied is not False

    def to_json(self) -> JsonObject:
        return attrs.asdict(self)

    @property
    def detail(self) -> str:
        """In a sentence, for screens."""
        if not self.ok:
            return f"the updater of {self.binary} cannot help: {self.check_error}"
        if self.applied is None:
            return f"the updater of {self.binary} has looked; the app that this daemon belongs to puts updates in"
        if not self.applied:
            return f"the update was not put in: {self.apply_error}"
        said = f" ({self.apply})" if self.apply else ""
        return f"the updater of {self.binary} is done{said}; a new release runs after `myownllm daemon restart`"


def updater_of(running: Path | None, candidates: Iterable[Candidate]) -> Path | None:
    """The program to ask: the one that runs, where that is known, else the first that is there.

    One that a variable names is somebody's decision for that release; it is left alone.
    """
    if running is not None:
        known = [c for c in candidates if c.path == running]
        return None if any(c.source == "override" for c in known) else running
    there = (c for c in candidates if file_problem(c.path) is None)
    first = next(there, None)
    return None if first is None or first.source == "override" else first.path


async def update_to_pin(binary: Path, run: Run, *, own: bool) -> UpdateResult:
    """Switch the updater on, have it look, and of an own daemon have it put in what it found."""
    on = await run(binary, ("update", "enable"))
    if on.status != 0:
        return UpdateResult(own, str(binary), ok=False, check_error=_said(on), applied=False if own else None)
    looked = await run(binary, ("update", "check", "--json"))
    try:
        check: Json = msgspec.json.decode(looked.out)
    except msgspec.DecodeError:
        check = looked.out.strip()[:SHOWN_CHARS] or None
    ok = looked.status == 0
    result = UpdateResult(own, str(binary), ok=ok, check=check, check_error="" if ok else _said(looked))
    if not own:
        return result
    if not ok:
        return attrs.evolve(result, applied=False)
    put_in = await run(binary, ("update", "apply"))
    applied = put_in.status == 0
    return attrs.evolve(
        result,
        applied=applied,
        apply=put_in.out.strip()[:SHOWN_CHARS] if applied else "",
        apply_error="" if applied else _said(put_in),
    )


def _said(ran: Ran) -> str:
    lines = (ran.error.strip() or ran.out.strip()).splitlines()
    if lines:
        return lines[-1].removeprefix("error: ")[:SHOWN_CHARS]
    return f"took longer than {COMMAND_S:.0f} s" if ran.status is None else f"ended with status {ran.status}"


def runner(environ: Mapping[str, str], own_home: Path | None) -> Run:
    """Commands of this machine; for an own daemon in its home."""
    settings = dict(environ) if own_home is None else {**environ, "MYOWNMESH_HOME": str(own_home)}

    async def run(binary: Path, arguments: Sequence[str]) -> Ran:
        try:
            with trio.move_on_after(COMMAND_S):
                done = await trio.run_process(
                    [str(binary), *arguments],
                    env=settings,
                    stdin=subprocess.DEVNULL,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                )
                return Ran(done.returncode, _text(done.stdout), _text(done.stderr))
        except OSError as error:
            return Ran(None, error=error.strerror or str(error))
        return Ran(None)

    return run


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
