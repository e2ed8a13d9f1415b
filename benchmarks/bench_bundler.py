"""The bundler's and the release's figures: start-up, size, throughput. The numbers in docs/releases.md are from here.

    python benchmarks/bench_bundler.py                      the commands of the bundler, and its throughput
    python benchmarks/bench_bundler.py --release dist       the release in this feed against the unpackaged daemon
    python benchmarks/bench_bundler.py --program NAME PATH  one more packaging of the daemon, e.g. one of another tool

Programs are run in turns, so that a slow moment of the machine hits all of them; ratios are what to trust.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from integration.bundler.bench import ASSET, TAG, Machine, publish  # noqa: E402
from integration.bundler.release_server import ReleaseServer  # noqa: E402
from mesh_bundler.extract import extract  # noqa: E402
from mesh_common.client.blocking import request  # noqa: E402
from mesh_common.client.errors import ControlError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
LARGE = 64 * 1024 * 1024  # bytes of the throughput archive


def in_turns(runs: dict[str, Callable[[], float]], times: int) -> dict[str, float]:
    """Median seconds of each, run one after the other `times` over."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(times):
        for name, run in runs.items():
            taken[name].append(run())
    return {name: statistics.median(values) for name, values in taken.items()}


def command(arguments: list[str | Path], **env: str) -> Callable[[], float]:
    """Wall time of a process that is expected to succeed or to say 11."""

    def run() -> float:
        began = time.perf_counter()
        done = subprocess.run(arguments, env={"PATH": os.defpath, **env}, capture_output=True, check=False)
        seconds = time.perf_counter() - began
        if done.returncode not in (0, 11):
            raise SystemExit(f"{arguments}: {done.stderr.decode()[-500:]}")
        return seconds

    return run


def table(title: str, rows: dict[str, float], unit: float = 1000, suffix: str = "ms", base: str | None = None) -> None:
    print(f"\n{title}")
    for name, value in rows.items():
        ratio = f"  {value / rows[base]:6.2f} ×" if base is not None else ""
        print(f"  {name:<44} {value * unit:9.1f} {suffix}{ratio}")


def bundler_commands(folder: Path, times: int) -> None:
    """Start-up of the commands that builds call all the time, and of a run that has nothing to do."""
    with ReleaseServer().running() as server:
        publish(server)
        machine = Machine(folder / "commands", server)
        machine.run()
        env = {**machine.env, "TARGET": "x86_64-unknown-linux-gnu"}
        tool, where = BIN / "mesh-bundler", ["--repo-root", str(machine.repo)]
        rows = in_turns(
            {
                "python -I -c pass": command([sys.executable, "-I", "-c", "pass"]),
                "mesh-bundler check": command([tool, "check", *where], **env),
                "mesh-bundler cache-key": command([tool, "cache-key", *where], **env),
                "mesh-bundler ensure, current": command([tool, "ensure", *where], **env),
            },
            times,
        )
        table("Commands", rows, base="python -I -c pass")

        def current() -> float:
            began = time.perf_counter()
            assert machine.run().outcome == "current"
            return time.perf_counter() - began

        table("As a library", in_turns({"ensure(), current": current}, times))


def throughput(folder: Path, times: int) -> None:
    """Download from loopback with all checks, and the checks alone."""
    noise = random.Random(0).randbytes(LARGE)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        info = tarfile.TarInfo("myownmesh")
        info.size = len(noise)
        archive.addfile(info, io.BytesIO(noise))
    packed = gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)
    path = folder / "large.tar.gz"
    path.write_bytes(packed)

    def fetched() -> float:
        machine = Machine(folder / f"t{time.monotonic_ns()}", server)
        began = time.perf_counter()
        refusal = machine.refusal()  # noise is no executable; it is refused after everything was checked
        seconds = time.perf_counter() - began
        assert refusal.code == "unknown_format"
        return seconds

    def hashed() -> float:
        began = time.perf_counter()
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        return time.perf_counter() - began

    def unpacked() -> float:
        began = time.perf_counter()
        extract(path, "myownmesh", lambda _data: None)
        return time.perf_counter() - began

    with ReleaseServer().running() as server:
        server.publish(TAG, ASSET, packed)
        rows = in_turns(
            {"fetch + verify + extract": fetched, "SHA-256": hashed, "extract with all rules": unpacked}, times
        )
    table(f"Throughput, {LARGE >> 20} MiB", {name: LARGE / 1e6 / s for name, s in rows.items()}, 1, "MB/s")


