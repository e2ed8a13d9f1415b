"""Strict JSON from strangers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.signaling.jsontext import JsonObject, compact_json, parse_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read(value: object) -> None:
    assert parse_json(compact_json(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1] 2",
        "NaN",
        "[Infinity]",
        "1e999",
        '"\\ud800"',
        '{"\\udc00":1}',
        "\ufeff{}",
        "[" * 128 + "]" * 128,
        "[" * 100_000,
        '{"a":' * 128 + "1" + "}" * 128,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_depth_counts_containers_and_not_brackets_in_texts() -> None:
    assert parse_json("[" * 127 + "]" * 127)
    assert parse_json(json.dumps(['[{"\\"' * 200])) == ['[{"\\"' * 200]


def test_repeated_members_are_remembered() -> None:
    value = parse_json('{"a":1,"b":2,"a":3,"c":{"d":1,"d":2}}')
    assert isinstance(value, JsonObject)
    assert value.repeated == {"a"}
    assert value["a"] == 3
    assert value["c"].repeated == {"d"}
