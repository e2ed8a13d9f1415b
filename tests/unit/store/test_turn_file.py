"""The secret of the hosted TURN server and who holds passwords."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from myownmesh.store import StoreError
from myownmesh.store.paths import Home
from myownmesh.store.turn_file import Holder, load_turn_keys, save_turn_keys

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = "a" * 52


def test_the_secret_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    keys = load_turn_keys(home)
    assert len(keys.secret) == 64
    assert load_turn_keys(home) == keys
    assert stat.S_IMODE(home.turn_keys.stat().st_mode) == 0o600
    assert keys.secret not in repr(keys)
    held = replace(keys, holders=(Holder(device_id=DEVICE, until=1_700_000_000),))
    save_turn_keys(home, held)
    assert load_turn_keys(home) == held


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "{}",
        '{"version":1,"secret":""}',
        '{"version":1,"secret":"x","holders":[{"device_id":"me","until":1}]}',
    ],
)
def test_a_file_that_says_nothing_is_set_aside(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.turn_keys.parent.mkdir()
    home.turn_keys.write_text(text)
    assert load_turn_keys(home).holders == ()
    assert home.turn_keys.with_name("turn.json.corrupt").read_text() == text


def test_one_of_a_later_release_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.turn_keys.parent.mkdir()
    home.turn_keys.write_text('{"version":2,"secret":"x"}')
    with pytest.raises(StoreError, match="newer version"):
        load_turn_keys(home)
