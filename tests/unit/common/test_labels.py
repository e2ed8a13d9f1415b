"""Labels of strangers are made safe before anything keeps them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_common.labels import MAX_LABEL_BYTES, clean_label, label_problem


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Bob's laptop", "Bob's laptop"),
        ("Bob\n\x1b[31m\x7f\x85", "Bob[31m"),
        ("abc\u202efed", "abcfed"),
        ("one\u2028two", "onetwo"),
        ("👩‍🔧 Ünï", "👩‍🔧 Ünï"),
        ("\ud800x", "x"),
        ("ö" * 200, "ö" * 128),
        ("aö" * 128, ("aö" * 128)[:170] + "a"),
    ],
)
def test_clean_label(text: str, kept: str) -> None:
    assert clean_label(text) == kept


@given(st.text(max_size=400))
def test_a_clean_label_is_short_and_stays_as_it_is(text: str) -> None:
    label = clean_label(text)
    assert len(label.encode()) <= MAX_LABEL_BYTES
    assert clean_label(label) == label


def test_what_a_label_of_ours_may_weigh() -> None:
    assert label_problem("ö" * 128) is None
    assert label_problem("ö" * 128 + "x") == "label of 257 bytes exceeds the 256-byte limit; choose a shorter one"
