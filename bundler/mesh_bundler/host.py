"""Facts about the machine that runs the bundler (spec 09 §4.1). The only module that asks the system for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mesh_bundler import header
from mesh_bundler.target import HostFacts


def gather() -> HostFacts:
    """Ask the interpreter and the system; never reads distribution files, which lie about the libc."""
    machine = os.uname().machine
    if sys.platform == "darwin":
        return HostFacts(sys.platform, machine, _pointer_bits(), rosetta=_translated())
    libc, version = _libc()
    return HostFacts(
        sys.platform,
        machine,
        _pointer_bits(),
        libc=libc,
        libc_version=version,
        android=hasattr(sys, "getandroidapilevel") or "ANDROID_ROOT" in os.environ,
    )


def _pointer_bits() -> int:
    return 64 if sys.maxsize > 2**32 else 32


def _libc() -> tuple[str | None, str | None]:
    for program in (sys.executable, "/bin/sh"):
        try:
            found = header.inspect(Path(program)).libc if program else None
        except (header.BadHeader, OSError):
            continue
        if found == "musl":
            return "musl", None
        if found == "glibc":
            break
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""  # type: ignore[unused-ignore,attr-defined]  # macOS has none
    except (ValueError, OSError):
        return None, None
    name, _, version = text.partition(" ")
    return ("glibc", version) if name == "glibc" else (None, None)


def _translated() -> bool:
    """Whether this process runs under Rosetta; the real processor counts then."""
    import ctypes

    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    libc = ctypes.CDLL(None)
    failed = libc.sysctlbyname(b"sysctl.proc_translated", ctypes.byref(value), ctypes.byref(size), None, 0)
    return not failed and value.value == 1
