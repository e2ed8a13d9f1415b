"""Strict JSON of files, with the reference's words for an early end (vectors ``parse_errors``)."""

from __future__ import annotations

import pytest

from myownmesh.store.json_file import JsonError, Members, parse_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ('{"version":3,', "EOF while parsing an object at line 1 column 13"),
        ('{"a":', "EOF while parsing a value at line 1 column 5"),
        ("[1", "EOF while parsing a list at line 1 column 2"),
        ("[1,", "EOF while parsing a value at line 1 column 3"),
        ('{"a":"b', "EOF while parsing a string at line 1 column 7"),
        ('{\n "a": [', "EOF while parsing a list at line 2 column 7"),
    ],
)
def test_an_early_end_names_what_was_open(text: str, message: str) -> None:
    with pytest.raises(JsonError) as caught:
        parse_json(text.encode())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '"\\ud800"', "{} x", "{'a':1}", "[" * 100_000, "\ufeff{}", "// c\n{}"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(JsonError):
        parse_json(text.encode())


def test_repeated_members_are_remembered() -> None:
    value = parse_json(b'{"a":1,"b":{"c":1,"c":2},"a":2}')
    assert isinstance(value, Members)
    inner = value["b"]
    assert isinstance(inner, Members)
    assert value.pairs == [("a", 1), ("b", inner), ("a", 2)]
    assert inner.pairs == [("c", 1), ("c", 2)]
    assert parse_json(b'{"a":1}').pairs is None  # type: ignore[attr-defined]


def test_numbers_that_no_reader_holds_are_refused_and_large_integers_become_floating_point() -> None:
    for text in ("1e999", "-1e999", "9" * 400, "9" * 5000):
        with pytest.raises(JsonError, match="number out of range"):
            parse_json(f'{{"x":{text}}}'.encode())
    assert parse_json(b"[18446744073709551615,18446744073709551616,-9223372036854775809]") == [
        18446744073709551615,
        18446744073709551616.0,
        -9223372036854775808.0,
    ]
