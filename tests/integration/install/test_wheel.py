"""The wheel in empty environments, with and without extras: what was installed starts, or brings what starts.

The registry is the real one, with the versions of the lock; the release feed is on loopback.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email.parser import BytesParser
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from integration.bundler.bench import ASSET
from integration.bundler.fakes import Program
from integration.bundler.release_server import ReleaseServer, tar_gz
from integration.install.environments import ROOT, RUNNER, Environment, build
from mesh_common.version import VERSION
from myownmesh.daemon import needs
from support.once import once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TAG = (ROOT / ".myownmesh-rev").read_text().strip()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    return once(tmp_path_factory, worker_id, "distribution", build) / "dist"


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Environment]:
    """The empty environment that the wheel has been installed into, with that extra or without any."""

    @cache
    def install(extra: str | None) -> Environment:
        environment = Environment(tmp_path_factory.mktemp("environment"))
        environment.install(next(dist.glob("*.whl")), extra)
        return environment

    return install


@pytest.fixture
def feed() -> Iterator[ReleaseServer]:
    """The pinned release: a native program that becomes the daemon of this checkout."""
    with ReleaseServer().running() as host:
        program = Program().become(f"{sys.prefix}/bin/myownmesh").exit(127)
        host.publish(TAG, ASSET, tar_gz(("myownmesh", program.build(salt="pinned"))))
        yield host


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        yield Path(directory)


@pytest.mark.parametrize("extra", [None, needs.EXTRA])
def test_up_starts_a_daemon_in_an_empty_environment(
    extra: str | None, installed: Callable[[str | None], Environment], feed: ReleaseServer, home: Path
) -> None:
    environment = installed(extra)
    for program in PROJECT["scripts"]:
        assert environment.run(program, "--help").returncode == 0, program
    answer = environment.run("myownmesh", "--version", HOME=str(home))
    serves = answer.returncode == 0
    assert serves == (extra == needs.EXTRA)

    events = environment.up(home, until="up", MYOWNMESH_RELEASE_BASE=feed.base)

    said = json.dumps(events, ensure_ascii=False)
    if serves:
        assert answer.stdout == f"myownmesh {VERSION}\n"
        assert feed.requests == []
        assert "not using" not in said, said
        return
    hint = f"{environment.bin}/python -m pip install 'myownllm-mesh[daemon]'"
    assert answer.stderr.endswith(f"; the daemon needs more: {hint}\n")
    assert environment.run("myownmesh", "version", "--self-test", HOME=str(home)).stderr.endswith(f": {hint}\n")
    for line in (f"fetching release {TAG}", f"{ASSET}: ", f"staged daemon {VERSION} at "):
        assert line in said, said
    again = environment.up(home, until="up", MYOWNMESH_OFFLINE="1")
    assert not [event for event in again if event["event"] == "progress"], "staged once and for all"


def test_a_daemon_that_cannot_serve_writes_nothing(
    installed: Callable[[str | None], Environment], tmp_path: Path
) -> None:
    """Named by an override it is started all the same: it says what is missing, and the release is fetched."""
    done = installed(None).run("myownmesh", "serve", HOME=str(tmp_path), MYOWNMESH_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: this installation cannot serve: ")
    assert not (tmp_path / "home").exists()


# ── what the index shows ──────────────────────────────────────────────────────────────────────────────────────────────


def metadata(dist: Path) -> Message:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        return BytesParser().parsebytes(wheel.read(f"myownllm_mesh-{VERSION}.dist-info/METADATA"))


def required(facts: Message) -> dict[str, set[Requirement]]:
    """What is installed with each extra, and without one under an empty name.

    This environment is what they and the lock make of it; so the extra of developers needs no installation here.
    """
    found: dict[str, set[Requirement]] = {}
    for line in facts.get_all("Requires-Dist", []):
        requirement, _, extra = line.partition("; extra == ")
        found.setdefault(extra.strip("'\""), set()).add(Requirement(requirement))
    return found


def test_the_metadata_say_what_the_project_says(dist: Path) -> None:
    facts = metadata(dist)
    assert (facts["Name"], facts["Version"]) == (PROJECT["name"], VERSION)
    assert facts["Requires-Python"] == PROJECT["requires-python"]
    assert facts["License-Expression"] == "MIT"
    assert set(facts.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    said = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    assert required(facts) == {extra: set(map(Requirement, lines)) for extra, lines in said.items()}
    assert "Operating System :: POSIX :: Linux" in facts.get_all("Classifier", [])
    assert str(facts.get_payload()).startswith("# A private mesh")


def test_the_wheel_has_the_four_packages_the_pin_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {
        "mesh_common",
        "mesh_bundler",
        "myownllm",
        "myownmesh",
        f"myownllm_mesh-{VERSION}.dist-info",
    }
    assert "myownllm/.myownmesh-rev" in names
    assert f"myownllm_mesh-{VERSION}.dist-info/licenses/LICENSE" in names
    assert {f"{package}/py.typed" for package in ("mesh_common", "mesh_bundler", "myownllm", "myownmesh")} <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".tmp"))]


def test_the_source_distribution_is_enough_to_build_the_wheel(dist: Path) -> None:
    """The wheel here was built from it; besides sources it has what a reader needs."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sources:
        names = {name.partition("/")[2] for name in sources.getnames()}
    assert {"pyproject.toml", ".myownmesh-rev", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO"} <= names
    assert not [name for name in names if name.startswith((".venv", "tests", ".git/"))]


def test_the_index_shows_a_readme_whose_links_lead_somewhere(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        shown = wheel.read(f"myownllm_mesh-{VERSION}.dist-info/METADATA").decode()
    repository = "/".join(RUNNER.values())
    assert f"Project-URL: Repository, {repository}\n" in shown
    assert f"]({repository}/blob/v{VERSION}/docs/security.md)" in shown
    assert not [link for link in re.findall(r"\]\(([^)]*)\)", shown) if not link.startswith("https://")]
