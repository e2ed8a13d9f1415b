"""The app's configuration on disk: never lost, never half written, repaired where older builds damaged it."""

from __future__ import annotations

import json
import random
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mesh_common.locks import FileLock
from myownllm.catalog.file import CatalogFile
from myownllm.catalog.network import SavedNetwork
from myownllm.errors import HomeError, NetworkIdError
from myownllm.files import lock_holder_note

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_780_000_000_000


def catalog(path: Path) -> CatalogFile:
    return CatalogFile(path / "config.json", now_ms=lambda: NOW, rng=random.Random(1))


def content(path: Path) -> Any:
    return json.loads((path / "config.json").read_text(encoding="utf-8"))


def add(file: CatalogFile, handle: str) -> None:
    file.mutate(lambda c: c.add_network(SavedNetwork(file.mint_id(), handle), activate=True))


def test_no_file_is_an_empty_catalog_and_reading_creates_none(tmp_path: Path) -> None:
    """FE-6.5."""
    assert catalog(tmp_path).load().catalog.networks == ()
    assert list(tmp_path.iterdir()) == []


def test_a_change_is_private_pretty_and_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    """FE-1.3, FE-6.1, FE-6.4."""
    before = {"web_search": {"k": 1}, "cloud_mesh": {"networks": [], "future": [1]}, "api": {"port": 9}}
    (tmp_path / "config.json").write_text(json.dumps(before))
    add(catalog(tmp_path), "home")
    after = content(tmp_path)
    assert after["web_search"] == {"k": 1}
    assert after["api"] == {"port": 9}
    assert after["cloud_mesh"]["future"] == [1]
    assert after["cloud_mesh"]["networks"][0]["network_id"] == "home"
    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600
    assert (tmp_path / "config.json").read_text().startswith('{\n  "')


def test_handles_are_saved_normalised_and_bad_ones_refused(tmp_path: Path) -> None:
    """FE-5.11, FE-12.32."""
    file = catalog(tmp_path)
    add(file, "  Home-Mesh ")
    assert content(tmp_path)["cloud_mesh"]["networks"][0]["network_id"] == "home-mesh"
    with pytest.raises(NetworkIdError):
        add(file, "a b")
    assert len(content(tmp_path)["cloud_mesh"]["networks"]) == 1


def test_a_corrupt_file_is_set_aside_and_the_last_good_one_used(tmp_path: Path) -> None:
    """FE-6.3, FE-12.24."""
    file = catalog(tmp_path)
    add(file, "home")
    (tmp_path / "config.json").write_text('{"cloud_mesh": {"netw')
    stored = file.load()
    assert [n.network_id for n in stored.catalog.networks] == ["home"]
    assert (tmp_path / f"config.json.corrupt-{NOW}").read_text() == '{"cloud_mesh": {"netw'
    assert f"config.json.corrupt-{NOW}" in stored.notices[0]
    assert file.load().notices == ()


def test_a_corrupt_file_without_backup_gives_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe")
    stored = catalog(tmp_path).load()
    assert stored.catalog.networks == ()
    assert "defaults" in stored.notices[0]


def test_an_unreadable_file_is_left_alone(tmp_path: Path) -> None:
    """FE-6.3, FE-12.24."""
    (tmp_path / "config.json").mkdir()
    with pytest.raises(HomeError, match="cannot read"):
        catalog(tmp_path).load()


def test_a_file_that_the_daemon_overwrote_is_recovered_and_its_one_network_selected(tmp_path: Path) -> None:
    """FE-1.2."""
    (tmp_path / "config.json").write_text(
        json.dumps({"version": 3, "daemon": {}, "networks": [{"id": "net-1", "network_id": "one"}]})
    )
    stored = catalog(tmp_path).load()
    assert stored.catalog.active is not None
    assert stored.catalog.active.network_id == "one"
    assert set(content(tmp_path)) == {"cloud_mesh"}


def test_the_signature_changes_with_the_file(tmp_path: Path) -> None:
    file = catalog(tmp_path)
    seen = {file.signature()}
    for handle in ("one", "two"):
        add(file, handle)
        seen.add(file.signature())
    assert len(seen) == 3


@pytest.mark.heavy
def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    """FE-6.4."""
    program = (
        "import sys; from pathlib import Path; from myownllm.catalog.file import CatalogFile;"
        "from myownllm.catalog.network import SavedNetwork;"
        "f = CatalogFile(Path(sys.argv[1]));"
        "add = lambda i: f.mutate(lambda c: c.add_network(SavedNetwork(f.mint_id(), f'net-{sys.argv[2]}-{i}')));"
        "[add(i) for i in range(10)]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "config.json"), str(n)]) for n in range(3)
    ]
    assert [w.wait() for w in writers] == [0, 0, 0]
    assert len(content(tmp_path)["cloud_mesh"]["networks"]) == 30


def test_a_lock_names_its_holder_only_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "app.lock"
    assert lock_holder_note(path) is None
    lock = FileLock(path)
    assert lock.try_acquire(b'{"pid": 7}')
    assert lock_holder_note(path) == {"pid": 7}
    assert not FileLock(path).try_acquire()
    lock.release()
    assert lock_holder_note(path) is None


