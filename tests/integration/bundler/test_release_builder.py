"""`scripts/release`: what it builds keeps every promise of spec 09 §1.3, and an app runs it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.bundler.test_app_without_daemon import BareMachine, text_of
from mesh_bundler import EnsureRequest, ensure
from mesh_bundler.signature import PublicKey, SignedDigests, verify
from support.once import once
from support.tools import excused
from unit.bundler.vectors import section

if TYPE_CHECKING:
    from integration.bundler.release_server import ReleaseServer

ROOT = Path(__file__).parents[3]
ASSET = "myownmesh-linux-x86_64.tar.gz"


@cache
def builder(name: str) -> Any:
    """A module of the release builder; they are scripts, not a package."""
    folder = ROOT / "scripts" / "release.d"
    spec = importlib.util.spec_from_file_location(f"release_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# ── signing (fast) ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_our_signatures_satisfy_our_verifier_and_bind_asset_and_version(tmp_path: Path) -> None:
    signer = builder("sign").Signer.new()
    minisig = signer.sign(b"bytes", ASSET, "v1.2.3", 1_700_000_000)
    keys, digests = (PublicKey.parse(signer.public),), SignedDigests.of(b"bytes")
    assert verify(minisig, digests, keys, asset=ASSET, tag="v1.2.3").verdict == "ok"
    assert verify(minisig, digests, keys, asset=ASSET, tag="v1.2.4").verdict == "wrong_version"
    assert verify(minisig, digests, keys, asset="other", tag="v1.2.3").verdict == "wrong_asset"


def test_a_key_survives_its_file_and_is_never_overwritten(tmp_path: Path) -> None:
    signer, path = builder("sign").Signer.new(), tmp_path / "release.key"
    signer.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert builder("sign").Signer.load(path.read_text()).public == signer.public
    with pytest.raises(FileExistsError):
        signer.save(path)


def test_the_vector_key_signs_as_minisign_does() -> None:
    """The seed of the vectors gives the public key that the vectors name."""
    for key in section("minisign")["public_keys"].values():
        seed, key_id = bytes.fromhex(key["seed_hex"]), bytes.fromhex(key["key_id_bytes_hex"])
        sign = builder("sign")
        assert sign.Signer(key_id, sign.SigningKey(seed)).public == key["base64"]


def test_a_key_with_a_password_or_a_flaw_is_refused(tmp_path: Path) -> None:
    sign, path = builder("sign"), tmp_path / "k"
    sign.Signer.new().save(path)
    raw = bytearray(base64.b64decode(path.read_text().splitlines()[1]))
    for at, match in ((2, "password"), (70, "damaged"), (0, "not a minisign")):
        broken = bytes(raw[:at]) + b"S" + bytes(raw[at + 1 :])
        with pytest.raises(ValueError, match=match):
            sign.Signer.load(base64.b64encode(broken).decode())


def test_the_bill_of_materials_is_deterministic_and_names_what_is_inside() -> None:
    found = builder("collect").dependency_closure()
    names = {dist.name for dist in found}
    assert {"aiortc", "trio", "cryptography", "PyNaCl"} <= names
    assert "av" not in names
    assert "pytest" not in names
    make = builder("sbom").bill_of_materials
    bill = make("1.2.3", "0" * 64, found, "2026-01-01T00:00:00Z")
    assert bill == make("1.2.3", "0" * 64, found, "2026-01-01T00:00:00Z")
    document = json.loads(bill)
    assert document["bomFormat"] == "CycloneDX"
    assert len(document["components"]) == len(found) + 1


def test_the_daemon_is_packed_without_the_simulator() -> None:
    packed = {name for _, name in builder("collect").own_modules(ROOT)}
    assert {"myownmesh/engine/engine.py", "myownmesh/flight/tape.py", "mesh_common/events.py"} <= packed
    assert not [name for name in packed if name.startswith("myownmesh/simulator/")]


def test_a_machine_that_cannot_build_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_config_var", lambda _: None)
    missing = builder("smoke").missing_for_build()
    assert missing[:4] == ["gcc", "strip", "readelf", "ldd"]
    assert "--enable-shared" in missing[-1]


# ── a real build (slow) ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A signed release, built and tried by the one command."""
    if missing := excused(builder("smoke").missing_for_build()):
        pytest.skip(f"NO RELEASE CAN BE BUILT HERE, nor tested: missing {', '.join(missing)}")
    return once(tmp_path_factory, worker_id, "release", _release) / "v0.3.8"


