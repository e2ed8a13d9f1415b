"""Trying the packed artefact as its consumers will (spec 09 §11.4): what is promised in §1.3 is shown, not assumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # ships no types

from mesh_bundler import header
from mesh_bundler.extract import extract
from mesh_common.client import blocking
from mesh_common.client.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SERVE_LIMIT = 8.0  # seconds until the control socket answers: consumers give up then (09 I5)
_STOP_LIMIT = 2.0  # seconds from SIGTERM to exit
_MEET_LIMIT = 20.0  # seconds for two daemons to find each other


class SmokeError(Exception):
    """The artefact does not keep a promise."""


def smoke(archive: Path, version: str, say: Callable[[str], None]) -> dict[str, float]:
    """Unpack the archive and hold it against 09 I1 to I9. Raises SmokeError; returns what was measured, in seconds."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as folder:
        base = Path(folder)
        binary = base / "install" / "myownmesh"
        binary.parent.mkdir()
        with binary.open("wb") as file:
            ignored = extract(archive, "myownmesh", file.write)
        binary.chmod(0o755)
        _expect(not ignored, f"the archive holds more than one file: {ignored}")
        _expect(binary.stat().st_size >= header.MIN_BINARY_BYTES, "the member is too small for its consumers")
        found = header.inspect(binary)
        _expect(found.format == "elf", f"the member is {found}")
        say(f"one native member ({found}, {binary.stat().st_size / 1e6:.1f} MB)")
        binary.parent.chmod(0o555)  # 09 I9: an install folder that cannot be written
        try:
            return _run_all(binary, base, version, say)
        finally:
            binary.parent.chmod(0o755)


def _run_all(binary: Path, base: Path, version: str, say: Callable[[str], None]) -> dict[str, float]:
    figures = {"version": _version(binary, base, version)}
    say(f"--version: exact, {figures['version'] * 1000:.1f} ms")
    _expect(
        subprocess.run([binary, "--help"], env=_env(base / "h"), capture_output=True, check=False).returncode == 0,
        "--help",
    )
    with _daemon(binary, base / "a") as first:
        figures["serve_first"] = first.ready
        status = _call(first.socket, "status")
        _expect(status["version"] == version, f"status says {status['version']}")
        _expect(not _call(first.socket, "networks_list")["networks"], "a fresh home has networks")
        figures["stop"] = first.stop()
        _expect(not first.socket.exists(), "the socket file stayed after SIGTERM")
    first_ms, stop_ms = figures["serve_first"] * 1000, figures["stop"] * 1000
    say(f"serve, first start with unpacking: ready in {first_ms:.0f} ms; stops in {stop_ms:.0f} ms")
    with _daemon(binary, base / "a") as again:
        figures["serve"] = again.ready
        figures["resident_mb"] = psutil.Process(again.process.pid).memory_info().rss / 1e6
        again.process.kill()
        again.process.wait()
        left = _processes_of(base / "a")
        _expect(not left, f"SIGKILL of the spawned process left {left}")
    say(f"serve, warm: ready in {figures['serve'] * 1000:.0f} ms; SIGKILL leaves no process behind")
    figures["meet"] = _meet(binary, base)
    say(f"two built daemons meet over a relay on loopback: {figures['meet'] * 1000:.0f} ms")
    _noexec(binary, base, say)
    return figures


def _version(binary: Path, base: Path, version: str) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        done = subprocess.run(
            [binary, "--version"], env=_env(base / "none"), capture_output=True, timeout=5, check=False
        )
        times.append(time.perf_counter() - began)
        _expect(
            (done.stdout, done.returncode) == (f"myownmesh {version}\n".encode(), 0),
            f"--version printed {done.stdout!r}",
        )
    _expect(not (base / "none").exists(), "--version wrote into the home")
    return min(times)


def _noexec(binary: Path, base: Path, say: Callable[[str], None]) -> None:
    """A cache that must not run programs: the next place is used."""
    blocked = base / "blocked"
    blocked.mkdir(mode=0o500)
    if os.geteuid() == 0:
        blocked.rmdir()
        blocked.write_text("")  # root may write anywhere, but not below a file
    env = _env(base / "n") | {"MYOWNMESH_RUNTIME_DIR": str(blocked)}
    done = subprocess.run([binary, "--version", "--json"], env=env, capture_output=True, check=False)
    _expect(done.returncode == 0, f"with an unusable cache: {done.stderr.decode()[-300:]}")
    say("an unusable cache folder is passed over")


