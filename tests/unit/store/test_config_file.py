"""``config.json`` on disk: quarantine, saves that lose nothing, clear errors (spec 07 §3, C1–C4)."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mesh_common.client.address import pinned_socket
from myownmesh.store import Home, Store, StoreError
from myownmesh.store.config import MeshConfig
from myownmesh.store.config_file import change_config, load_config
from myownmesh.store.locks import FileLock
from myownmesh.store.network_config import NetworkConfig

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "control-socket.json").read_text("utf-8"))
CORRUPT: list[dict[str, Any]] = [case for case in VECTORS["config"]["cases"] if case.get("corrupt")]
ONLY_A_RECORD_IS_BAD = {"network without network_id", "unknown topology kind"}  # skipped alone, spec 10 §4


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def with_network(name: str) -> Any:
    record = NetworkConfig(id=name, network_id=name)
    return lambda config: replace(config, networks=(*config.networks, record))


@pytest.mark.parametrize("case", CORRUPT, ids=lambda case: case["name"])
def test_a_corrupt_file_is_set_aside_by_the_daemon_only(home: Home, case: dict[str, Any]) -> None:
    home.config.write_text(case["input_text"])
    loaded = load_config(home)
    assert json.loads(loaded.config.text()) == case["expected"]
    assert loaded.problems
    assert [entry.name for entry in home.root.iterdir()] == ["config.json"]

    loaded = load_config(home, quarantine_corrupt=True)
    assert json.loads(loaded.config.text()) == case["expected"]
    assert loaded.set_aside == home.root / "config.json.corrupt"
    assert loaded.set_aside.read_text() == case["input_text"]
    assert home.config.exists() == (case["name"] in ONLY_A_RECORD_IS_BAD)


def test_a_missing_file_is_the_default_and_nothing_is_created(home: Home) -> None:
    assert load_config(home, quarantine_corrupt=True).config == MeshConfig()
    assert list(home.root.iterdir()) == []


def test_invalid_utf8_is_an_error_and_not_a_quarantine(home: Home) -> None:
    home.config.write_bytes(b'{"x":"\xff"}')
    with pytest.raises(StoreError, match=r"config: read .*valid UTF-8"):
        load_config(home, quarantine_corrupt=True)
    assert home.config.exists()


def test_a_save_after_a_skipped_record_keeps_the_others_and_a_copy_of_the_whole(home: Home) -> None:
    text = '{"networks":[{"id":"bad"},{"id":"good","network_id":"good"}]}'
    home.config.write_text(text)
    saved = change_config(home, with_network("new-one"))
    assert [network.id for network in saved.networks] == ["good", "new-one"]
    assert load_config(home).config == saved
    assert load_config(home).problems == ()
    assert (home.root / "config.json.corrupt").read_text() == text


@pytest.mark.heavy
def test_thirty_writers_at_once_lose_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.store.config_file.CONFIG_LOCK_WAIT", 60.0)  # a busy disk may be slower than 2 s
    names = [f"net-{number}" for number in range(30)]
    threads = [threading.Thread(target=change_config, args=(home, with_network(name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(network.id for network in load_config(home).config.networks) == sorted(names)
    assert {entry.name for entry in home.root.iterdir()} == {"config.json", "config.json.lock"}


def test_a_hand_edit_between_two_saves_survives(home: Home) -> None:
    change_config(home, with_network("abc"))
    value = json.loads(home.config.read_text())
    value["daemon"]["log_level"] = "debug"
    value["comment"] = "mine"
    home.config.write_text(json.dumps(value))
    change_config(home, with_network("abd"))
    value = json.loads(home.config.read_text())
    assert value["daemon"]["log_level"] == "debug"
    assert value["comment"] == "mine"
    assert len(value["networks"]) == 2


def test_a_file_broken_by_hand_costs_no_network(home: Home) -> None:
    store = Store(home)
    store.change_config(with_network("abc"))
    home.config.write_text('{"networks": [')
    store.change_config(with_network("abd"))
    assert [network.id for network in load_config(home).config.networks] == ["abc", "abd"]
    assert (home.root / "config.json.corrupt").read_text() == '{"networks": ['


def test_nothing_is_written_when_nothing_changes(home: Home) -> None:
    change_config(home, with_network("abc"))
    before = home.config.stat()
    change_config(home, lambda config: config)
    assert home.config.stat().st_ino == before.st_ino


def test_a_stuck_writer_is_an_error_that_names_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.store.config_file.CONFIG_LOCK_WAIT", 0.0)
    with FileLock(home.config_lock) as lock:
        lock.acquire()
        with pytest.raises(StoreError, match=r"config: write .*config\.json: .*is locked by"):
            change_config(home, with_network("abc"))


def test_a_full_disk_leaves_the_file_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    change_config(home, with_network("abc"))
    before = home.config.read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("myownmesh.store.files.os.fsync", full)
    with pytest.raises(StoreError, match=r"config: write .*: No space left on device \(os error 28\)"):
        change_config(home, with_network("abd"))
    assert home.config.read_text() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"daemon":{"control_socket":"/run/d.sock"}}', "/run/d.sock"),
        ('{"daemon":{"control_socket":null}}', None),
        ('{"daemon":{}}', None),
        ("{}", None),
        ("[]", None),
        ("", None),
        ('{"version":4,"daemon":{"control_socket":"/run/d.sock"}}', None),
        ('{"networks":[{"id":1}],"daemon":{"control_socket":"/run/d.sock"}}', "/run/d.sock"),
    ],
)
def test_clients_find_the_pinned_socket(home: Home, text: str, expected: str | None) -> None:
    home.config.write_text(text)
    assert pinned_socket(home.config) == expected
