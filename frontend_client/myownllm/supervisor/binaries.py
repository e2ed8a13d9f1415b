"""Which programs may be the daemon, in which order, and which of them this app may start (spec 08 §3.3).

The seed's second bug was a stale build that was started because it was there. So: everything but an explicit override
must say which version it is, and that version must fit the pin.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mesh_common.installation import how_to_add
from mesh_common.pins import parse_pin
from mesh_common.values import Value
from mesh_common.versions import compare, version_meets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mesh_common.versions import Reported, Unreadable

OVERRIDES: Final = ("MYOWNLLM_MESH_BIN", "MYOWNMESH_BIN")
_WORDS_MAX: Final = 400
"""Characters of a foreign program's last line: a sentence with a path and a command line."""
Source = Literal["override", "bundled", "path", "development", "staged"]


class Candidate(Value, frozen=True):
    """A file that may be the daemon, and why it was considered."""

    path: Path
    source: Source
    origin: str
    """for people: the variable, the folder or the rule that named it"""


class Refused(Value, frozen=True):
    """A candidate that is not used, in a sentence that names it and the way out."""

    candidate: Candidate
    reason: str


def collect(
    environ: Mapping[str, str],
    app_directory: Path,
    checkout: Path | None,
    triple: str,
) -> list[Candidate]:
    """All candidates, best first, each file once (FE-3.5). `checkout` is the source folder that this app runs from."""
    found: list[Candidate] = []
    for variable in OVERRIDES:
        value = environ.get(variable, "").strip()
        if value:
            found.append(Candidate(Path(value).absolute(), "override", f"${variable}"))
    slots = ("myownmesh", f"myownmesh-{triple}", f"binaries/myownmesh-{triple}")
    found += [Candidate(app_directory / name, "bundled", f"beside the app ({app_directory})") for name in slots]
    folders = [f for f in environ.get("PATH", "").split(os.pathsep) if f]
    found += [Candidate(Path(f).absolute() / "myownmesh", "path", f"PATH ({f})") for f in folders]
    if checkout is not None:
        for base in (checkout, checkout.parent, checkout.parent / "MyOwnMesh"):
            for profile in ("debug", "release"):
                path = base / "target" / profile / "myownmesh"
                found.append(Candidate(path, "development", f"development build ({base})"))
    seen: set[str] = set()
    unique: list[Candidate] = []
    for candidate in found:
        if candidate.source != "override" and not os.path.exists(candidate.path):  # noqa: PTH110 - raises for nothing
            continue
        canonical = os.path.realpath(candidate.path)  # of a loop of links, too
        if canonical not in seen:
            seen.add(canonical)
            unique.append(candidate)
    return unique


def file_problem(path: Path) -> str | None:
    """Why a file cannot be a program at all, or None."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({getattr(error, 'strerror', None) or error})"
    if not stat.S_ISREG(facts.st_mode):
        return "is not a regular file"
    if facts.st_size == 0:
        return "is an empty placeholder"
    if not os.access(path, os.X_OK):
        return "is not executable"
    return None


def unreadable_text(candidate: Candidate, reading: Unreadable) -> str:
    """Why a candidate that does not say its version is refused: in its own last words, if it says that it failed."""
    words = reading.detail.strip().splitlines()
    if reading.reason == "exit_status" and words:
        return f"fails on `--version`: {words[-1].removeprefix('error: ')[:_WORDS_MAX]}"
    return (
        f"does not answer `--version` like a daemon ({reading.reason}); "
        f"set {OVERRIDES[0]}={candidate.path} to use it on purpose"
    )


def version_problem(candidate: Candidate, reading: Reported, pin: str | None) -> str | None:
    """Why a readable version is not good enough for the pin, or None. Overrides are never compared (spec 09 S3)."""
    if pin is None or candidate.source == "override":
        return None
    exact, version = candidate.source == "development", str(reading.version)
    if compare(parse_pin(pin.encode()), reading).matches if exact else version_meets(version, pin):
        return None
    need = "exactly" if exact else "at least"
    return (
        f"reports {version}, this app is built against {pin} and needs {need} that; "
        f"install the pinned release, or set {OVERRIDES[0]}={candidate.path} to use it on purpose"
    )


def no_binary_text(refused: Iterable[Refused], staging: str | None) -> str:
    """The error when nothing is left to start: what was looked at, and the remedies (FE-3.9)."""
    lines = ["no mesh daemon to start"]
    lines += [f"  {r.candidate.path} ({r.candidate.origin}) {r.reason}" for r in refused]
    if staging:
        lines.append(f"  download: {staging}")
    helps = (
        "  what helps: put `myownmesh` on the PATH, bundle it at build time with `mesh-bundler ensure`, "
        f"or name it in {OVERRIDES[0]}"
    )
    install = how_to_add("daemon")
    if not any(install in line for line in lines):  # one of ours that cannot serve has said it
        helps += f"; or install it beside this app: {install}"
    return "\n".join([*lines, helps])
