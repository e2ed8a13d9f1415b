"""Libraries of ours that are loaded into real processes before all others, to change what the system tells them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.tools import absent, excused


def missing() -> str:
    """Why none can be loaded here; empty where one can."""
    if sys.platform != "linux":
        return "NO LINUX HERE, so faults of clocks, disks and file systems are not tested"
    if excused(absent("cc")):
        return (
            "NO C COMPILER HERE, so faults of clocks, disks and file systems are not tested: scripts/test installs one"
        )
    return ""


def build(name: str, folder: Path) -> Path:
    """Compile the library of that name into `folder`."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library
