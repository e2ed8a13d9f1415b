"""Runs the unit tests that have to run: `python -m support.selecting [--all]`, for scripts/check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.selecting.choice import Memory, choose, remember, shares
from support.selecting.tree import Tree, digest, of_repository

ROOT = Path(__file__).resolve().parents[3]
MEMORY = ROOT / ".check" / "memory.json"
BUDGET_S = 24.0
"""Processor time of the tests of one run; with lint and types beside them two quiet processors take under 20 s."""
PROCESSES = 2
CHOSEN = "not slow and not heavy"


def _about() -> str:
    deciding = [ROOT / "pyproject.toml", ROOT / "requirements.lock", *sorted(Path(__file__).parent.glob("*.py"))]
    contents = [path.read_bytes() for path in deciding]
    return digest(b"\0".join([sys.version.encode(), CHOSEN.encode(), os.environ.get("CI", "").encode(), *contents]))


def _run(parts: list[list[str]], data: Path) -> list[subprocess.Popen[bytes]]:
    """A process of pytest for each part: workers of one run would collect all tests, each of them."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "-p",
        "support.selecting.witness",
    ]
    started = []
    for number, part in enumerate(parts):
        with (data / f"{number}.out").open("wb") as output:
            environment = os.environ | {"MESH_TESTS": "fast", "MESH_WITNESS": str(data / f"{number}.json")}
            started.append(
                subprocess.Popen(
                    [*words, "-m", CHOSEN, *part], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
            )
    return started


def main() -> int:
    """Says what runs, what does not and why, and how it went."""
    everything = sys.argv[1:] == ["--all"]
    memory = Memory.load(MEMORY, _about())
    tree = Tree(ROOT, of_repository(ROOT), memory.known)
    tests = [path for path in tree.files if path.startswith("tests/unit/") and Path(path).name.startswith("test_")]
    tests = [path for path in tests if path.endswith(".py")]
    if everything or not memory.green:
        memory.green.clear()
        print("unit tests: all of them" + ("" if everything else ", nothing is remembered here of an earlier run"))
    choice = choose(tests, tree, memory, budget_s=None if everything else BUDGET_S)
    print(f"unit tests: {len(choice.now)} files run, {len(choice.waiting)} wait for the next run;")
    print(f"  {choice.green} others and all that they depend on are as they were when they were green")
    sys.stdout.flush()
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        parts = shares(choice.now, memory.cost_s, PROCESSES)
        started = _run(parts, data)
        reports, ran = [], []
        for number, (part, process) in enumerate(zip(parts, started, strict=True)):
            ended = process.wait()
            report = data / f"{number}.json"
            seen = json.loads(report.read_text("utf-8")) if report.exists() else {"whole": False}
            output = (data / f"{number}.out").read_text("utf-8")
            # 5: there was no test that is neither slow nor heavy.
            if ended in {0, 5} and seen["whole"]:
                print(output.rstrip("\n").splitlines()[-1])
            else:
                print(output)
                status = 1
            if seen["whole"]:
                reports.append(seen)
                ran += part
        remember(memory, tree, ran, reports)
        memory.save(MEMORY)
    if choice.waiting:
        rooms = ", ".join(sorted({path.split("/")[2] for path in choice.waiting}))
        print(f"NOT RUN: {len(choice.waiting)} files, though something has changed since they were green: {rooms}.")
        print("  The next scripts/check goes on with them; scripts/check --all runs all.")
    return status


if __name__ == "__main__":
    sys.exit(main())
