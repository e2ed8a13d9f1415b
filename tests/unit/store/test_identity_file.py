"""The identity anchor (spec 01 §2.2; vectors ``identity_file``)."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from myownmesh.store import Home, StoreError
from myownmesh.store.identity_file import load_identity, load_or_create_identity, write_label

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "peer-protocol.json").read_text("utf-8"))["identity_file"]
EXAMPLE: dict[str, Any] = VECTORS["example"]
# The reference accepts the last case and then cannot sign for its id; ours refuses (spec 10 §4).
CASES: list[dict[str, Any]] = VECTORS["decode"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.secrets.mkdir(mode=0o700)
    return home


def write(home: Home, anchor: object) -> None:
    home.identity.write_text(json.dumps(anchor))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.get("note") or str(case.get("change") or case)[:60])
def test_the_anchor_decodes_as_the_vectors_say(home: Home, case: dict[str, Any]) -> None:
    anchor = {**EXAMPLE, **case.get("change", {}), **case.get("add", {})}
    anchor.pop(case.get("remove"), None)
    write(home, anchor)
    if case["expect"].startswith("ok"):
        assert load_identity(home).device_id == EXAMPLE["public_key"]
        assert load_identity(home).label == EXAMPLE["label"]
    else:
        with pytest.raises(StoreError, match="identity: "):
            load_identity(home)
        assert json.loads(home.identity.read_text()) == anchor


def test_a_new_identity_is_private_and_stays(tmp_path: Path) -> None:
    home = Home(tmp_path / "fresh")
    identity = load_or_create_identity(home, now=1700000000.9)
    assert load_or_create_identity(home).device_id == identity.device_id
    text = home.identity.read_text()
    assert list(json.loads(text)) == ["version", "created_at", "secret_key", "public_key", "label"]
    assert json.loads(text)["created_at"] == "@1700000000"
    assert not text.endswith("\n")
    assert text.startswith('{\n  "version": 1,')
    assert stat.S_IMODE(home.identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o700


def test_two_starts_on_an_empty_directory_agree(tmp_path: Path) -> None:
    home = Home(tmp_path / "fresh")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(load_or_create_identity(home).device_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version":1}', "\x00"])
def test_a_bad_anchor_is_an_error_and_never_replaced(home: Home, text: str) -> None:
    home.identity.write_text(text)
    with pytest.raises(StoreError, match="identity: parse identity anchor at"):
        load_or_create_identity(home)
    assert home.identity.read_text() == text
    assert [entry.name for entry in home.secrets.iterdir()] == ["identity.json"]


def test_an_early_end_is_reported_in_the_references_words(home: Home) -> None:
    home.identity.write_text("{")
    with pytest.raises(StoreError) as caught:
        load_identity(home)
    assert str(caught.value) == (
        f"identity: parse identity anchor at {home.identity}: EOF while parsing an object at line 1 column 1"
    )


def test_a_label_write_keeps_keys_and_unknown_members(home: Home) -> None:
    write(home, {**EXAMPLE, "future": {"x": 1}})
    write_label(home, "Küche 🍲")
    assert json.loads(home.identity.read_text("utf-8")) == {**EXAMPLE, "label": "Küche 🍲", "future": {"x": 1}}
    assert load_identity(home).label == "Küche 🍲"


def test_a_label_without_an_anchor_is_the_references_error(tmp_path: Path) -> None:
    home = Home(tmp_path / "fresh")
    with pytest.raises(StoreError) as caught:
        write_label(home, "x")
    assert str(caught.value) == (
        f"identity: read identity anchor at {home.identity}: No such file or directory (os error 2)"
    )
    assert not home.root.exists()


def test_a_label_that_peers_would_not_show_is_refused_without_a_daemon_too(home: Home) -> None:
    write(home, EXAMPLE)
    write_label(home, "é" * 128)
    before = home.identity.read_bytes()
    with pytest.raises(StoreError, match="identity: label of 257 bytes exceeds the 256-byte limit"):
        write_label(home, "x" * 257)
    assert home.identity.read_bytes() == before


def test_the_seed_shows_nowhere(home: Home) -> None:
    write(home, {**EXAMPLE, "public_key": "compmldndjcxyun2njfv6pn5f5u7zkjscyqy3sezpzawxul5spfa"})
    with pytest.raises(StoreError) as caught:
        load_identity(home)
    assert EXAMPLE["secret_key"] not in str(caught.value)
    assert EXAMPLE["public_key"] in str(caught.value)
