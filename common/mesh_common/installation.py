"""How this program came onto the machine, and so which command line brings the rest of it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

DISTRIBUTION = "myownllm-mesh"


def how_to_add(
    extra: str, *, prefix: Path | None = None, executable: str | None = None, stdlib: Path | None = None
) -> str:
    """The command line that installs us again with this extra: by pipx, uv or pip, whichever installed us.

    The other arguments stand for `sys.prefix`, `sys.executable` and the folder of the standard library, which the
    system's package manager marks as its own. Never raises: what cannot be read is pip's.
    """
    prefix = Path(sys.prefix) if prefix is None else prefix
    executable = sys.executable if executable is None else executable
    wanted = f"'{DISTRIBUTION}[{extra}]'"
    if _exists(prefix / "pipx_metadata.json"):
        return f"pipx install --force {wanted}"
    if _exists(prefix / "uv-receipt.toml"):
        return f"uv tool install {wanted}"
    if _made_by_uv(prefix):
        if _is_for_one_run(prefix):
            return f"uvx --from {wanted} …"
        return f"uv pip install --python {shlex.quote(executable)} {wanted}"
    # A packed program's modules have no files.
    stdlib = Path(getattr(os, "__file__", sys.prefix)).parent if stdlib is None else stdlib
    is_the_systems = not _exists(prefix / "pyvenv.cfg") and _exists(stdlib / "EXTERNALLY-MANAGED")
    # Whoever could install us there has used this switch, without which pip refuses.
    switch = "--break-system-packages " if is_the_systems else ""
    return f"{shlex.quote(executable)} -m pip install {switch}{wanted}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _made_by_uv(prefix: Path) -> bool:
    try:
        lines = (prefix / "pyvenv.cfg").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def _is_for_one_run(prefix: Path) -> bool:
    """Whether `uvx` made the environment: those lie in uv's cache, which carries the tag of all caches."""
    return any(_exists(parent / "CACHEDIR.TAG") for parent in prefix.parents)