@pytest.mark.parametrize("broken", ["write", "lock"])
def test_a_full_or_read_only_disk_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """FE-6.2, FE-12.22."""
    (tmp_path / "config.json").write_text(json.dumps({"cloud_mesh": {"networks": [{"network_id": "home"}]}}))
    before = (tmp_path / "config.json").read_bytes()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if broken == "write":
        monkeypatch.setattr("myownllm.catalog.file.write_durably", refuse)
    else:
        monkeypatch.setattr(FileLock, "acquire", refuse)
    file = catalog(tmp_path)
    assert [n.network_id for n in file.load().catalog.networks] == ["home"]
    with pytest.raises(HomeError, match="No space left on device; the old content is intact"):
        add(file, "work")
    if broken == "write":
        assert (tmp_path / "config.json").read_bytes() == before


def test_a_backup_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "config.json.bak").mkdir()
    file = catalog(tmp_path)
    add(file, "home")
    assert [n["network_id"] for n in content(tmp_path)["cloud_mesh"]["networks"]] == ["home"]
    assert file.load().notices == ()


def test_a_damaged_file_that_cannot_be_replaced_stays_and_its_backup_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = catalog(tmp_path)
    add(file, "home")
    (tmp_path / "config.json").write_text("{")

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("myownllm.catalog.file.write_durably", refuse)
        for _ in range(2):
            stored = file.load()
            assert [n.network_id for n in stored.catalog.networks] == ["home"]
            assert "No space left" in stored.notices[0]
        assert (tmp_path / "config.json").read_text() == "{"
        assert not list(tmp_path.glob("*.corrupt-*"))
    assert [n.network_id for n in file.load().catalog.networks] == ["home"]
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1


def test_a_link_to_a_file_elsewhere_stays_a_link(tmp_path: Path) -> None:
    """Dotfiles under version control: changes, repairs and the copy set aside go through the link."""
    kept, home = tmp_path / "dotfiles" / "mesh.json", tmp_path / "home"
    kept.parent.mkdir()
    home.mkdir()
    (home / "config.json").symlink_to(kept)
    file = catalog(home)
    add(file, "home")
    assert (home / "config.json").is_symlink()
    assert json.loads(kept.read_text())["cloud_mesh"]["networks"][0]["network_id"] == "home"
    assert list(kept.parent.iterdir()) == [kept], "written whole beside the target, and no leftover"
    for backup in (True, False):
        kept.write_text("{")
        if not backup:
            (home / "config.json.bak").unlink()
        handles = [n.network_id for n in file.load().catalog.networks]
        assert handles == (["home"] if backup else [])
        aside = home / f"config.json.corrupt-{NOW}"
        assert not aside.is_symlink()
        assert aside.read_text() == "{"
        assert (home / "config.json").is_symlink()
        aside.unlink()
    add(file, "work")
    assert (home / "config.json").is_symlink()
    assert json.loads(kept.read_text())["cloud_mesh"]["networks"][0]["network_id"] == "work"


def test_while_an_app_uses_it_a_damaged_file_is_refused_and_stays(tmp_path: Path) -> None:
    """An editor truncates before it writes: what a command would repair now is somebody's edit (spec 08 FE-12.25)."""
    add(catalog(tmp_path), "home")
    (tmp_path / "config.json").write_text('{"cloud_mesh": {"netw')
    file = CatalogFile(tmp_path / "config.json", in_use=lambda: True)
    for attempt in (file.load, lambda: file.mutate(lambda c: c.set_active_network(None))):
        with pytest.raises(HomeError, match=r"damaged \(line 1 column 17.*correct it"):
            attempt()
    assert (tmp_path / "config.json").read_text() == '{"cloud_mesh": {"netw'
    assert not list(tmp_path.glob("*corrupt*"))


def test_what_cannot_be_used_is_told_and_stays_to_be_corrected(tmp_path: Path) -> None:
    """A value of a wrong form counts as its default (spec 08 §6.3, FE-8.7); nobody may believe that it is in force."""
    record = {
        "id": "net-1", "network_id": "home", "kind": "secret", "auto_approve": "yes", "topology": {"kind": "star"},
        "signaling_servers": "wss://r", "stun_servers": [], "turn_servers": [{"url": 1}], "accepting": "never",
        "signaling": "quiet", "auto_gossip": 1, "label": None,
    }  # fmt: skip
    text = json.dumps({"cloud_mesh": {"networks": [record]}})
    (tmp_path / "config.json").write_text(text)
    stored = catalog(tmp_path).load()
    members = ["kind", "topology", "auto_approve", "signaling_servers", "turn_servers", "signaling"]
    members += ["accepting", "auto_gossip"]
    assert [told.split()[1] for told in stored.unusable] == members
    assert stored.unusable[0] == ("'home': kind is 'secret', which cannot be used; it must be \"open\" or \"closed\"")
    assert (tmp_path / "config.json").read_text() == text
    assert stored.catalog.networks[0].auto_approve is None
    del record["id"]
    (tmp_path / "config.json").write_text(json.dumps({"cloud_mesh": {"networks": [record]}}))
    minted = catalog(tmp_path).load().catalog.networks[0].id
    assert content(tmp_path)["cloud_mesh"]["networks"][0]["id"] == minted, "or it would be another one each time"


def test_a_change_while_the_file_is_read_is_seen_afterwards(tmp_path: Path) -> None:
    add(catalog(tmp_path), "home")

    def edit() -> int:
        (tmp_path / "config.json").write_text("{}")
        return NOW

    file = CatalogFile(tmp_path / "config.json", now_ms=edit)
    assert file.load().signature != file.signature()
