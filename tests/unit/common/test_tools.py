"""Programs of the system, run to their end."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mesh_common.tools import KEPT_BYTES, Ended, ToolError, ToolMissing, ToolTooLate, run_tool

if TYPE_CHECKING:
    from pathlib import Path

BOTH = "import os; os.write(1, b' one\\n'); os.write(2, b'two '); os.write(1, b'three'); raise SystemExit(3)"


def test_both_streams_are_told_apart_or_kept_in_their_order() -> None:
    assert run_tool([sys.executable, "-c", BOTH], 60) == Ended(3, "one\nthree", "two")
    assert run_tool([sys.executable, "-c", BOTH], 60, as_one=True) == Ended(3, "one\ntwo three")


def test_of_what_it_says_the_end_is_kept() -> None:
    """Caddy prints the configuration of thousands of sites in one line, which is read."""
    said = run_tool([sys.executable, "-c", f"print('a' * {KEPT_BYTES} + 'b' * 100_000)"], 60).out
    assert (len(said), said[-100_001:].count("b")) == (KEPT_BYTES - 1, 100_000)  # its line end is not shown


def test_one_that_is_missing_or_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="nobodys-tool is not on this machine"):
        run_tool(["nobodys-tool"], 1)
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/at/all\n")
    broken.chmod(0o755)
    with pytest.raises(ToolError, match=r"broken: No such file or directory"):
        run_tool([str(broken)], 1)


@pytest.mark.heavy  # five seconds, in which nothing is done
def test_one_that_is_late_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    waits = f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600"
    with pytest.raises(ToolTooLate, match="has not ended within 5 s"):
        run_tool(["sh", "-c", f"sh -c '{waits}' & wait"], 5)
    until_gone(int(pid.read_text()))


def until_gone(pid: int) -> None:
    """Whoever adopts it has waited for it; the test's own limit ends this."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.01)
