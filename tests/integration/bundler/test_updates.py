"""Our own artefacts update themselves from a local feed: N, N+1, a broken N+2, and back (spec 09 §10, §11.4)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import marshal
import os
import re
import signal
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from integration.bundler.test_release_builder import ASSET, ROOT, builder, release
from mesh_bundler.extract import extract, extract_folder
from mesh_common.client import blocking
from mesh_common.client.errors import ControlError
from myownmesh.updates.installation import packed_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["release"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OLD, NEW, BROKEN = "0.3.8", "0.3.801", "0.3.802"
EPOCH = 1_700_000_000
PATIENCE_S = 90.0
"""For a first start, which unpacks, on a machine that does much else."""


@pytest.fixture(scope="module")
def feed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    """A feed with the new version and the broken one, made of the release that was built."""
    folder = tmp_path_factory.mktemp("feed")
    unpacked = tmp_path_factory.mktemp("unpacked")
    extract_folder(release / f"dir-{ASSET}", f"myownmesh-{OLD}", "myownmesh", unpacked)
    single = first_file(release)
    _publish(folder, unpacked, single, NEW)
    serve = unpacked / "py" / "myownmesh" / "daemon" / "serve.pyc"
    _compile('def serve():\n    raise SystemExit("a bug that every start meets")\n', serve)
    _publish(folder, unpacked, single, BROKEN)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Feed(folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _publish(folder: Path, unpacked: Path, binary: bytes, version: str) -> None:
    """Both flavours of the unpacked daemon as this version, which shows sooner than in a minute that it works."""
    py = unpacked / "py"
    _compile(f'VERSION = "{version}"\n', py / "mesh_common" / "version.pyc")
    source = (ROOT / "daemon" / "myownmesh" / "updates" / "probation.py").read_text()
    _compile(source.replace("CONFIRM_AFTER_S = 60.0", "CONFIRM_AFTER_S = 0.5"), py / "myownmesh/updates/probation.pyc")
    pack = builder("pack")
    offset = int.from_bytes(binary[-32:-24], "little")
    stub = folder / "stub"
    stub.write_bytes(binary[:offset])
    target = folder / f"v{version}"
    target.mkdir()
    single = pack.single_file(stub, unpacked, version, pack.QUICK)
    for name, members in (
        (ASSET, [("myownmesh", single, 0o755)]),
        (f"dir-{ASSET}", pack.folder_members(unpacked, f"myownmesh-{version}")),
    ):
        data = pack.tar_gz(members, EPOCH, pack.QUICK)
        (target / name).write_bytes(data)
        (target / f"{name}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {name}\n")


def _compile(source: str, target: Path) -> None:
    code = compile(source, target.name, "exec", dont_inherit=True)
    flags = 0b01  # hash-based, unchecked
    target.write_bytes(importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + bytes(8) + marshal.dumps(code))


def first_file(release: Path) -> bytes:
    """The single file of the release that was built."""
    parts: list[bytes] = []
    extract(release / ASSET, "myownmesh", parts.append)
    return b"".join(parts)


def published_file(feed: Feed, version: str) -> bytes:
    """The single file of this version in the feed."""
    parts: list[bytes] = []
    extract(feed.folder / f"v{version}" / ASSET, "myownmesh", parts.append)
    return b"".join(parts)


class Feed:
    def __init__(self, folder: Path, base: str) -> None:
        self.folder, self.base = folder, base
        self.url = f"{base}/latest.json"

    def offer(self, version: str) -> None:
        """This is the newest release from now on."""
        tag = f"v{version}"
        names = [path.name for path in (self.folder / tag).iterdir()]
        rows = [{"name": name, "browser_download_url": f"{self.base}/{tag}/{name}"} for name in names]
        document = {"tag_name": tag, "draft": False, "prerelease": False, "assets": rows}
        (self.folder / "latest.json").write_text(json.dumps(document))


class Device:
    """A home, and a daemon that was installed as a release of its own."""

    def __init__(self, root: Path, release: Path, feed: Feed, kind: str) -> None:
        self.home = root / "h"
        self.home.mkdir(mode=0o700)
        (self.home / "config.json").write_text(json.dumps({"auto_update": {"stable_url": feed.url}}))
        if kind == "file":
            self.program = root / "bin" / "myownmesh"
            self.program.parent.mkdir()
            with self.program.open("wb") as file:
                extract(release / ASSET, "myownmesh", file.write)
            self.program.chmod(0o755)
        else:
            versions = root / "prefix" / "versions"
            (versions / OLD).mkdir(parents=True)
            extract_folder(release / f"dir-{ASSET}", f"myownmesh-{OLD}", "myownmesh", versions / OLD)
            (root / "prefix" / "current").symlink_to(f"versions/{OLD}")
            self.program = root / "prefix" / "current" / "myownmesh"
        self.env = {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(root / "cache"),
            "MYOWNMESH_HOME": str(self.home),
            "MYOWNMESH_MANAGED": "0",  # a container is no reason here
            "MYOWNMESH_MDNS": "off",
        }

    def run(self, *words: str, code: int = 0) -> Any:
        """A command of `update`; its JSON."""
        done = subprocess.run(
            [self.program, "update", *words, "--json"],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    @contextlib.contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon, once its socket answers; stopped behind the block."""
        process = self.start()
        try:
            wait_for(lambda: process.poll() is not None or self.answers())
            assert process.poll() is None, (self.home / "log").read_text()
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

    def start(self) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                [self.program, "serve"], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ask(self, operation: str, **members: object) -> Any:
        return blocking.request(self.home / "daemon.sock", operation, timeout=PATIENCE_S, **members)

    def running(self) -> str | None:
        """The version that answers; None while nobody does."""
        try:
            version: str = self.ask("status")["version"]
        except ControlError:
            return None
        return version

    def answers(self) -> bool:
        return self.running() is not None

    def version(self) -> str:
        """What a start runs."""
        done = subprocess.run([self.program, "--version"], env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.removeprefix("myownmesh ").strip()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_forward_a_broken_one_and_back(kind: str, release: Path, feed: Feed, tmp_path: Path) -> None:
    device = Device(tmp_path, release, feed, kind)
    feed.offer(NEW)
    with device.serving(), blocking.Connection(device.home / "daemon.sock", PATIENCE_S) as events:
        events.exchange(b'{"op":"events_subscribe"}\n')
        status = device.ask("update_status")
        assert (status["current_version"], status["install_kind"], status["detail"]) == (OLD, "raw", None)
        told = device.ask("update_check")
        assert told == {"outcome": "staged", "version": NEW, "verified": "checksum", "auto": True}
        assert device.ask("update_status")["staged_version"] == NEW
        assert device.version() == OLD, "a check changes no program"
        progress = json.loads(next(iter(events.lines())))["event"]
        assert (progress["event_kind"], progress["category"]) == ("diag", "update")
        assert progress["detail"]["progress"].endswith(ASSET)
    assert device.version() == OLD, "nor does a probe"
    if kind == "file":
        unpacked = [path for path in (tmp_path / "cache" / "myownmesh").iterdir() if len(path.name) == 64]
        assert len(unpacked) == 2, "it was tried where it will run, and need not be unpacked again"
    with device.serving() as process:
        assert device.ask("status")["version"] == NEW, "the start put it in and became it"
        assert device.ask("status")["pid"] == process.pid
        wait_for(lambda: device.ask("update_status")["confirmed"] is True)
        assert device.ask("update_status")["previous"] == OLD
    feed.offer(BROKEN)
    assert device.run("check")["outcome"] == "staged"
    for _ in range(2):
        assert device.start().wait(PATIENCE_S) == 1, "the broken one falls"
        assert device.version() == BROKEN
    with device.serving():
        assert device.ask("status")["version"] == NEW, "the third start goes back"
        status = device.ask("update_status")
        assert (status["rolled_back_from"], status["quarantine"]) == (BROKEN, [BROKEN])
        told = device.ask("update_check")
        assert (told["outcome"], told["current"], told["latest"]) == ("up_to_date", NEW, BROKEN)
    assert device.version() == NEW


@pytest.mark.parametrize("by_hand", [False, True], ids=["staged", "put in by a command"])
def test_an_idle_daemon_restarts_into_it_by_itself(*, by_hand: bool, release: Path, feed: Feed, tmp_path: Path) -> None:
    """`auto_update.restart` `idle`; with its minutes made short. A message that nobody has taken yet keeps it."""
    device = Device(tmp_path, release, feed, "folder")
    source = (ROOT / "daemon" / "myownmesh" / "daemon" / "restarting.py").read_text()
    for name in ("LOOK_S", "ASK_S", "QUIET_S"):
        source, count = re.subn(rf"^{name} = .*$", f"{name} = 0.2", source, flags=re.MULTILINE)
        assert count == 1
    _compile(source, tmp_path / "prefix" / "versions" / OLD / "py" / "myownmesh" / "daemon" / "restarting.pyc")
    feed.offer(NEW)
    with device.serving() as process, blocking.Connection(device.home / "daemon.sock", PATIENCE_S) as other:
        assert device.ask("update_status")["restart"] == "never"
        config = {"id": "home", "network_id": "home", "signaling": {"strategy": "none"}}
        device.ask("network_add", config=config)
        held = {"network": "home", "channel": "c", "peer": "a" * 52, "payload": 1, "ttl_ms": 600_000}
        other.send(json.dumps({"op": "channel_send_reliable", **held}).encode() + b"\n")
        wait_for(lambda: device.ask("networks_list")["networks"][0]["traffic"]["reliable_pending"] == 1)
        if by_hand:
            assert device.run()["outcome"] == "updated"
        else:
            assert device.ask("update_check")["outcome"] == "staged"
        assert device.ask("update_set_prefs", prefs={"restart": "idle"})["restart"] == "idle"
        wait_for(lambda: device.ask("update_status")["restart_waits_for"] == "1 call, stream or message")
        assert device.ask("status")["version"] == OLD
        with contextlib.suppress(ControlError):  # it restarts a fifth of a second later, maybe before the answer
            device.ask("network_remove", network="home")
        wait_for(lambda: device.running() == NEW)
        assert device.ask("status")["pid"] == process.pid, "the same process, so whoever supervises it stays"
        wait_for(lambda: device.ask("update_status")["confirmed"] is True)


def test_a_person_puts_it_in_and_goes_back(release: Path, feed: Feed, tmp_path: Path) -> None:
    device = Device(tmp_path, release, feed, "file")
    feed.offer(NEW)
    assert device.run("apply") == {"applied": None}
    assert device.run() == {"outcome": "updated", "to": NEW, "components": ["daemon"]}
    assert device.version() == NEW
    assert device.run()["outcome"] == "up_to_date"
    assert device.run("rollback") == {"from": NEW, "to": OLD}
    assert device.version() == OLD
    assert device.run("check")["outcome"] == "up_to_date"
    assert "no version before" in device.run("rollback", code=1)
    assert device.run("--force")["outcome"] == "updated"
    assert packed_version(device.program) == NEW
