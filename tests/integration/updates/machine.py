"""A home and an installation of a program that only looks like one: whole, half or another version can be told."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from myownmesh.updates import boot, trees
from myownmesh.updates.installation import Installation, packed_version
from myownmesh.updates.place import Place
from myownmesh.updates.records import Staged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OLD, NEW = "0.3.8", "0.3.801"
TRAILER = struct.Struct("<64s64sQQQ8s")


class Started(Exception):
    """A start ended in becoming what is in place."""


def program_of(version: str) -> bytes:
    """As a single file ends: its version, and a digest that nobody asks for here."""
    body = version.encode() * 5000
    return body + TRAILER.pack(version.encode().ljust(64, b"\0"), b"0" * 64, 0, len(body), 0, b"MOMPACK1")


class Machine:
    """One home and one installation of the old version."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        self.home = root / "home"
        self.place = Place(self.home)
        if kind == "file":
            program = root / "bin" / "myownmesh"
            program.parent.mkdir(parents=True)
            program.write_bytes(program_of(OLD))
        else:
            program = root / "prefix" / "current" / "myownmesh"
            self._folder(root / "prefix" / "versions" / OLD, OLD)
            (root / "prefix" / "current").symlink_to(f"versions/{OLD}")
        self.installation = Installation(kind, program)

    @staticmethod
    def _folder(folder: Path, version: str) -> None:
        (folder / "py").mkdir(parents=True)
        (folder / "myownmesh").write_bytes(version.encode())
        (folder / "py" / "a.pyc").write_bytes(version.encode() * 100)

    def stage(self, *, auto: bool = True) -> None:
        """The new version waits, as after a check."""
        if self.kind == "file":
            path = self.place.version_folder(NEW) / "myownmesh"
            path.parent.mkdir(parents=True)
            path.write_bytes(program_of(NEW))
            digest = trees.file_digest(path)
        else:
            path = self.installation.version_folder(NEW)
            self._folder(path, NEW)
            digest = trees.tree_digest(path)
        program = self.installation.program
        self.place.write(
            Staged(
                version=NEW,
                kind=self.kind,
                path=str(path),
                sha256=digest,
                size=1,
                asset="a",
                verified="checksum",
                key_id=None,
                staged_at=1,
                auto=auto,
                target=str(program),
                target_mtime_ns=program.stat().st_mtime_ns,
            )
        )

    def _found(self, _: object) -> Installation:
        return self.installation

    def whole_version(self) -> str:
        """What a start would run; every byte of it is there, or this fails."""
        program = self.installation.program
        if self.kind == "file":
            version = packed_version(program)
            assert version is not None, "what stands at the program's place is no program"
            assert program.read_bytes() == program_of(version), "half a program"
            return version
        version = program.read_text()
        assert program.with_name("py").joinpath("a.pyc").read_text() == version * 100, "a mixed folder"
        return version

    def start(self, environ: Mapping[str, str] | None = None) -> str:
        """Start the daemon as often as it becomes another program, which `swap.become` has to tell; what then runs."""
        for _ in range(5):
            running = self.whole_version()
            boot.VERSION = running
            boot.find = self._found
            try:
                boot.begin({"MYOWNMESH_HOME": str(self.home), **(environ or {})})
            except Started:
                continue
            return running
        raise AssertionError("it starts again and again")