def _release(out: Path) -> None:
    key = out / "test.key"
    builder("sign").Signer.new().save(key)
    for folder in ("common", "daemon", "bundler"):
        shutil.copytree(ROOT / folder, out / "source" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    _build(out, "--source", str(out / "source"), "--key", str(key))


def _build(out: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "release.d" / "release.py"), "--out", str(out), "--quick", *arguments],
        env={**os.environ, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_keeps_its_aims(release: Path) -> None:
    """The smoke test ran inside the build; here are the figures that it promises."""
    figures = json.loads((release / "smoke.json").read_text())
    assert (release / ASSET).stat().st_size <= 45_000_000
    plain = min(_seconds([sys.executable, "-I", "-c", "pass"]) for _ in range(5))
    assert figures["version"] <= 3 * plain
    assert figures["serve"] < 8
    assert figures["serve_first"] < 8
    assert figures["stop"] < 2


def _seconds(command: list[str]) -> float:
    import time

    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_builds_are_one_file(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release.parent / "source", tmp_path / "source")
    _build(tmp_path / "elsewhere", "--source", str(tmp_path / "source"), "--no-smoke")
    for name in (ASSET, f"dir-{ASSET}"):
        ours, theirs = (
            hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for folder in (release, tmp_path / "elsewhere" / "v0.3.8")
        )
        assert ours == theirs, f"{name} differs between two builds"
    assert (release / "SHA256SUMS").read_text() == (tmp_path / "elsewhere" / "v0.3.8" / "SHA256SUMS").read_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_path_of_the_build_machine_is_in_it(release: Path, tmp_path: Path) -> None:
    from mesh_bundler.extract import extract

    parts: list[bytes] = []
    extract(release / ASSET, "myownmesh", parts.append)
    binary = tmp_path / "myownmesh"
    binary.write_bytes(b"".join(parts))
    binary.chmod(0o755)
    env = {"HOME": str(tmp_path), "MYOWNMESH_RUNTIME_DIR": str(tmp_path / "rt")}
    subprocess.run([binary, "--help"], env=env, check=True, capture_output=True)
    forbidden = [str(ROOT).encode(), sys.prefix.encode(), str(Path.home() / ".pyenv").encode()]
    for path in (tmp_path / "rt").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [text for text in forbidden if text in data], f"{path.name} names a folder of the build machine"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_app_without_daemon_fetches_the_release_and_runs_it(
    release: Path, tmp_path: Path, server: ReleaseServer
) -> None:
    for path in release.glob("*myownmesh-linux*"):
        server.tags.add("v0.3.8")
        server.assets["v0.3.8", path.name] = path.read_bytes()
    home = Path(tmp_path / "h")
    home.mkdir()
    machine = BareMachine(home, MYOWNMESH_RELEASE_BASE=server.base)
    said = text_of(machine.up(60, '"state": "up"'))
    for needed in ("fetching release v0.3.8", f"{ASSET}: ", "staged daemon 0.3.8", '"state": "up"'):
        assert needed in said, said
    record = json.loads(next((home / ".myownllm" / "binaries").glob(".bundled-*.json")).read_text())
    assert record["version"] == "0.3.8"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_signed_release_stages_from_a_folder(release: Path, tmp_path: Path) -> None:
    signer = builder("sign").Signer.load((release.parent / "test.key").read_text())
    env = {
        "HOME": str(tmp_path),
        "PATH": os.defpath,
        "MYOWNMESH_RELEASE_BASE": release.parent.as_uri(),
        "MYOWNMESH_TRUSTED_KEYS": signer.public,
    }
    request = EnsureRequest(pin="v0.3.8", dest=tmp_path / "slot", env=env, require=True)
    result = ensure(request)
    assert (result.version, result.verified) == ("0.3.8", "signature")


# ── the native stub (slow, for the build) ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def binary(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single file of the release."""
    from mesh_bundler.extract import extract

    path = tmp_path_factory.mktemp("bin") / "myownmesh"
    with path.open("wb") as file:
        extract(release / ASSET, "myownmesh", file.write)
    path.chmod(0o755)
    return path


class Runtime:
    """One cache folder and what the single file does with it."""

    def __init__(self, binary: Path, root: Path) -> None:
        self.binary, self.root = binary, root
        self._env = {"HOME": str(root / "home"), "MYOWNMESH_RUNTIME_DIR": str(root)}

    def start(self) -> subprocess.Popen[str]:
        """Anything that needs the unpacked folder."""
        return subprocess.Popen(
            [self.binary, "--version", "--json"],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def works(self) -> None:
        out, err = self.start().communicate(timeout=30)
        assert json.loads(out)["version"] == "0.3.8", err

    @property
    def folder(self) -> Path:
        (found,) = [path for path in (self.root / "myownmesh").iterdir() if path.is_dir()]
        return found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_first_starts_at_once_share_one_unpacking(binary: Path, tmp_path: Path) -> None:
    runtime = Runtime(binary, tmp_path / "rt")
    starts = [runtime.start() for _ in range(5)]
    for start in starts:
        out, err = start.communicate(timeout=60)
        assert json.loads(out)["version"] == "0.3.8", err
    assert runtime.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_while_unpacking_the_next_start_works(binary: Path, tmp_path: Path) -> None:
    for count in range(1, 12, 2):
        runtime = Runtime(binary, tmp_path / f"rt{count}")
        start = runtime.start()
        try:
            start.communicate(timeout=0.02 * (count + 1))
        except subprocess.TimeoutExpired:
            start.kill()
            start.communicate()
        runtime.works()
        assert len(list((runtime.root / "myownmesh").glob(".new-*"))) == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_folder_that_may_have_lost_its_content_is_unpacked_again(binary: Path, tmp_path: Path) -> None:
    """After a power loss: marked as complete in another boot, never flushed, and a file is gone."""
    runtime = Runtime(binary, tmp_path / "rt")
    runtime.works()
    folder = runtime.folder
    _wait_for(folder / ".flushed")
    (folder / ".flushed").unlink()
    (folder / ".complete").write_text("another-boot".ljust(36, "-"))
    (folder / "main.pyc").write_bytes(b"")
    runtime.works()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_folder_that_others_may_write_to_is_not_run(binary: Path, tmp_path: Path) -> None:
    runtime = Runtime(binary, tmp_path / "rt")
    runtime.works()
    _wait_for(runtime.folder / ".flushed")
    (runtime.folder / "main.pyc").write_bytes(b"evil")
    runtime.folder.chmod(0o777)
    runtime.works()
    assert runtime.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_cache_inside_a_folder_of_everybody_is_passed_over(binary: Path, tmp_path: Path) -> None:
    runtime = Runtime(binary, tmp_path / "rt")
    (runtime.root / "myownmesh").mkdir(parents=True)
    (runtime.root / "myownmesh").chmod(0o777)
    runtime.works()
    assert list((runtime.root / "myownmesh").iterdir()) == []
    assert (runtime.root / "home" / ".cache" / "myownmesh").is_dir()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_truncated_file_says_so(binary: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "myownmesh"
    damaged.write_bytes(binary.read_bytes()[:-1000])
    damaged.chmod(0o755)
    done = subprocess.run([damaged, "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert done.stdout == ""


def _wait_for(path: Path) -> None:
    import time

    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.02)
