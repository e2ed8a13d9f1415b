"""`scripts/release`: one command from a checkout to a release folder that `mesh-bundler` can stage from."""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import collect
import pack
import sbom
from sign import Signer
from smoke import SmokeError, missing_for_build, smoke

from mesh_bundler import EnsureRequest, Refused, ensure
from mesh_bundler.progress import reporter
from mesh_common.semver import SemVer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
MAX_ARCHIVE = 45_000_000  # bytes; the aim for something that an app downloads on first start


@dataclass(frozen=True)
class Build:
    """What a build depends on besides the sources."""

    version: str
    commit: str | None
    dirty: bool
    epoch: int
    quick: bool

    @property
    def tag(self) -> str:
        return f"v{self.version}"

    @property
    def platform(self) -> str:
        return f"linux-{'aarch64' if platform.machine() in ('aarch64', 'arm64') else platform.machine()}"

    @property
    def timestamp(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.epoch))


def main() -> int:
    options = _options()
    if options.new_key is not None:
        signer = Signer.new()
        signer.save(options.new_key)
        print(signer.public)
        return 0
    if not sys.platform.startswith("linux"):
        return _fail("releases are built on Linux; other platforms use the Rust daemon or a checkout for now")
    if missing := missing_for_build():
        return _fail(f"missing on this machine: {', '.join(missing)}")
    build = _facts(options.source, quick=options.quick)
    if options.strict and (build.dirty or build.commit is None):
        return _fail("the tree is not clean; commit first, or build without --strict")
    signer_found = _signer(options.key)
    try:
        release = make(build, options.source, options.out, signer_found, _say)
        if not options.no_smoke:
            figures = smoke(
                release / f"myownmesh-{build.platform}.tar.gz", build.version, lambda text: _say(f"  {text}")
            )
            (release / "smoke.json").write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        if options.demo:
            return demo(build, options.out, signer_found)
    except (SmokeError, Refused, subprocess.CalledProcessError) as error:
        return _fail(str(error))
    return 0


