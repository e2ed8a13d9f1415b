"""Shelves are a mapping that shares with its older values what did not change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.governance.shelves import Shelves

IDS = st.sampled_from(["aaa", "aab", "aba", "b", ""])
CHANGES = st.lists(st.lists(st.tuples(IDS, st.integers(0, 3) | st.none()), max_size=6), max_size=4)


@given(CHANGES)
def test_every_value_is_as_a_dictionary_would_be_and_stays_so(rounds: list[list[tuple[str, int | None]]]) -> None:
    shelves: Shelves[int] = Shelves()
    expected: dict[str, int] = {}
    kept: list[tuple[Shelves[int], dict[str, int]]] = []
    for changes in rounds:
        changing = shelves.changed()
        for device, value in changes:
            if value is None:
                changing.pop(device)
                expected.pop(device, None)
            else:
                changing.put(device, value)
                expected[device] = value
        shelves = changing.done()
        kept.append((shelves, dict(expected)))
    for held, as_it_was in kept:
        assert dict(held) == as_it_was
        assert len(held) == len(as_it_was)


def test_asking_for_what_is_not_there() -> None:
    changing = Shelves[int]().changed()
    changing.put("aaa", 1)
    shelves = changing.done()
    assert (shelves.get("aaa"), shelves.get("aab"), shelves.get("b", 7)) == (1, None, 7)
    assert "aaa" in shelves
    assert "aab" not in shelves
    assert "b" not in shelves
    assert 1 not in shelves
    with pytest.raises(KeyError):
        shelves["aab"]
