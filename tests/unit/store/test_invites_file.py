"""Invitations on disk (spec 11 §1.2, §4): private, read back the same, and a bad file is valid for nobody."""

from __future__ import annotations

import json
import random
import stat
from typing import TYPE_CHECKING

import pytest

from myownmesh.identity import Identity
from myownmesh.invitations.book import Accepted, Book
from myownmesh.store import Home, StoreError
from myownmesh.store.invites_file import load_book, save_book

if TYPE_CHECKING:
    from pathlib import Path

ME, PEER = (Identity.from_seed(bytes([each]) * 32).device_id for each in (1, 2))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def book() -> Book:
    book, invite = Book().create(ttl_s=900, uses=2, note="für Ben", now=1000, rng=random.Random(1))
    return book.accept(Accepted(PEER, invite.token, 2000, "Anna"), 1000)


def test_a_book_is_private_and_read_back_the_same(home: Home, book: Book) -> None:
    assert load_book(home, "fleet-1") == Book()
    save_book(home, "fleet-1", book)
    path = home.invites("fleet-1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_book(home, "fleet-1") == book
    value = json.loads(path.read_text())
    assert list(value) == ["version", "invites", "accepted"]
    assert list(value["invites"][0]) == ["id", "token", "exp", "made", "uses", "by", "note"]
    assert list(value["accepted"][0]) == ["from", "token", "exp", "label"]


def changed(home: Home, book: Book, **changes: object) -> None:
    save_book(home, "fleet-1", book)
    path = home.invites("fleet-1")
    value = json.loads(path.read_text())
    for name, change in changes.items():
        row = value["accepted"][0] if name.startswith("accepted_") else value["invites"][0]
        row[name.removeprefix("accepted_").rstrip("_")] = change
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0" * 16},
        {"token": "x"},
        {"uses": 0},
        {"uses": 1000},
        {"by": ["x"]},
        {"by": [PEER, PEER, PEER]},
        {"exp": "soon"},
        {"accepted_from": "x"},
        {"accepted_from": None},
        {"accepted_token": "x"},
        {"accepted_exp": -1},
    ],
    ids=str,
)
def test_a_book_that_was_never_written_is_set_aside(home: Home, book: Book, change: dict[str, object]) -> None:
    changed(home, book, **change)
    assert load_book(home, "fleet-1") == Book()
    assert home.invites("fleet-1").with_name("fleet-1.json.corrupt").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version":1,"invites":{}}', '{"invites":[]}'])
def test_what_is_no_book_is_set_aside(home: Home, text: str) -> None:
    path = home.invites("fleet-1")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert load_book(home, "fleet-1") == Book()
    assert not path.exists()


def test_more_than_are_ever_kept_are_none(home: Home, book: Book) -> None:
    save_book(home, "fleet-1", book)
    path = home.invites("fleet-1")
    value = json.loads(path.read_text())
    value["invites"] *= 65
    path.write_text(json.dumps(value))
    assert load_book(home, "fleet-1") == Book()


def test_one_of_a_later_release_is_left_alone(home: Home, book: Book) -> None:
    save_book(home, "fleet-1", book)
    path = home.invites("fleet-1")
    later = path.read_text().replace('"version": 1', '"version": 2')
    path.write_text(later)
    with pytest.raises(StoreError, match="written by a newer version"):
        load_book(home, "fleet-1")
    assert path.read_text() == later


def test_a_directory_in_its_place_is_an_error_of_its_own(home: Home, book: Book) -> None:
    home.invites("fleet-1").mkdir(parents=True)
    with pytest.raises(StoreError, match="invites: read"):
        load_book(home, "fleet-1")
    with pytest.raises(StoreError, match="invites: write"):
        save_book(home, "fleet-1", book)
