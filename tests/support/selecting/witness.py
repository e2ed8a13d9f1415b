"""A plugin of pytest that sees which files of the repository tests read, and writes down which test files are green.

`MESH_WITNESS` names the file that gets its report.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.selecting.tree import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = str(Path(__file__).resolve().parents[3]) + "/"
STARTS = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.spawn", "os.system")
LISTS = ("os.listdir", "os.scandir")
PRODUCT = ("common/", "daemon/", "frontend_client/", "bundler/")


def told(path: str, *, folder: bool) -> str | None:
    """What it means that this was read: nothing, a file, a folder with `/` at its end, or everything."""
    path = os.path.normpath(Path.cwd() / path)
    if not path.startswith(ROOT):
        return EVERYTHING if folder and path + "/" == ROOT else None
    name = path[len(ROOT) :]
    if name.split("/", 1)[0] in {".venv", ".git", ".hypothesis", ".pytest_cache", ".check"}:
        return None
    if folder:
        return f"{name}/" if name.startswith("tests/") else EVERYTHING
    if "__pycache__" in name:
        if not name.endswith(".pyc"):
            return None  # one that is being written
        try:
            name = importlib.util.source_from_cache(path)[len(ROOT) :]
        except ValueError:  # pytest's own, of a test that it has rewritten
            return None
    # Who reads a page of the documentation or a script asks about the repository, and its next question is another.
    return name if name.startswith(("tests/", *PRODUCT)) else EVERYTHING


class Witness:
    """Whatever opens a file, in whichever thread, is heard by an audit hook; who reads is found on the stack.

    What a test reads counts for its file. Helpers may keep what they read for the next test, so it counts for each
    module of the tests that has a part in it, and for the module of the product that reads what belongs to the product.
    """

    def __init__(self) -> None:
        self.current: str | None = None
        self.read: defaultdict[str, set[str]] = defaultdict(set)
        self.failed: set[str] = set()
        self.ran: defaultdict[str, float] = defaultdict(float)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" or event in LISTS:
            if not isinstance(args[0], (str, bytes, os.PathLike)):
                return
            here = inspect.currentframe()
            caller = here.f_back if here else None
            if event != "open" and caller and caller.f_code.co_filename.startswith("<frozen importlib"):
                return  # an import looks where the module is
            target = told(os.fsdecode(args[0]), folder=event != "open")
        elif event in STARTS:
            target = EVERYTHING
        else:
            return
        if target is not None:
            self.note(target)

    def note(self, target: str) -> None:
        if self.current is not None:
            self.read[self.current].add(target)
        frame = inspect.currentframe()
        innermost = True
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(ROOT) and not name.startswith(f"{ROOT}.venv/"):
                source = name[len(ROOT) :]
                ours = source.startswith("tests/support/selecting/")
                if not ours and (source.startswith("tests/") or (innermost and target.startswith(PRODUCT))):
                    self.read[source].add(target)
                innermost = innermost and ours
            frame = frame.f_back

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.current = item.path.as_posix()[len(ROOT) :]
        began = time.process_time()
        try:
            return (yield)
        finally:
            self.ran[self.current] += time.process_time() - began
            self.current = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid.split("::")[0])

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        whole = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}
        report = {
            "whole": whole,
            "failed": sorted(self.failed),
            "ran": dict(self.ran),
            "read": {source: sorted(targets) for source, targets in self.read.items()},
        }
        Path(os.environ["MESH_WITNESS"]).write_text(json.dumps(report), "utf-8")


def pytest_configure(config: pytest.Config) -> None:
    witness = Witness()
    config.pluginmanager.register(witness, "mesh-witness")
    sys.addaudithook(witness.hear)
