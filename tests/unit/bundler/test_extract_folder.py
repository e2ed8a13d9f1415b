"""A release archive that is a whole folder: what is unpacked, and what is refused (spec 09 §8.4)."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from mesh_bundler import archive_rules
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.extract import extract_folder

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = b"\x7fELF" + bytes(500)


def archive(path: Path, *members: tuple[str, bytes | None], kind: bytes = tarfile.REGTYPE) -> Path:
    """A tar.gz of these members; None is a folder."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if data is None else kind
            info.size, info.mode = len(data or b""), 0o777
            tar.addfile(info, io.BytesIO(data or b""))
    path.write_bytes(gzip.compress(raw.getvalue(), mtime=0))
    return path


def test_a_folder_is_unpacked_with_modes_of_ours(tmp_path: Path) -> None:
    into = tmp_path / "in"
    into.mkdir()
    members = [("r", None), ("r/myownmesh", PROGRAM), ("./r/py/a/b.pyc", b"code"), ("r/empty", b"")]
    extract_folder(archive(tmp_path / "a", *members), "r", "myownmesh", into)
    found = {path.relative_to(into).as_posix(): path for path in into.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "myownmesh": PROGRAM,
        "py/a/b.pyc": b"code",
        "empty": b"",
    }
    assert {name: path.stat().st_mode & 0o777 for name, path in found.items()} == {
        "myownmesh": 0o755,
        "py/a/b.pyc": 0o644,
        "empty": 0o644,
    }


GOOD = ("r/myownmesh", PROGRAM)


@pytest.mark.parametrize(
    ("code", "members"),
    [
        ("outside_folder", [GOOD, ("other/x", b"x")]),
        ("outside_folder", [("r", b"a file of the folder's name")]),
        ("parent_traversal", [GOOD, ("r/../../x", b"x")]),
        ("absolute_path", [GOOD, ("/r/x", b"x")]),
        ("duplicate", [GOOD, ("r/MyOwnMesh", b"x")]),
        ("duplicate", [GOOD, ("r/a", b"x"), ("r/a/b", b"x")]),
        ("duplicate", [GOOD, ("r/a/b", b"x"), ("r/a", b"x")]),
        ("binary_missing", [("r/x", b"x")]),
        ("binary_too_small", [("r/myownmesh", b"")]),
    ],
)
def test_what_breaks_a_rule_is_refused(code: str, members: list[tuple[str, bytes | None]], tmp_path: Path) -> None:
    into = tmp_path / "in"
    into.mkdir()
    with pytest.raises(Refused) as caught:
        extract_folder(archive(tmp_path / "a", *members), "r", "myownmesh", into)
    assert (caught.value.code, caught.value.exit_code) == (code, Exit.INTEGRITY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "in"], "nothing outside of it"


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(Refused) as caught:
        extract_folder(archive(tmp_path / "a", ("r/x", b""), kind=tarfile.SYMTYPE), "r", "myownmesh", tmp_path / "in")
    assert caught.value.code == "member_type"


def test_it_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.setattr("mesh_bundler.extract.MAX_FOLDER_MEMBERS", 5)
    members = [GOOD, *((f"r/{each}", b"x") for each in range(5))]
    with pytest.raises(Refused) as caught:
        extract_folder(archive(tmp_path / "a", *members), "r", "myownmesh", tmp_path / "in")
    assert caught.value.code == "too_many_members"
    assert archive_rules.MAX_FOLDER_MEMBERS == 10_000
