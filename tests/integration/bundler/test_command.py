"""The command as build scripts call it: statuses, JSON, stdout for results only (spec 09 §9)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from integration.bundler.bench import ASSET, TAG, TRIPLE, Machine, publish
from integration.bundler.fakes import Program, daemon, install
from mesh_bundler.lockfile import parse_lock
from mesh_bundler.target import PLATFORMS
from support.warm import words

if TYPE_CHECKING:
    from pathlib import Path

    from integration.bundler.release_server import ReleaseServer


class Shell:
    """Runs `mesh-bundler` in a machine's repository."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.env = {**machine.env, "TARGET": TRIPLE, "NO_COLOR": "1"}

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words("mesh-bundler"), *arguments],
            cwd=self.machine.repo,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def json(self, *arguments: str, **env: str) -> Any:
        done = self(*arguments, "--json", **env)
        lines = done.stdout.splitlines()
        assert len(lines) == 1, f"stdout is not one object: {done.stdout!r} {done.stderr!r}"
        return json.loads(lines[0])


@pytest.fixture
def shell(machine: Machine) -> Shell:
    return Shell(machine)


def test_a_build_step_is_one_line(shell: Shell) -> None:
    assert shell("check").returncode == 11
    first = shell("ensure", "--require")
    assert first.returncode == 0, first.stderr
    assert "0.1.2" in first.stdout
    assert f"Fetching {ASSET}" in first.stderr
    assert shell("check").returncode == 0
    assert "Nothing to do" in shell().stdout


def test_ensure_answers_with_one_object(shell: Shell) -> None:
    answer = shell.json("ensure")
    assert (answer["format"], answer["outcome"], answer["source"]) == (1, "staged", "release")
    assert answer["pin"] == {"raw": TAG, "kind": "tag", "tag": TAG, "commit": None}
    assert answer["asset"]["name"] == ASSET
    assert answer["error"] is None
    assert shell.json("ensure")["outcome"] == "current"


def test_a_refusal_is_an_object_too_and_names_the_way_out(shell: Shell, server: ReleaseServer) -> None:
    (shell.machine.repo / ".myownmesh-rev").write_text("v0.1.9")
    done = shell("ensure", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 6
    assert answer["outcome"] == "error"
    assert answer["error"]["code"] == "release_not_found"
    assert answer["pin"]["tag"] == "v0.1.9"
    assert answer["slot"].endswith(TRIPLE)
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_progress_can_be_machine_readable(shell: Shell) -> None:
    done = shell("ensure", "--progress", "json")
    rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert rows[-1]["finished"] is True
    assert rows[-1]["progress"] == ASSET


def test_explain_tells_every_candidate_and_writes_nothing(shell: Shell, server: ReleaseServer) -> None:
    install(shell.machine.sibling, daemon("0.1.1"))
    done = shell("explain")
    assert done.returncode == 0
    assert "mismatch older 0.1.1" in done.stdout
    assert "would_stage release" in done.stdout
    assert "sibling daemon" in done.stderr
    assert not shell.machine.dest.exists()
    assert server.requests == []


def test_check_never_touches_network_or_disk(shell: Shell, server: ReleaseServer) -> None:
    before = sorted(shell.machine.folder.rglob("*"))
    answer = shell.json("check")
    assert answer["outcome"] == "would_stage"
    assert answer["reasons"]
    assert sorted(shell.machine.folder.rglob("*")) == before
    assert server.requests == []


def test_the_cache_key_changes_with_pin_target_and_lock(shell: Shell) -> None:
    keys = [shell("cache-key").stdout.strip()]
    keys.append(shell("cache-key", TARGET="aarch64-unknown-linux-gnu").stdout.strip())
    shell("lock", "--platforms", "linux-x86_64")
    keys.append(shell("cache-key").stdout.strip())
    (shell.machine.repo / ".myownmesh-lock.json").unlink()
    (shell.machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    keys.append(shell("cache-key").stdout.strip())
    assert len(set(keys)) == 4
    assert keys[0].startswith("myownmesh-linux-x86_64-")
    assert shell("cache-key", "--path").stdout.strip() == shell.machine.env["MYOWNMESH_CACHE_DIR"]


def test_lock_then_check_then_a_replaced_asset(shell: Shell, server: ReleaseServer) -> None:
    for name, platform in PLATFORMS.items():
        if name.startswith("linux") and name != "linux-x86_64":
            data = Program().exit(0).build(salt=name, machine=0xB7)
            publish(server, asset=platform.asset(), data=data)
    assert shell("lock", "--check").returncode == 11
    assert shell("lock").returncode == 0
    lock = parse_lock((shell.machine.repo / ".myownmesh-lock.json").read_bytes())
    assert set(lock.assets) == {"linux-x86_64", "linux-aarch64", "linux-aarch64-musl", "linux-riscv64"}
    assert lock.assets["linux-x86_64"].binary_size == len(daemon("0.1.2"))
    assert shell("lock", "--check").returncode == 0
    assert shell.json("ensure")["verified"] == "lock"
    publish(server, data=daemon("0.1.2", salt="replaced"))
    done = shell("lock", "--check")
    assert done.returncode == 7
    assert "replaced after locking" in done.stderr
    (shell.machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    assert shell("lock", "--check").returncode == 11
    publish(server, "0.1.3")
    assert shell("lock", "--platforms", "linux-x86_64").returncode == 0


def test_verify_probe_and_which_look_at_files(shell: Shell) -> None:
    assert shell("which").returncode == 11
    shell("ensure")
    slot = str(shell.machine.slot)
    assert shell("which").stdout.split("\t")[:2] == [slot, "0.1.2"]
    assert shell("verify", slot).returncode == 0
    assert shell("probe", slot).stdout.strip() == "0.1.2"
    other = str(install(shell.machine.folder / "other", daemon("0.1.1")))
    assert shell("verify", other).returncode == 8
    junk = str(install(shell.machine.folder / "junk", b"#!/bin/sh\n"))
    assert shell("verify", junk).returncode == 7
    assert shell("probe", junk).returncode == 8


def test_fetch_feeds_an_offline_machine(shell: Shell, tmp_path: Path, server: ReleaseServer) -> None:
    seed = str(tmp_path / "seed")
    assert shell("fetch", "--platform", "linux-x86_64", "-o", seed).returncode == 0
    server.requests.clear()
    fresh = {"MYOWNMESH_CACHE_DIR": str(tmp_path / "empty"), "MYOWNMESH_OFFLINE": "1"}
    assert shell("ensure", **fresh).returncode == 6
    assert shell("ensure", "--seed-dir", seed, **fresh).returncode == 0
    assert server.requests == []


def test_clean_empties_the_cache(shell: Shell) -> None:
    shell("ensure")
    assert shell.json("clean", "--older-than", "30d")["removed"] == 0
    assert shell.json("clean")["removed"] > 0
    assert shell("ensure").returncode == 0, "the slot does not need the cache"


def test_platforms_lists_what_the_pin_has(tmp_path: Path) -> None:
    shell = Shell(Machine(tmp_path))
    rows = {row["platform"]: row["available"] for row in shell.json("platforms")["platforms"]}
    assert rows["linux-x86_64"] == "yes"
    assert rows["linux-riscv64"] == "since v0.2.16"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["ensure", "--require", "--dev"], 2),
        (["ensure", "--no-such-switch"], 2),
        (["ensure", "--require-verification", "hope"], 2),
        (["ensure", "--sibling-policy", "newest"], 2),
        (["ensure", "--wait-for-asset", "soon"], 2),
        (["ensure", "--target", "amiga"], 5),
        (["ensure", "--bin", "/nowhere"], 4),
        (["ensure", "--skip"], 0),
        (["ensure", "--pin", "main"], 3),
        (["--version"], 0),
        (["--help"], 0),
    ],
)
def test_exit_statuses(shell: Shell, arguments: list[str], status: int) -> None:
    assert shell(*arguments).returncode == status


