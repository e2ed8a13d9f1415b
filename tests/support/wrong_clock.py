"""Real processes whose wall clock is wrong, by a library that is loaded into them before all others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def missing() -> str:
    """Why no clock can be made wrong here; empty where it can."""
    if sys.platform != "linux":
        return "only Linux preloads it"
    return "" if shutil.which("cc") else "needs a C compiler"


def build(folder: Path) -> Path:
    """Compile the library into `folder`."""
    library = folder / "wrong_clock.so"
    source = Path(__file__).with_name("wrong_clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


def environment(library: Path, wrong_by_s: int) -> dict[str, str]:
    """What to start a program with so that its wall clock is so many seconds ahead."""
    return {"LD_PRELOAD": str(library), "WRONG_BY": str(wrong_by_s)}
