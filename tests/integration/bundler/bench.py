"""A build machine for tests: a repository, a home, an environment of its own, and what the bundler said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from integration.bundler.fakes import daemon
from integration.bundler.release_server import tar_gz
from mesh_bundler import EnsureRequest, Refused, ensure
from mesh_bundler.client import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from integration.bundler.release_server import ReleaseServer
    from mesh_bundler import EnsureResult, Notice, Progress

TAG = "v0.1.2"
TRIPLE = "x86_64-unknown-linux-gnu"
ASSET = "myownmesh-linux-x86_64.tar.gz"
QUICK = Limits(connect=2, read=2, total=20, floor_rate=2000, floor_window=0.2, attempts=3)


@dataclass
class Machine:
    """One machine that builds the app. `run` is one build step."""

    folder: Path
    server: ReleaseServer | None = None
    pin: str | None = TAG
    env: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repo.mkdir(parents=True, exist_ok=True)
        if self.pin is not None:
            (self.repo / ".myownmesh-rev").write_text(self.pin + "\n")
        self.env.setdefault("HOME", str(self.folder / "home"))
        self.env.setdefault("MYOWNMESH_CACHE_DIR", str(self.folder / "cache"))
        self.env.setdefault("PATH", "")
        if self.server is not None:
            self.env.setdefault("MYOWNMESH_RELEASE_BASE", self.server.base)

    @property
    def repo(self) -> Path:
        return self.folder / "app"

    @property
    def dest(self) -> Path:
        return self.repo / "binaries"

    @property
    def slot(self) -> Path:
        return self.dest / f"myownmesh-{TRIPLE}"

    @property
    def marker(self) -> str | None:
        path = self.dest / ".bundled-rev"
        return path.read_text() if path.exists() else None

    @property
    def sibling(self) -> Path:
        return self.folder / "MyOwnMesh" / "target" / "release" / "myownmesh"

    def request(self, **members: Any) -> EnsureRequest:
        base = EnsureRequest(
            repo_root=self.repo,
            target=TRIPLE,
            env=self.env,
            on_notice=self.notices.append,
            on_progress=self.progress.append,
        )
        return replace(base, **members)

    def run(self, *, limits: Limits = QUICK, **members: Any) -> EnsureResult:
        self.notices.clear()
        return ensure(self.request(**members), limits=limits)

    def refusal(self, *, limits: Limits = QUICK, **members: Any) -> Refused:
        """Run, expecting a refusal."""
        try:
            result = self.run(limits=limits, **members)
        except Refused as refused:
            return refused
        raise AssertionError(f"not refused: {result}")

    def said(self) -> list[str]:
        return [notice.id for notice in self.notices]


def publish(server: ReleaseServer, version: str = "0.1.2", *, asset: str = ASSET, data: bytes | None = None) -> str:
    """Publish a good release of this version."""
    archive = tar_gz(("myownmesh", data if data is not None else daemon(version)))
    return server.publish(f"v{version}", asset, archive)