# ── packagings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def packagings(feed: Path | None, programs: list[tuple[str, Path]], folder: Path, times: int) -> None:
    """`--version`, first start and ready socket of every packaging, against the unpackaged daemon."""
    found: dict[str, Path] = {"unpackaged (console script)": BIN / "myownmesh"}
    sizes: dict[str, tuple[int, int]] = {}
    if feed is not None:
        (release,) = [path for path in feed.glob("v*") if path.is_dir()]
        for name, asset, inside in (
            ("exec-stub, one file", "myownmesh-*.tar.gz", "myownmesh"),
            ("folder", "dir-myownmesh-*.tar.gz", "*/myownmesh"),
        ):
            archive = next(release.glob(asset))
            place = folder / name.replace(" ", "-")
            subprocess.run(["tar", "-xzf", archive, "--one-top-level=" + str(place)], check=True)
            found[name] = next(place.glob(inside))
            sizes[name] = (_size(place), archive.stat().st_size)
    for name, path in programs:
        found[name] = path.resolve()
        whole = path.parent if any(other != path for other in path.parent.iterdir()) else path
        sizes[name] = (_size(whole), 0)
    plain = {"python -I -c pass": command([sys.executable, "-I", "-c", "pass"])}
    versions = {name: command([path, "--version"], HOME=str(folder / "v")) for name, path in found.items()}
    table("--version", in_turns(plain | versions, times), base="python -I -c pass")
    first = {name: serve(path, folder) for name, path in found.items()}
    table("serve → first status answer, first start", {name: run() for name, run in first.items()})
    ready = in_turns(first, times)
    table("serve → first status answer, later starts", ready, base="unpackaged (console script)")
    print("\nSizes")
    for name, (disk, archive_size) in sizes.items():
        packed = f", archive {archive_size / 1e6:.1f} MB" if archive_size else ""
        print(f"  {name:<44} {disk / 1e6:9.1f} MB on disk{packed}")


def serve(path: Path, folder: Path) -> Callable[[], float]:
    """Seconds from spawn to the first answer on the control socket. The cache of unpacked folders is kept."""

    def run() -> float:
        with tempfile.TemporaryDirectory(prefix="b-", dir="/tmp") as home:
            env = {"PATH": os.defpath, "HOME": home, "MYOWNMESH_HOME": home, "XDG_CACHE_HOME": str(folder / "cache")}
            began = time.perf_counter()
            process = subprocess.Popen(
                [path, "serve"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                while not _answers(Path(home) / "daemon.sock"):
                    if process.poll() is not None or time.perf_counter() - began > 30:
                        raise SystemExit(f"{path} did not serve")
                    time.sleep(0.002)
                return time.perf_counter() - began
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(10)

    return run


def _answers(path: Path) -> bool:
    try:
        request(path, "status", timeout=2)
    except ControlError:
        return False
    return True


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=9, help="repetitions; the median counts")
    parser.add_argument("--release", type=Path, metavar="FEED", help="folder written by scripts/release")
    parser.add_argument("--program", nargs=2, action="append", default=[], metavar=("NAME", "PATH"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        if options.release is None and not options.program:
            bundler_commands(folder, options.times)
            throughput(folder, max(3, options.times // 3))
        else:
            programs = [(name, Path(path)) for name, path in options.program]
            packagings(options.release, programs, folder, options.times)


if __name__ == "__main__":
    main()
