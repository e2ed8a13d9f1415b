"""Rows whose changes share what stayed: as a dictionary that is copied for each change."""

from __future__ import annotations

import random
from typing import NoReturn

import pytest

from myownmesh.roster import Entry, Roster
from myownmesh.roster.rows import MANY, Rows, rows_of


def entry(number: int, label: str = "") -> Entry:
    return Entry(f"device{number}", label, number)


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_what_a_dictionary_would_be(seed: int) -> None:
    rng = random.Random(seed)
    model = {entry(number).device_id: entry(number) for number in range(MANY)}
    rows = rows_of(model.values())
    for step in range(60):
        before, said = rows, dict(model)
        put = [entry(rng.randrange(MANY + 30), f"step {step}") for _ in range(rng.randrange(3))]
        put = [*{each.device_id: each for each in put}.values()]
        gone = [f"device{rng.randrange(MANY + 30)}" for _ in range(rng.randrange(3))]
        for device_id in gone:
            model.pop(device_id, None)
        model.update((each.device_id, each) for each in put)
        rows = rows.changed(put, gone)
        assert rows.entries() == tuple(model.values()), "also in their order"
        assert before.entries() == tuple(said.values()), "the rows from before stay what they were"
        assert len(rows) == len(model)
        assert [*rows] == [*model]
        assert rows.keys() == model.keys()
        for device_id in (*gone, *(each.device_id for each in put), "device5", "nobody"):
            assert (device_id in rows) == (device_id in model)
            assert rows.find(device_id) == rows.get(device_id) == model.get(device_id)


class Untouched(dict[str, Entry]):
    """Rows of which nobody takes hold of all."""

    def values(self) -> NoReturn:
        raise AssertionError("all rows are copied")

    items = __iter__ = values  # type: ignore[assignment]  # none of them is to be called


def test_one_row_that_comes_or_goes_copies_no_others() -> None:
    rows = Rows(Untouched({entry(number).device_id: entry(number) for number in range(MANY)}))
    more = rows.changed([entry(MANY)]).changed([], ["device3"]).changed([entry(4, "another name")])
    assert len(more) == MANY
    assert "device3" not in more
    with pytest.raises(KeyError):
        more["device3"]


def test_many_that_come_take_hold_of_no_row_one_by_one() -> None:
    rows = Rows(Untouched({entry(number).device_id: entry(number) for number in range(MANY)})).changed([], ["device3"])
    more = rows.changed([entry(MANY + number) for number in range(MANY)], ["device4"])
    assert len(more) == 2 * MANY - 2
    assert [*more][:4] == ["device0", "device1", "device2", "device5"]


def test_equal_rows_are_equal_however_they_came() -> None:
    rows = rows_of(entry(number) for number in range(MANY + 1))
    late = rows_of(entry(number) for number in range(MANY)).changed([entry(MANY)])
    assert rows == late
    assert Roster("home", rows.entries()) == Roster("home", late)
    assert Rows({}) != rows
