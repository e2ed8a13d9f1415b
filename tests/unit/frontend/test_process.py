"""Real child processes that pretend to be daemons: started, heard, ended, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import trio

from myownllm.supervisor.binaries import Candidate, Refused
from myownllm.supervisor.inspection import Inspector
from myownllm.supervisor.log import DaemonLog
from myownllm.supervisor.ports import ReadyLine
from myownllm.supervisor.process import LaunchError, launch
from myownllm.supervisor.world import worked_s

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READY = 'os.write(int(os.environ["MYOWNMESH_READY_FD"]), b\'{"ready":true,"pid":1}\\n\')'


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    def write(body: str) -> Path:
        path = tmp_path / f"myownmesh-{len(list(tmp_path.iterdir()))}"
        path.write_text(f"#!{sys.executable} -IS\nimport os, sys, time, signal\n{textwrap.dedent(body)}\n")
        path.chmod(0o755)
        return path

    return write


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_readiness_environment_and_polite_end(program: Callable[[str], Path], tmp_path: Path) -> None:
    """FE-3.16."""
    binary = program(
        f"""
        print(sys.argv[1:], os.environ["MYOWNMESH_HOME"], os.getcwd(), os.getsid(0) == os.getpid(), flush=True)
        signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
        {READY}
        time.sleep(30)
        """
    )
    log = DaemonLog(None)
    async with trio.open_nursery() as nursery:
        child = await launch(binary, tmp_path, os.environ, log, nursery)
        with trio.fail_after(10):
            assert await child.ready_line() == ReadyLine(ready=True)
        await child.stop()
        assert child.exit_status == 0
    assert child.tail() == [f"['serve'] {tmp_path} {tmp_path} True", "bye"]


async def test_a_daemon_that_ignores_the_signal_is_killed(program: Callable[[str], Path], tmp_path: Path) -> None:
    binary = program(f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{READY}\ntime.sleep(30)")
    async with trio.open_nursery() as nursery:
        child = await launch(binary, tmp_path, os.environ, DaemonLog(None), nursery)
        with trio.fail_after(10):
            await child.ready_line()
        await child.stop(0.1)
    assert child.exit_status == -signal.SIGKILL
    assert not is_alive(child.pid)


async def test_an_early_end_brings_its_last_words(program: Callable[[str], Path], tmp_path: Path) -> None:
    """FE-3.11, FE-12.13."""
    binary = program('print("address in use", file=sys.stderr); sys.exit(3)')
    async with trio.open_nursery() as nursery:
        child = await launch(binary, tmp_path, os.environ, DaemonLog(None), nursery)
        with trio.fail_after(10):
            assert await child.wait() == 3
        assert child.tail() == ["address in use"]
        await child.stop()


async def test_what_cannot_be_executed_is_an_error_that_names_it(tmp_path: Path) -> None:
    binary = tmp_path / "myownmesh"
    binary.write_bytes(b"\x00\x01")
    binary.chmod(0o755)
    async with trio.open_nursery() as nursery:
        with pytest.raises(LaunchError, match=str(binary)):
            await launch(binary, tmp_path, os.environ, DaemonLog(None), nursery)


HOLDER = """
import os, sys, trio
from pathlib import Path
from myownllm.supervisor.log import DaemonLog
from myownllm.supervisor.process import launch
async def main():
    async with trio.open_nursery() as nursery:
        child = await launch(Path(sys.argv[1]), Path(sys.argv[2]), os.environ, DaemonLog(None), nursery)
        await child.ready_line()
        os.kill(os.getpid(), 9)
