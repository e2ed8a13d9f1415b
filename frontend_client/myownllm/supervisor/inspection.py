"""Asking a program for its version before it may become the daemon: bounded, isolated, cached (spec 09 §3.2)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Final

import trio

from myownllm import versions
from myownllm.supervisor import binaries

if TYPE_CHECKING:
    from pathlib import Path

PROBE_TIMEOUT_S: Final = 5.0
_READ_BYTES: Final = versions.VERSION_OUTPUT_MAX_BYTES + 1


class Inspector:
    """Reads versions of candidates; the same unchanged file is run once."""

    def __init__(self, pin: str | None) -> None:
        self._pin = pin
        self._known: dict[tuple[Path, int, int], str | binaries.Refused] = {}

    async def version_of(self, candidate: binaries.Candidate) -> str | binaries.Refused:
        """The version of a candidate that may be started, or why it may not."""
        problem = binaries.file_problem(candidate.path)
        if problem is not None:
            return binaries.Refused(candidate, problem)
        facts = candidate.path.stat()
        key = (candidate.path, facts.st_size, facts.st_mtime_ns)
        known = self._known.get(key)
        if known is None:
            known = await self._read(candidate)
            self._known[key] = known
        return known

    async def _read(self, candidate: binaries.Candidate) -> str | binaries.Refused:
        try:
            version = versions.read_version_output(await _version_output(candidate.path))
        except (versions.VersionUnreadableError, OSError) as error:
            if candidate.source == "override":
                return "unknown"  # an override is somebody's decision; it is not compared, so it need not be readable
            return binaries.Refused(
                candidate,
                f"does not answer `--version` like a daemon ({error}); "
                f"set {binaries.OVERRIDES[0]}={candidate.path} to use it on purpose",
            )
        problem = binaries.version_problem(candidate, version, self._pin)
        return version if problem is None else binaries.Refused(candidate, problem)


async def _version_output(binary: Path) -> bytes:
    """What `<binary> --version` prints, run in an empty home. Raises OSError, VersionUnreadableError."""
    with tempfile.TemporaryDirectory(prefix="myownllm-probe-") as empty:
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C",
            "LC_ALL": "C",
            "MYOWNMESH_AUTOUPDATE": "0",
            "MYOWNMESH_LOG": "off",
            **dict.fromkeys(("HOME", "TMPDIR", "MYOWNMESH_HOME", "XDG_CACHE_HOME"), empty),
        }
        process = await trio.lowlevel.open_process(
            [str(binary), "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=empty,
            env=environ,
            start_new_session=True,
        )
        assert process.stdout is not None
        output = b""
        try:
            with trio.move_on_after(PROBE_TIMEOUT_S) as limit:
                while len(output) < _READ_BYTES:
                    data = await process.stdout.receive_some(_READ_BYTES)
                    if not data:
                        break
                    output += data
                else:
                    raise versions.VersionUnreadableError("output_too_large")
                await process.wait()
            if limit.cancelled_caught:
                raise versions.VersionUnreadableError("timeout")
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await process.stdout.aclose()
    if process.returncode:
        raise versions.VersionUnreadableError("killed" if process.returncode < 0 else "exit_status")
    return output
