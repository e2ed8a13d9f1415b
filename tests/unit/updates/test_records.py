"""The updater's files: what is written is read, and what cannot be read is as if it were not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from myownmesh.store.config import AutoUpdate
from myownmesh.updates import rules
from myownmesh.updates.installation import Installation, find, keeper, packed_version
from myownmesh.updates.place import Place
from myownmesh.updates.records import (
    Failures,
    Quarantined,
    Staged,
    State,
    read_failures,
    read_staged,
    read_state,
    text_of,
)
from myownmesh.updates.report import status

STAGED = Staged(
    version="0.3.801",
    kind="file",
    path="/x",
    sha256="0" * 64,
    size=1,
    asset="a",
    verified="checksum",
    key_id=None,
    staged_at=1,
    auto=True,
    target="/y",
    target_mtime_ns=2,
)
STATE = State("0.3.801", previous="0.3.8", status="unconfirmed", quarantine=(Quarantined("0.3.9", "it fell", 5),))


def test_what_is_written_is_read() -> None:
    assert read_staged(text_of(STAGED)) == STAGED
    assert read_state(text_of(STATE)) == STATE
    assert read_failures(text_of(Failures(2, 3, "x"))) == Failures(2, 3, "x")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"{}", b'{"current":5}', b'{"version":null}', b"[" * 100_000])
def test_what_cannot_be_read_is_not_there(data: bytes) -> None:
    assert read_staged(data) is None
    assert read_state(data) is None
    assert read_failures(data) == Failures()


def test_odd_rows_of_a_quarantine_cost_only_themselves() -> None:
    data = json.dumps({"current": "0.3.8", "quarantine": [5, {}, {"version": "0.3.9", "at": "x"}]}).encode()
    assert read_state(data) == State("0.3.8", quarantine=(Quarantined("0.3.9", "", 0),))


@pytest.mark.parametrize("member", ["version", "sha256", "path", "target"])
def test_a_staged_version_lacks_nothing(member: str) -> None:
    document = json.loads(text_of(STAGED))
    del document[member]
    assert read_staged(json.dumps(document).encode()) is None


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write(STATE)
    place.write(STAGED)
    place.checked(1_800_000_000.9)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in place.root.iterdir()} == {
        "state.json": "0o600",
        "staged.json": "0o600",
        "last-check": "0o600",
    }
    assert place.root.stat().st_mode & 0o777 == 0o700
    assert (place.root / "last-check").read_text() == "1800000000\n"
    assert place.last_check() == 1_800_000_000
    (place.version_folder("0.3.801")).mkdir()
    place.unstage()
    assert sorted(path.name for path in place.root.iterdir()) == ["last-check", "state.json"]


@pytest.mark.parametrize("text", ["", "x", "-5\n", "9" * 40])
def test_an_odd_stamp_is_never(tmp_path: Path, text: str) -> None:
    place = Place(tmp_path)
    place.make()
    (place.root / "last-check").write_text(text)
    assert place.last_check() is None


def test_what_v0_3_8_has_staged_in_a_home_of_both_is_told_and_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make()
    marker = place.root / "pending.json"
    marker.write_text('{"version":"0.3.9","path":"/u/0.3.9/myownmesh"}')
    shown = status(place, find({}), AutoUpdate(), {}, "0.3.8")
    assert shown.staged_version == "0.3.9"
    place.unstage()
    assert marker.exists()
    for odd in ("{", '{"version":5,"path":"/x"}', '{"version":"1.0.0"}'):
        marker.write_text(odd)
        assert status(place, find({}), AutoUpdate(), {}, "0.3.8").staged_version is None


def test_status_tells_where_an_update_stands(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write(rules.rolled_back(STATE, "it fell", 1.0))
    place.write(Failures(1, 1, "no network"))
    mine = AutoUpdate(stable_url="https://mine.example/latest")
    installation = Installation("file", tmp_path / "myownmesh")
    shown = status(place, installation, mine, {}, "0.3.8")
    assert (shown.install_kind, shown.detail) == ("raw", "no network")
    assert (shown.rolled_back_from, shown.quarantine) == ("0.3.801", ("0.3.9", "0.3.801"))
    without = status(place, installation, AutoUpdate(), {}, "0.3.8")
    assert without.install_kind == "package_manager", "no feed of its own: it would become another program"


def test_who_keeps_a_program_from_replacing_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.updates.installation._CONTAINER_MARKS", ())
    mine = Installation("file", tmp_path / "myownmesh")
    assert keeper(mine, {}) is None
    assert "MYOWNMESH_MANAGED" in str(keeper(mine, {"MYOWNMESH_MANAGED": "1"}))
    (tmp_path / ".bundled-myownmesh.json").write_text("{}")
    assert "an app" in str(keeper(mine, {}))
    assert "Nix" in str(keeper(mine._replace(program=Path("/nix/store/x/myownmesh")), {}))
    (tmp_path / "conda-meta").mkdir()
    assert "conda" in str(keeper(mine, {}))
    absent = Installation("folder", tmp_path.parent / "p" / "current" / "myownmesh")
    assert "not writable" in str(keeper(absent, {}))
    monkeypatch.setattr("myownmesh.updates.installation._CONTAINER_MARKS", (str(tmp_path),))
    boxed = Installation("file", tmp_path.parent / "myownmesh")
    assert "container" in str(keeper(boxed, {}))
    assert keeper(boxed, {"MYOWNMESH_MANAGED": "0"}) is None


def test_a_file_that_is_no_single_file_has_no_version(tmp_path: Path) -> None:
    path = tmp_path / "myownmesh"
    assert packed_version(path) is None
    for data in (b"", b"x" * 500):
        path.write_bytes(data)
        assert packed_version(path) is None
