"""Rosters on disk (spec 01 §15.1)."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from myownmesh.roster import Roster
from myownmesh.store import Home, Store, StoreError
from myownmesh.store.config import pretty

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = "5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa"
ROW = {"device_id": DEVICE, "label": "Bob's laptop", "approved_at": 1700000000, "role": "member"}
FILE = {"version": 1, "network_id": "home-mesh", "authorized_devices": [ROW]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.roster("home-mesh").parent.mkdir(parents=True)
    return home


def write(home: Home, value: object) -> None:
    home.roster("home-mesh").write_text(json.dumps(value))


def test_an_absent_roster_is_empty(home: Home) -> None:
    assert Store(home).load_roster("home-mesh") == Roster("home-mesh")


def test_a_roster_comes_back_as_it_was_saved(home: Home) -> None:
    roster = Roster("home-mesh").approve(DEVICE, "Bob's laptop", 1700000000)
    Store(home).save_roster("home-mesh", roster)
    assert Store(home).load_roster("home-mesh") == roster
    assert stat.S_IMODE(home.roster("home-mesh").stat().st_mode) == 0o600


def test_a_first_save_creates_the_directories(tmp_path: Path) -> None:
    home = Home(tmp_path / "fresh")
    Store(home).save_roster("home-mesh", Roster("home-mesh"))
    assert stat.S_IMODE(home.roster("x").parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({**FILE, "authorized_devices": [{**ROW, "role": "boss"}]})])
def test_a_corrupt_roster_is_set_aside_and_forgiven(home: Home, text: str) -> None:
    path = home.roster("home-mesh")
    path.write_text(text)
    assert Store(home).load_roster("home-mesh") == Roster("home-mesh")
    assert not path.exists()
    assert path.with_name("home-mesh.json.corrupt").read_text() == text


def test_an_unknown_version_is_an_error(home: Home) -> None:
    write(home, {**FILE, "version": 2})
    with pytest.raises(StoreError, match="roster version 2 unsupported"):
        Store(home).load_roster("home-mesh")
    assert home.roster("home-mesh").exists()


def test_another_networks_file_admits_nobody(home: Home) -> None:
    write(home, {**FILE, "network_id": "other"})
    assert Store(home).load_roster("home-mesh") == Roster("home-mesh")
    assert home.roster("home-mesh").exists()


def test_unknown_members_survive(home: Home) -> None:
    write(home, {**FILE, "future": 1, "authorized_devices": [{**ROW, "note": "x"}]})
    Store(home).save_roster("home-mesh", Store(home).load_roster("home-mesh"))
    written = json.loads(home.roster("home-mesh").read_text())
    assert written["future"] == 1
    assert written["authorized_devices"][0]["note"] == "x"


def test_a_purge_deletes_roster_and_state_and_minds_no_absence(home: Home) -> None:
    write(home, FILE)
    home.state("home-mesh").parent.mkdir()
    home.state("home-mesh").write_text("{}")
    for _ in range(2):
        Store(home).purge_network("home-mesh")
    assert not home.roster("home-mesh").exists()
    assert not home.state("home-mesh").exists()


def test_a_directory_in_the_way_is_a_clear_error(home: Home) -> None:
    home.roster("home-mesh").mkdir()
    with pytest.raises(StoreError, match=r"roster: read .*Is a directory \(os error 21\)"):
        Store(home).load_roster("home-mesh")
    with pytest.raises(StoreError, match="roster: write "):
        Store(home).save_roster("home-mesh", Roster("home-mesh"))


def test_the_line_ends_of_a_file_stay(home: Home) -> None:
    home.roster("home-mesh").write_bytes(pretty(Roster("home-mesh").to_json()).replace("\n", "\r\n").encode())
    roster = Roster("home-mesh").approve(DEVICE, "Bob", 1)
    Store(home).save_roster("home-mesh", roster)
    assert home.roster("home-mesh").read_bytes() == pretty(roster.to_json()).replace("\n", "\r\n").encode()
    assert Store(home).load_roster("home-mesh") == roster