trio.run(main)
"""


async def test_the_lifeline_ends_with_its_holder(program: Callable[[str], Path], tmp_path: Path) -> None:
    """A daemon that knows the lifeline sees the end of an app that was killed (FE-3.17, FE-12.21)."""
    binary = program(
        f"""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        {READY}
        os.read(int(os.environ["MYOWNMESH_LIFELINE_FD"]), 1)
        open("{tmp_path}/saw-the-end", "w").close()
        """
    )
    command = [sys.executable, "-c", HOLDER, str(binary), str(tmp_path)]
    with trio.fail_after(20):
        assert (await trio.run_process(command, check=False)).returncode == -signal.SIGKILL
        while not (tmp_path / "saw-the-end").exists():
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('print("myownmesh 0.3.8")', "0.3.8"),
        ('print("myownmesh 0.3.7")', "reports 0.3.7"),
        ('print("somethingelse 0.3.8")', "wrong_program"),
        ("sys.exit(2)", "exit_status"),
        ('sys.stdout.write("x" * 100000)', "output_too_large"),
        ('assert os.environ["HOME"] == os.environ["MYOWNMESH_HOME"]; print("myownmesh 0.3.8")', "0.3.8"),
        ('print("myownmesh 0.3.8" if sys.argv[1:] == ["--version"] else "no")', "0.3.8"),
    ],
)
async def test_versions_are_read_from_the_program(program: Any, body: str, expected: str) -> None:
    """FE-3.7."""
    found = await Inspector("v0.3.8").version_of(Candidate(program(body), "bundled", "test"))
    assert expected in (found.reason if isinstance(found, Refused) else found)


@pytest.mark.heavy
async def test_a_program_that_hangs_is_not_waited_for(
    program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myownllm.supervisor.inspection.PROBE_TIMEOUT_S", 0.3)
    found = await Inspector("v0.3.8").version_of(Candidate(program("time.sleep(30)"), "path", "test"))
    assert isinstance(found, Refused)
    assert "timeout" in found.reason


async def test_an_override_is_somebodys_decision(program: Callable[[str], Path]) -> None:
    candidate = Candidate(program('print("myownmesh 0.0.1")'), "override", "$MYOWNLLM_MESH_BIN")
    assert await Inspector("v0.3.8").version_of(candidate) == "0.0.1"
    odd = Candidate(program("sys.exit(1)"), "override", "$MYOWNLLM_MESH_BIN")
    assert await Inspector("v0.3.8").version_of(odd) == "unknown"


async def test_the_same_file_is_asked_once(program: Callable[[str], Path], tmp_path: Path) -> None:
    binary = program(f'open("{tmp_path}/asked", "a").write("x"); print("myownmesh 0.3.8")')
    inspector = Inspector("v0.3.8")
    for _ in range(3):
        await inspector.version_of(Candidate(binary, "path", "test"))
    assert (tmp_path / "asked").read_text() == "x"


async def test_what_was_missing_may_have_been_installed_since(program: Callable[[str], Path], tmp_path: Path) -> None:
    """pip brings an extra without touching the programs that it makes work."""
    candidate = Candidate(
        program(f'print("myownmesh 0.3.8") if os.path.exists("{tmp_path}/library") else sys.exit("error: no library")'),
        "bundled",
        "test",
    )
    inspector = Inspector("v0.3.8")
    assert isinstance(await inspector.version_of(candidate), Refused)
    (tmp_path / "library").touch()
    assert await inspector.version_of(candidate) == "0.3.8"


async def test_the_next_launch_need_not_ask_the_program_that_served(
    program: Callable[[str], Path], tmp_path: Path
) -> None:
    binary = program(f'open("{tmp_path}/asked", "a").write("x"); print("myownmesh 0.3.8 (0a1b2c3d)")')
    candidate, kept = Candidate(binary, "path", "test"), tmp_path / "probed.json"
    first = Inspector("v0.3.8", kept)
    assert await first.version_of(candidate) == "0.3.8"
    assert await first.doubt(candidate) is None, "it was asked in this launch"
    first.keep(candidate)

    next_one = Inspector("v0.3.8", kept)
    assert await next_one.version_of(candidate) == "0.3.8"
    assert (tmp_path / "asked").read_text() == "x"
    assert await next_one.doubt(candidate) == "0.3.8"
    assert (tmp_path / "asked").read_text() == "xx"
    assert isinstance(await Inspector("v0.4.0", kept).version_of(candidate), Refused), "the app may be a newer one"


async def test_another_file_of_that_name_is_asked(program: Callable[[str], Path], tmp_path: Path) -> None:
    """Also one of the same size, dated as the old one."""
    binary, kept = program('print("myownmesh 0.3.8")'), tmp_path / "probed.json"
    candidate = Candidate(binary, "path", "test")
    first = Inspector("v0.3.8", kept)
    await first.version_of(candidate)
    first.keep(candidate)
    facts = binary.stat()
    newer = program('print("myownmesh 0.3.9")')
    os.utime(newer, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    newer.rename(binary)
    assert binary.stat().st_size == facts.st_size
    assert await Inspector("v0.3.8", kept).version_of(candidate) == "0.3.9"


@pytest.mark.parametrize("content", [b"", b"null", b'{"path":1}', b'{"version":"new"}', b"\xff"])
async def test_what_cannot_be_read_of_the_last_launch_is_asked(
    program: Callable[[str], Path], tmp_path: Path, content: bytes
) -> None:
    candidate, kept = Candidate(program('print("myownmesh 0.3.8")'), "path", "test"), tmp_path / "probed.json"
    kept.write_bytes(content)
    assert await Inspector("v0.3.8", kept).version_of(candidate) == "0.3.8"
    Inspector("v0.3.8", tmp_path / "no folder" / "probed.json").keep(candidate)
    assert await Inspector("v0.3.8", kept).doubt(Candidate(tmp_path / "gone", "path", "test")) is None


def test_what_a_process_has_worked() -> None:
    before = time.process_time()
    assert before - 0.1 < worked_s(os.getpid())
    assert worked_s(2**22 + 1) == 0, "it has ended"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a process stood in line")
def test_whoever_gets_no_processor_is_at_work_too() -> None:
    """FE-3.10: among dozens of programs a daemon that loads may go for seconds without a turn."""
    core = min(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60
        while worked_s(both[0].pid) < 1.2 * sum(psutil.Process(both[0].pid).cpu_times()[:2]) + 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        for process in both:
            process.kill()
            process.wait()
