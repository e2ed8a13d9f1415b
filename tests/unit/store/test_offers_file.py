"""The services of members that are in use, on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.store import Store, StoreError
from myownmesh.store.offers_file import OfferRecord
from myownmesh.store.paths import Home

if TYPE_CHECKING:
    from pathlib import Path

ROW = OfferRecord(device_id="a" * 52, kind="turn", urls=("turn:198.51.100.7:3478",), seen=1_700_000_000)


def test_what_was_saved_is_there_again_and_goes_with_the_network(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    assert store.load_offers("home") == ()
    assert not store.home.offers("home").parent.exists(), "most networks need no file"
    store.save_offers("home", (ROW,))
    assert store.load_offers("home") == (ROW,)
    store.purge_network("home")
    assert store.load_offers("home") == ()


@pytest.mark.parametrize(
    "rows", ['[{"device_id":"me","kind":"turn","urls":[],"seen":1}]', f'[{{"device_id":"{"a" * 52}","kind":"x"}}]', "7"]
)
def test_a_file_that_makes_no_sense_is_set_aside(tmp_path: Path, rows: str) -> None:
    store = Store(Home(tmp_path))
    store.save_offers("home", ())
    store.home.offers("home").write_text(f'{{"version":1,"adopted":{rows}}}')
    assert store.load_offers("home") == ()
    assert store.home.offers("home").with_name("home.json.corrupt").exists()


def test_one_of_a_later_release_is_left_alone(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    store.save_offers("home", ())
    store.home.offers("home").write_text('{"version":2}')
    with pytest.raises(StoreError, match="newer version"):
        store.load_offers("home")
