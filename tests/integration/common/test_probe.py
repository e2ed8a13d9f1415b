"""Asking a program for its version: whatever it does, nothing of it is left (spec 09 §3.2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh_common.probe import probe
from mesh_common.semver import SemVer
from mesh_common.versions import Reported, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

SOUND = Reported(SemVer(0, 3, 8))
ANSWER = 'printf "myownmesh 0.3.8\\n"'
HELPER = "sleep 987 &"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes an executable shell script; temporary folders of probes lie beside it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def make(body: str) -> Path:
        path = tmp_path / "program"
        path.write_bytes(f"#!/bin/sh\necho $$ >{tmp_path}/pid\n{body}\n".encode())
        path.chmod(0o755)
        return path

    return make


def nothing_left(folder: Path) -> bool:
    """Whether the probed program's group is gone and its folder too."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(int((folder / "pid").read_text()), 0)
        except (ProcessLookupError, PermissionError):
            return not list(folder.glob("mesh-probe-*"))
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ANSWER, SOUND),
        (f"{HELPER} {ANSWER}", SOUND),
        (f"{HELPER} {ANSWER}; exit 0", SOUND),
        (f"( sleep 0.05; {ANSWER} ) &", SOUND),
        (f"trap '' TERM; {HELPER} {ANSWER}", SOUND),
        (f"{HELPER} exit 3", "exit_status"),
        (f"{HELPER} kill -SEGV $$", "killed"),
        (f"{HELPER} {ANSWER}; sleep 987", "timeout"),
        (f"trap '' TERM; {HELPER} sleep 987", "timeout"),
        ("exec >&- 2>&-; sleep 987", "timeout"),
        (f"{HELPER} while :; do echo lots of words; done", "output_too_large"),
        ("head -c 100000 /dev/zero >&2; " + ANSWER, SOUND),
        (HELPER, "empty_output"),
    ],
)
def test_an_answer_that_came_counts_and_the_group_ends(
    script: Callable[[str], Path], tmp_path: Path, body: str, expected: Reported | str
) -> None:
    reading = probe(script(body), timeout=0.7)
    assert (reading.reason if isinstance(reading, Unreadable) else reading) == expected
    assert nothing_left(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no other system shows where a process is at home")
@pytest.mark.parametrize("start", ["cd {}; exec", "env -i"])
def test_a_helper_with_a_session_of_its_own_ends_too(script: Callable[[str], Path], tmp_path: Path, start: str) -> None:
    """As launchers do that start something for the background: no group holds it, and our pipe is its pipe."""
    (tmp_path / "stray.py").write_text(
        f"import os, time\nos.setsid()\nopen('{tmp_path}/stray', 'w').write(str(os.getpid()))\ntime.sleep(987)"
    )
    leaves = f"({start.format(tmp_path)} {sys.executable} {tmp_path}/stray.py) &"
    assert probe(script(f"{leaves} while [ ! -s {tmp_path}/stray ]; do sleep 0.01; done; {ANSWER}")) == SOUND
    stray = int((tmp_path / "stray").read_text())
    deadline = time.monotonic() + 5
    while _runs(stray):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/environ").read_bytes())  # of one that has ended, nothing
    except OSError:
        return False


def test_a_caller_that_gives_up_leaves_nothing(script: Callable[[str], Path], tmp_path: Path) -> None:
    class GaveUpError(Exception):
        pass

    def checkpoint() -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"):
            raise GaveUpError

    with pytest.raises(GaveUpError):
        probe(script(f"{HELPER} sleep 987"), checkpoint=checkpoint)
    assert nothing_left(tmp_path)


IN_MAIN = """
import signal, sys
from pathlib import Path
from mesh_common.probe import probe
def end(number, frame):
    raise KeyboardInterrupt
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
probe(Path(sys.argv[1]), timeout=60)
"""
IN_THREAD = """
import sys, threading, time
from pathlib import Path
from mesh_common.probe import probe
threading.Thread(target=probe, args=(Path(sys.argv[1]),), kwargs={"timeout": 60}, daemon=True).start()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_us_ends_the_program_first(
    script: Callable[[str], Path], tmp_path: Path, number: signal.Signals
) -> None:
    asker = subprocess.Popen(
        [sys.executable, "-c", IN_MAIN, str(script(f"{HELPER} sleep 987"))], stderr=subprocess.PIPE
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    asker.send_signal(number)
    assert b"KeyboardInterrupt" in asker.communicate(timeout=10)[1]
    assert nothing_left(tmp_path)


class SignalWithin:
    """A lock that is taken at the very moment at which a signal arrives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.release = self._lock.release
        self.is_to_come = True

    def acquire(self, blocking: bool = True) -> bool:
        taken = self._lock.acquire(blocking)
        if self.is_to_come:
            self.is_to_come = False
            signal.raise_signal(signal.SIGINT)
        return taken

    def __enter__(self) -> None:
        assert self._lock.acquire(timeout=5), "the lock of a program that is asked was never given back"

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_signal_while_the_program_is_looked_at_leaves_nothing_locked(
    script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looked(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            self._waitpid_lock = SignalWithin()

    monkeypatch.setattr(subprocess, "Popen", Looked)
    with pytest.raises(KeyboardInterrupt):
        probe(script("sleep 987"))
    assert not list(tmp_path.glob("mesh-probe-*"))


def test_the_end_of_the_interpreter_ends_what_a_thread_asks(script: Callable[[str], Path], tmp_path: Path) -> None:
    path = script(f"{HELPER} touch {tmp_path}/asked; sleep 987")
    subprocess.run([sys.executable, "-c", IN_THREAD, str(path), str(tmp_path / "asked")], check=True, timeout=20)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("line", ["/bin/sh", "/usr/bin/env sh", "/bin/sh -e"])
def test_a_windows_line_end_after_the_interpreter_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "program"
    path.write_bytes(f"#!{line}\r\necho myownmesh 0.3.8\r\n".encode())
    path.chmod(0o755)
    reading = probe(path)
    assert isinstance(reading, Unreadable)
    assert (reading.reason, "Windows" in reading.detail) == ("crlf_shebang", True)


def test_paths_that_lead_nowhere_are_an_answer_too(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / "absent", tmp_path / ("x" * 300)):
        assert isinstance(probe(path), Unreadable)


def test_without_a_temporary_folder_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    reading = probe(Path("/bin/sh"))
    assert isinstance(reading, Unreadable)
    assert reading.reason == "no_temporary_folder"
