"""A roster as text, the quick way: what the exact way writes and reads (spec 01 §15.1), and the hash of its ids."""

from __future__ import annotations

import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from myownmesh.roster import Entry, Roster
from myownmesh.roster.id_text import BEFORE_IDS, IdText
from myownmesh.roster.roster_text import read_text, write_text
from myownmesh.store.config import pretty

DEVICE = "5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa"
_LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ENTRIES = st.builds(
    lambda *members: Entry(*members),
    st.sampled_from([DEVICE, "b" * 52, "c" * 52, "short"]),
    _LABELS,
    st.integers(0, 2**64 - 1),
    st.sampled_from(["member", "controller", "owner"]),
    st.none() | _LABELS,
    st.booleans(),
)


@given(
    st.lists(_ENTRIES, max_size=4, unique_by=lambda entry: entry.device_id), st.lists(_LABELS, max_size=2, unique=True)
)
def test_the_quick_way_writes_and_reads_what_the_exact_one_does(entries: list[Entry], removed: list[str]) -> None:
    roster = Roster("home-mesh", tuple(entries), tuple(removed))
    text = pretty(roster.to_json()).encode()
    assert write_text(roster) == text
    assert read_text(text) == roster


def test_what_a_later_version_added_takes_the_exact_way() -> None:
    row = {"device_id": DEVICE, "label": "", "approved_at": 1, "role": "member", "later": 1.0}
    value = {"version": 1, "network_id": "home-mesh", "authorized_devices": [row]}
    assert read_text(json.dumps(value).encode()) is None
    assert write_text(Roster.from_json(value)) is None
    del row["later"]
    assert read_text(json.dumps({**value, "authorized_devices": [{**row, "approved_at": 2**64}]}).encode()) is None
    assert read_text(json.dumps({**value, "version": 2}).encode()) is None


def test_many_rows_are_read_in_pieces_and_a_bad_one_at_their_end_is_left_to_the_exact_way() -> None:
    many = Roster("home-mesh", tuple(Entry(f"{number:052}", "", number) for number in range(1001)))
    text = write_text(many)
    assert text is not None
    assert read_text(text) == many
    assert read_text(text.replace(b'"approved_at": 1000,', b'"approved_at": -1,')) is None
    assert read_text(text.replace(b'"approved_at": 1000,', b'"approved_at": 1000, "later": 1,')) is None


def test_the_hash_of_the_ids_goes_on_from_where_they_changed() -> None:
    ids = sorted(f"{number:052d}" for number in range(2000))  # more than three of the marks that are kept
    text = IdText.of(ids)
    assert text is not None
    assert text.digest() == text.digest() == _digest(ids)
    for came, gone in (([], [ids[1500]]), (["x" * 52], [ids[0]]), ([ids[3]], ["y" * 52])):
        after = text.changed(came, gone)
        assert after is not None
        assert after.digest() == _digest(sorted({*ids, *came} - {*gone}))
    assert text.digest() == _digest(ids)


def _digest(ids: list[str]) -> bytes:
    return sha256(BEFORE_IDS + "".join(f"{each}|" for each in ids).encode()).digest()


def test_ids_of_another_length_are_hashed_whole() -> None:
    text = IdText.of([DEVICE])
    assert text is not None
    assert text.changed(["short"], []) is None
    assert IdText.of(["short"]) is None
