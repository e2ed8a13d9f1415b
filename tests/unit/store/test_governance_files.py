"""Signed governance on the disk: the pin first, and no damaged, lost or full file gives anybody more (02 §24.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from myownmesh.governance.authoring import propose
from myownmesh.governance.book import Book
from myownmesh.governance.saved import load_book
from myownmesh.governance.signatures import Checks, finish
from myownmesh.protocol.transitions import KindChange, RoleGrant
from myownmesh.store import Home, Store, StoreError
from support.governance import ALICE, BOB, MALLORY, NETWORK, sign

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_700_000_000


def founded() -> Book:
    """Alice's own book: founded, and Bob is a controller."""
    book = Book(NETWORK, ALICE)
    for number, variant in enumerate((KindChange("closed"), RoleGrant(BOB, "controller"))):
        book = propose(book, variant, sign(ALICE, variant), f"prop_{number}", NOW).book
    return book


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(Home(tmp_path))
    store.save_governance(NETWORK, founded())
    return store


def loaded(store: Store, configured: str = "open") -> tuple[Book, tuple[str, ...]]:
    files = store.open_governance(NETWORK)
    found = finish(load_book(NETWORK, ALICE, configured, files.read_state(), files.pin, Checks(NETWORK), NOW))  # type: ignore[arg-type]  # one of the words
    files.set_aside(found.faults)
    return found.book, found.faults


def test_what_is_written_is_read_back_the_same_and_is_private(store: Store) -> None:
    book, faults = loaded(store)
    assert (book.kind, book.role(BOB), faults) == ("closed", "controller", ())
    assert (book.log, book.pin, book.members) == (founded().log, founded().pin, founded().members)
    for path in (store.home.state(NETWORK), store.home.pin(NETWORK)):
        assert path.stat().st_mode & 0o777 == 0o600
    before = store.home.state(NETWORK).read_bytes()
    store.save_governance(NETWORK, book)
    assert store.home.state(NETWORK).read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version":2}'], ids=["empty", "torn", "other", "short"])
def test_a_damaged_state_is_set_aside_and_the_network_stays_closed(store: Store, damage: bytes) -> None:
    path = store.home.state(NETWORK)
    path.write_bytes(damage)
    book, _ = loaded(store)
    assert (book.kind, book.role(BOB), len(book.log)) == ("closed", None, 0), "nobody has a role, and nobody gets in"
    assert path.with_name(path.name + ".corrupt").read_bytes() == damage


def test_a_state_of_another_founder_beside_the_pin_is_not_taken(store: Store) -> None:
    other = propose(Book(NETWORK, MALLORY), KindChange("closed"), sign(MALLORY, KindChange("closed")), "prop_1", NOW)
    pin = store.home.pin(NETWORK).read_bytes()
    store.save_governance(NETWORK, other.book)
    store.home.pin(NETWORK).write_bytes(pin)
    book, faults = loaded(store)
    assert faults == ("the governance log has another founder than the one that is pinned",)
    assert (book.kind, len(book.log)) == ("closed", 0)
    path = store.home.state(NETWORK)
    assert path.with_name(path.name + ".corrupt").exists()


def test_what_keeps_a_network_from_being_joined_says_which_file_and_why(store: Store) -> None:
    state, pin = store.home.state(NETWORK), store.home.pin(NETWORK)
    good = state.read_bytes()
    state.write_bytes(b"\xff\xfe{}")
    with pytest.raises(StoreError, match=r"read network_state at .*: stream did not contain valid UTF-8"):
        store.open_governance(NETWORK)
    state.write_bytes(good.replace(b'"version": 2', b'"version": 3'))
    with pytest.raises(StoreError, match=r"network_state version 3 unsupported \(this build expects v2\)"):
        store.open_governance(NETWORK)
    state.write_bytes(good)
    pin.write_text("{")
    with pytest.raises(StoreError, match=r"pin .* is damaged"):
        store.open_governance(NETWORK)


def test_a_save_that_finds_no_room_leaves_both_files_as_they_were(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = {path: path.read_bytes() for path in (store.home.state(NETWORK), store.home.pin(NETWORK))}
    monkeypatch.setattr("myownmesh.store.governance_files.atomic_write", full)
    more = propose(founded(), KindChange("open"), sign(ALICE, KindChange("open")), "prop_9", NOW).book
    with pytest.raises(StoreError, match="No space left on device"):
        store.save_governance(NETWORK, more)
    assert {path: path.read_bytes() for path in before} == before


def test_the_pin_is_on_the_disk_before_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "myownmesh.store.governance_files.atomic_write", lambda path, _: written.append(path.parent.name)
    )
    Store(Home(tmp_path)).save_governance(NETWORK, founded())
    assert written == ["pins", "states"]


def test_a_founder_that_a_link_names_is_pinned_before_the_network_is_there(store: Store) -> None:
    assert store.pin_ahead("other", ALICE), "whom the link names"
    assert not store.pin_ahead("other", MALLORY), "another link names another one"
    assert store.pin_ahead("other", ALICE)
    pin = json.loads(store.home.pin("other").read_text())
    assert (pin["founder"], pin["kind"], pin["provisional"]) == (ALICE, "closed", True)
    before = store.home.pin(NETWORK).read_bytes()
    assert not store.pin_ahead(NETWORK, MALLORY), "nor is one replaced that was signed"
    assert store.home.pin(NETWORK).read_bytes() == before


def test_a_purge_leaves_of_a_pin_that_this_key_signed_here(store: Store) -> None:
    store.purge_network(NETWORK)
    assert not store.home.state(NETWORK).exists()
    pin = json.loads(store.home.pin(NETWORK).read_text())
    assert (pin["signed"], pin["founder"], pin["entries"]) == (True, None, 0)
    unsigned = Book("other", BOB)
    store.save_governance("other", unsigned)
    store.purge_network("other")
    assert not store.home.pin("other").exists()


def test_the_audit_is_private_grows_line_by_line_and_stays_below_its_bound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myownmesh.store.governance_files.AUDIT_BYTES", 1000)
    path = store.home.audit(NETWORK)
    for number in range(100):
        store.append_audit(NETWORK, [b'{"at":%d}' % number])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size <= 1000
    seen = [json.loads(line)["at"] for line in path.read_text().splitlines()]
    assert seen == list(range(seen[0], 100)), "whole lines, and the newest"
    store.purge_network(NETWORK)
    assert not path.exists()


def test_the_audit_tells_how_an_entry_first_came_and_skips_what_is_no_line(store: Store) -> None:
    assert store.read_audit(NETWORK) == {}
    came = b'{"at":%d,"log":"members","through":"%b","outcome":"counted","entry":{"at":1,"signers":[]}}'
    store.append_audit(NETWORK, [came % (7, b"b"), b"{", b'{"at":1}', came % (9, b"c")])
    assert store.read_audit(NETWORK) == {b'{"at":1,"signers":[]}': (7, "b")}