def test_configuration_comes_from_pyproject_and_unknown_keys_are_errors(shell: Shell) -> None:
    project = shell.machine.repo / "pyproject.toml"
    project.write_text('[tool.mesh-bundler]\ndest = "vendor"\npin-file = "daemon.txt"\n')
    (shell.machine.repo / "daemon.txt").write_text("v0.1.2")
    (shell.machine.repo / ".myownmesh-rev").unlink()
    assert shell.json("ensure")["slot"].endswith(f"vendor/myownmesh-{TRIPLE}")
    project.write_text("[tool.mesh-bundler]\nsibling_polcy = 'exact'\n")
    assert shell("check").returncode == 2
    project.write_text("[tool.mesh-bundler]\nplatforms = 'all'\n")
    assert shell("check").returncode == 2
    project.unlink()
    two = "[[tool]]\nname = 'myownmesh'\npin_file = 'daemon.txt'\n[[tool]]\nname = 'allmystuff-serve'\n"
    (shell.machine.repo / "mesh-bundler.toml").write_text(two)
    assert shell("check").returncode == 2
    assert shell("--tool", "myownmesh", "check").returncode == 11


def test_another_tool_of_the_family_is_staged_by_the_same_rules(shell: Shell, server: ReleaseServer) -> None:
    config = "[tool.mesh-bundler]\nname = 'allmystuff-serve'\npin_file = '.allmystuff-rev'\n"
    (shell.machine.repo / "pyproject.toml").write_text(config)
    (shell.machine.repo / ".allmystuff-rev").write_text("v0.1.2")
    from integration.bundler.release_server import tar_gz

    binary = daemon("0.1.2", program="allmystuff-serve")
    server.publish(TAG, "allmystuff-serve-linux-x86_64.tar.gz", tar_gz(("allmystuff-serve", binary)))
    assert shell.json("ensure")["slot"].endswith(f"allmystuff-serve-{TRIPLE}")


def test_annotations_for_github(shell: Shell) -> None:
    install(shell.machine.sibling, daemon("0.1.1"))
    done = shell("ensure", GITHUB_ACTIONS="true")
    assert any(line.startswith("::warning::The sibling daemon") for line in done.stderr.splitlines())


def test_ctrl_c_leaves_nothing_behind(shell: Shell, server: ReleaseServer) -> None:
    import signal
    import time

    from integration.bundler import release_server as trouble

    server.once = False
    server.script(f"{TAG}/{ASSET}", trouble.drip(10_000, 0.01))
    code = "import sys; from mesh_bundler.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "ensure"], cwd=shell.machine.repo, env=shell.env, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while not server.count("/storage/") >= 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert [path.name for path in shell.machine.dest.iterdir()] == [f".bundle-{TRIPLE}.lock"]


def test_the_fast_commands_load_no_heavy_module(shell: Shell) -> None:
    code = (
        "import sys\nfrom mesh_bundler.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted({'httpx','typer','cryptography','nacl','attrs','attr','typing','subprocess'} & set(sys.modules)))"
    )
    for command in ("check", "cache-key"):
        done = subprocess.run(
            [sys.executable, "-S", "-c", code, command],
            cwd=shell.machine.repo,
            env={**shell.env, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"