def make(build: Build, source: Path, out: Path, signer: Signer | None, say: Callable[[str], None]) -> Path:
    """Build every file of the release into `<out>/<tag>/` and return that folder."""
    release = out / build.tag
    shutil.rmtree(release, ignore_errors=True)
    release.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="mesh-release-") as scratch:
        folder = Path(scratch) / "folder"
        say(f"collecting the daemon {build.tag} and its {len(collect.dependency_closure())} libraries")
        collect.build_folder(folder, source, _stamp(build))
        collect.strip_and_relocate(folder)
        library = folder / "lib" / collect.python_library().name
        pack.compile_runtime(folder / "myownmesh", Path(sysconfig.get_path("include")), library, build.epoch)
        stub = Path(scratch) / "stub"
        pack.compile_stub(stub, build.epoch)
        glibc = collect.required_glibc(folder)
        say("packing")
        level = pack.QUICK if build.quick else pack.LEVEL
        binary = pack.single_file(stub, folder, build.version, level)
        root, single = f"myownmesh-{build.version}", f"myownmesh-{build.platform}.tar.gz"
        assets = {
            single: pack.tar_gz([("myownmesh", binary, 0o755)], build.epoch, pack.QUICK),
            f"dir-{single}": pack.tar_gz(pack.folder_members(folder, root), build.epoch, level),
        }
    for name, data in assets.items():
        (release / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        (release / f"{name}.sha256").write_text(f"{digest}  {name}\n")
        say(f"{name}: {len(data) / 1e6:.1f} MB, SHA-256 {digest}")
        if len(data) > MAX_ARCHIVE:
            raise SmokeError(f"{name} is larger than {MAX_ARCHIVE / 1e6:.0f} MB")
    _descriptions(build, release, assets, binary, glibc)
    if signer is not None:
        for name in (*assets, "SHA256SUMS", "release.json"):
            path = release / name
            (release / f"{name}.minisig").write_bytes(signer.sign(path.read_bytes(), name, build.tag, build.epoch))
        say(f"signed; trust it with MYOWNMESH_TRUSTED_KEYS={signer.public}")
    return release


def _stamp(build: Build) -> dict[str, object]:
    """What the daemon knows of its build. Without a feed of its own it never updates itself."""
    named = ("RELEASE_URL_STABLE", "RELEASE_URL_BETA", "RELEASE_PUBKEY")
    updates = {name: os.environ.get(f"MYOWNMESH_{name}") or None for name in named}
    return {"COMMIT": build.commit, "DIRTY": build.dirty, **updates}


def _descriptions(build: Build, release: Path, assets: dict[str, bytes], binary: bytes, glibc: str) -> None:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in assets.items()}
    (release / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))
    binary_digest = hashlib.sha256(binary).hexdigest()
    rows = [
        {
            "name": name,
            "platform": build.platform,
            "flavour": "folder" if name.startswith("dir-") else "single file",
            "size": len(data),
            "sha256": digests[name],
            "binary_sha256": None if name.startswith("dir-") else binary_digest,
            "min_glibc": glibc,
            "min_os": None,
        }
        for name, data in sorted(assets.items())
    ]
    document = {
        "format": 1,
        "version": build.version,
        "commit": build.commit,
        "published_at": build.timestamp,
        "min_client": None,
        "assets": rows,
    }
    (release / "release.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    bill = sbom.bill_of_materials(build.version, binary_digest, collect.dependency_closure(), build.timestamp)
    (release / f"myownmesh-{build.platform}.cdx.json").write_bytes(bill)


def demo(build: Build, out: Path, signer: Signer | None) -> int:
    """Stage what was built from a local feed into an empty home, then run the demo with that daemon."""
    # The folder's path is short because sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="md-", dir="/tmp") as home, _served(out) as base:
        env = {"HOME": home, "PATH": os.defpath, "MYOWNMESH_RELEASE_BASE": base}
        env |= {"MYOWNMESH_TRUSTED_KEYS": signer.public} if signer is not None else {}
        result = ensure(
            EnsureRequest(
                pin=build.tag,
                dest=Path(home) / ".myownllm" / "binaries",
                require_verification="signature" if signer is not None else None,
                env=env,
                on_notice=lambda notice: _say(f"  {notice.text}"),
                on_progress=reporter("auto"),
            )
        )
        _say(f"staged {result.version} into {result.slot} ({result.verified})")
        command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--daemon", str(result.slot)]
        return subprocess.run(command, check=False).returncode


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder as a feed over HTTP on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/release", description="Build, sign and try a release of the daemon.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder that becomes the feed (default: dist)")
    parser.add_argument("--source", type=Path, default=ROOT, help="the checkout to build from (default: this one)")
    parser.add_argument("--key", type=Path, help="minisign secret key; default: $MYOWNMESH_SIGNING_KEY (its content)")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make a signing key, print its public half, stop")
    parser.add_argument("--no-smoke", action="store_true", help="do not try what was built")
    parser.add_argument("--quick", action="store_true", help="pack larger files in less time: to try, not to publish")
    parser.add_argument("--demo", action="store_true", help="stage the result from a local feed and run the demo")
    parser.add_argument("--strict", action="store_true", help="refuse an unclean tree (for published releases)")
    return parser.parse_args()


def _signer(path: Path | None) -> Signer | None:
    text = path.read_text() if path is not None else os.environ.get("MYOWNMESH_SIGNING_KEY", "")
    return Signer.load(text) if text else None


def _facts(source: Path, *, quick: bool) -> Build:
    text = (source / "common" / "mesh_common" / "version.py").read_text()
    found = re.search(r'^VERSION = "([^"]+)"', text, re.MULTILINE)
    if found is None or SemVer.parse(found[1]) is None:
        raise SystemExit("the daemon's version is not a semantic version")
    commit = _git("rev-parse", "HEAD") or None
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    epoch = int(stated or _git("log", "-1", "--format=%ct") or 0)
    return Build(found[1], commit, bool(_git("status", "--porcelain")), epoch, quick)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str) -> int:
    print(f"release failed: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
