"""Adverts beyond the vectors: signatures, and what strangers write into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.lan import txt
from myownmesh.lan.names import SERVICE_TYPE, label_of, room_prefix
from myownmesh.lan.txt import Advert


def test_a_signed_advert_comes_out_as_it_went_in() -> None:
    entries = txt.entries("room", "me", ("ptag", "esig1"), (1_700_000_000, "abc"))
    assert txt.accepted(txt.parse(txt.encode(entries)), "room", "other") == Advert(
        "me", ("ptag", "esig1"), (1_700_000_000, "abc")
    )


@pytest.mark.parametrize("t", ["", "-1", "1.0", "x", "٣", "1" * 13])
def test_a_time_that_is_none_signs_nothing(t: str) -> None:
    advert = txt.accepted({"v": "1", "room": "r", "peer": "p", "t": t, "s": "abc"}, "r", "me")
    assert advert == Advert("p")


def test_an_entry_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        txt.encode({"k": "v" * 254})


def test_the_first_of_two_entries_counts_and_one_without_a_key_does_not() -> None:
    assert txt.parse(txt.encode({"a": "1"}) * 2 + txt.encode({"": "x"}) + txt.encode({"a": "2"})) == {"a": "1"}


@given(st.binary(max_size=600))
def test_any_record_is_read(rdata: bytes) -> None:
    assert all(isinstance(value, str) for value in txt.parse(rdata).values())


def test_names_of_something_else() -> None:
    assert label_of(f"MOM-a-b.{SERVICE_TYPE}") == "mom-a-b"
    assert label_of("printer._ipp._tcp.local.") is None
    assert label_of("host.local.") is None
    assert room_prefix("Ab-12") == "mom-ab12-"