def _meet(binary: Path, base: Path) -> float:
    """The first daemon hosts a relay; both join one open network."""
    port = _free_port()
    for name in ("x", "y"):
        (base / name).mkdir(mode=0o700)
    relay = {"services": {"signaling": {"enabled": True, "bind": "127.0.0.1", "port": port}}}
    (base / "x" / "config.json").write_text(json.dumps(relay))
    with _daemon(binary, base / "x") as first, _daemon(binary, base / "y") as second:
        network = {
            "id": "smoke",
            "network_id": "release-smoke-test",
            "auto_approve": True,
            "signaling": {"servers": [f"ws://127.0.0.1:{port}"]},
            "stun_servers": [],
            "turn_servers": [],
        }
        began = time.perf_counter()
        for daemon in (first, second):
            _call(daemon.socket, "network_add", config=network)
        for daemon in (first, second):
            _wait(partial(_active, daemon.socket), _MEET_LIMIT, "the two daemons do not meet")
        return time.perf_counter() - began


def _active(path: Path) -> bool:
    peers = _call(path, "peers_list", network="smoke")["peers"]
    return any(peer["status"] == "active" for peer in peers)


# ── daemons ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Running:
    def __init__(self, process: subprocess.Popen[bytes], path: Path, ready: float) -> None:
        self.process, self.socket, self.ready = process, path, ready

    def stop(self) -> float:
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            raise SmokeError(f"SIGTERM was not obeyed within {_STOP_LIMIT} s") from None
        _expect(code == 0, f"SIGTERM ended it with {code}")
        return time.perf_counter() - began


@contextmanager
def _daemon(binary: Path, home: Path) -> Iterator[_Running]:
    home.mkdir(mode=0o700, exist_ok=True)
    path = home / "daemon.sock"
    began = time.perf_counter()
    log = home / "out.log"
    with log.open("wb") as out:
        process = subprocess.Popen([binary, "serve"], env=_env(home), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _wait(lambda: process.poll() is not None or _answers(path), _SERVE_LIMIT, "the control socket never opened")
        if process.poll() is not None:
            raise SmokeError(f"serve ended with {process.returncode}: {log.read_text(errors='replace')[-500:]}")
        yield _Running(process, path, time.perf_counter() - began)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _env(home: Path) -> dict[str, str]:
    """As bare as a supervisor may be."""
    cache = home.parent / "cache"
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(cache),
        "MYOWNMESH_HOME": str(home),
        "MYOWNMESH_AUTOUPDATE": "0",
    }


def _processes_of(home: Path) -> list[int]:
    """Processes with this daemon home, two seconds later."""
    time.sleep(2)
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MYOWNMESH_HOME") == str(home):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _answers(path: Path) -> bool:
    try:
        _call(path, "status")
    except SmokeError:
        return False
    return True


def _call(path: Path, operation: str, **members: object) -> Any:
    try:
        return blocking.request(path, operation, timeout=10, **members)
    except ControlError as error:
        raise SmokeError(f"{operation}: {error}") from error


def _wait(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > deadline:
            raise SmokeError(otherwise)
        time.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _expect(promise: bool, otherwise: str) -> None:
    if not promise:
        raise SmokeError(otherwise)


def missing_for_build() -> list[str]:
    """What the builder needs and this machine, or this Python, lacks."""
    missing = [name for name in ("gcc", "strip", "readelf", "ldd") if shutil.which(name) is None]
    if not any(Path("/usr").glob("lib*/libz.a")) and not any(Path("/usr/lib").glob("*/libz.a")):
        missing.append("zlib's static library (Debian: zlib1g-dev)")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        missing.append("Python's headers")
    library = Path(str(sysconfig.get_config_var("LIBDIR"))) / str(sysconfig.get_config_var("INSTSONAME"))
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not library.is_file():
        missing.append("a Python built with --enable-shared (MESH_PYTHON names another)")
    return missing
