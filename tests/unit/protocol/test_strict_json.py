"""JSON from strangers: what passes, what does not, and how the refusal reads."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from myownmesh.protocol import json_words, strict_json
from myownmesh.protocol.json_words import JsonError
from support.vectors import load

PARSE_ERRORS = load("control-socket", "parse_errors")
SYNTAX_ERRORS = [case["line"] for case in PARSE_ERRORS if case.get("text") == "free"]
SHAPE_ERRORS = [case["line"] for case in PARSE_ERRORS if "text" not in case]
ACCEPTED = load("control-socket", "accepted_lines")


def raw(text: str) -> Raw:
    return Raw(text.encode())


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
    max_leaves=20,
)


# ── whole texts ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("line", SYNTAX_ERRORS)
def test_refuses_what_the_control_socket_refuses_as_no_json(line: str) -> None:
    with pytest.raises(JsonError):
        strict_json.proven(line.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("line", [*SHAPE_ERRORS, *ACCEPTED])
def test_passes_every_other_line(line: str) -> None:
    strict_json.proven(line.encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b"  ", "EOF while parsing a value at line 1 column 2"),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b'{"version":3,', "EOF while parsing an object at line 1 column 13"),
        (b'{"a":', "EOF while parsing a value at line 1 column 5"),
        (b"[1", "EOF while parsing a list at line 1 column 2"),
        (b"[1,", "EOF while parsing a value at line 1 column 3"),
        (b'{"a":"b', "EOF while parsing a string at line 1 column 7"),
        (b'{"a":"b\\"', "EOF while parsing a string at line 1 column 9"),
        (b'{"a":[{}],"b":"}', "EOF while parsing a string at line 1 column 16"),
        (b'{"a":[{}],"b":{}', "EOF while parsing an object at line 1 column 16"),
        (b'{\n "a": [', "EOF while parsing a list at line 2 column 7"),
        (b"\xef\xbb\xbf1", "expected value at line 1 column 1"),
        (b"NaN", "expected value at line 1 column 1"),
        (b'{"a":\n x}', "invalid character at line 2 column 2"),
        (b'"\xff"', "invalid unicode code point at line 1 column 2"),
        (b'"\xed\xa0\x80"', "invalid unicode code point at line 1 column 2"),
        (b'{"\xff":1}', "invalid unicode code point at line 1 column 3"),
        (b"[1e999]", "number out of range"),
        (b"[-1E+999]", "number out of range"),
        (nested(128), "recursion limit exceeded"),
        (nested(5000), "recursion limit exceeded"),
    ],
)
def test_says_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(JsonError) as refused:
        strict_json.proven(data)
    assert str(refused.value) == words


@pytest.mark.parametrize(
    "text", ['"\\ud800"', '"\\udc00 and more text"', '"\\ud800\\u0041 and more"', '"\\ud83d\\\\ude00…"']
)
def test_refuses_lone_surrogates(text: str) -> None:
    with pytest.raises(JsonError):
        strict_json.proven(text.encode())


@pytest.mark.parametrize(
    "text",
    ["NaN", "[Infinity]", "{} x", "{'a':1}", "\ufeff{}", "// c\n{}", "[1,]", "01", "1e999", "-1e999", "9" * 5000],
)
def test_refuses_what_only_other_readers_take(text: str) -> None:
    with pytest.raises(JsonError):
        strict_json.proven(text.encode())


@pytest.mark.parametrize(
    "text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '"\\u0000"', "1e308", "1e-999", "0e999", '"1e999"', '"be999e3"']
)
def test_passes_what_only_looks_wrong(text: str) -> None:
    strict_json.proven(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        nested(127),
        b'{"a":' * 127 + b"1" + b"}" * 127,
        b"[" + b",".join([b"[]"] * 500) + b"]",
        b'["' + b"[" * 500 + b'"]',
        b'["' + b'\\"[{' * 300 + b'"]',
        b'{"a":' * 60 + nested(67) + b"}" * 60,
    ],
)
def test_depth_counts_levels_and_not_brackets(data: bytes) -> None:
    strict_json.proven(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":' * 128 + b"1" + b"}" * 128,
        b"[" + b",".join([b"[]"] * 500) + b"," + nested(127) + b"]",
        b'{"a":' * 60 + nested(68) + b"}" * 60,
        b'["' + b"]" * 500 + b'",' + nested(127) + b"]",
    ],
)
def test_one_level_more_is_too_deep(data: bytes) -> None:
    with pytest.raises(JsonError, match="recursion limit exceeded"):
        strict_json.proven(data)


@pytest.mark.parametrize(
    "number", ["9" * 308, "-" + "9" * 308, "9" * 210 + "e97", "0." + "1" * 5000, "1" * 300 + ".5e-300"]
)
def test_long_numbers_within_the_range_of_a_double_pass(number: str) -> None:
    strict_json.proven(f'{{"a":[{number}]}}'.encode())


@pytest.mark.parametrize(
    "number", ["9" * 310, "-" + "9" * 310, "9" * 5000, "9" * 212 + "e98", "1e0000000999", "1.5E308000"]
)
def test_numbers_beyond_a_double_do_not(number: str) -> None:
    with pytest.raises(JsonError, match="number out of range"):
        strict_json.proven(f'{{"pad":"{"x" * 300}","a":[{number}]}}'.encode())


@pytest.mark.parametrize(
    "text", ["%s", "[%s]", "[0,%s]", "[\t%s]", '{"a":%s}', '{"a":\r\n%s}', '["be999",%s]', '["1e-300 e1", -%s]']
)
@pytest.mark.parametrize("number", ["1e999", "0.1E+999", "10.25e1000"])
def test_a_number_is_found_wherever_one_may_stand(text: str, number: str) -> None:
    with pytest.raises(JsonError, match="number out of range"):
        strict_json.proven((text % number).encode())


@pytest.mark.unwatched
@given(json_values)
def test_every_json_value_passes_and_comes_back(value: object) -> None:
    written = strict_json.dumps(value)
    strict_json.proven(bytes(written))
    assert strict_json.python_value(written) == value
    spaced = json.dumps(value, indent=3).encode()
    assert strict_json.loads(spaced) == value


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


@given(st.text(alphabet='[]{}":,01.eE+-\\untrlfasd \n😀', max_size=30))
@example('"\\ud83d"')
def test_agrees_with_the_json_module_where_that_is_strict(text: str) -> None:
    try:
        value = json.loads(text, parse_constant=lambda _: math.inf)
        text_is_fine = _finite(value) and json.dumps(value, ensure_ascii=False).encode() is not None
    except ValueError:
        text_is_fine = False
    try:
        strict_json.proven(text.encode())
    except JsonError:
        assert not text_is_fine
    else:
        assert text_is_fine


@given(st.binary(max_size=40))
def test_any_bytes_pass_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(JsonError):
        strict_json.proven(data)


# ── objects ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_comes_apart_in_order() -> None:
    assert strict_json.decode_object(b'{"b":1,"a":{"x": [1, 2]}}') == [("b", raw("1")), ("a", raw('{"x": [1, 2]}'))]
    assert strict_json.decode_object(b"{}") == []
    assert strict_json.decode_object(b" { } ") == []


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        ' {\n "a" :\t1 , "a" : 2 }\r\n',
        '{"\\u0061":1,"a":2}',
        '{"a":1,"\\u0061":2}',
    ],
)
def test_repeated_members_are_kept(text: str) -> None:
    assert strict_json.decode_object(text.encode()) == [("a", raw("1")), ("a", raw("2"))]


def test_spaced_and_foreign_texts_come_apart_too() -> None:
    text = ' { "é" : "😀" ,\n"b":{ "c" :[ ] , "c":-1.5e3 } , "":null} '
    assert strict_json.decode_object(text.encode()) == [
        ("é", raw('"😀"')),
        ("b", raw('{ "c" :[ ] , "c":-1.5e3 }')),
        ("", raw("null")),
    ]


@pytest.mark.unwatched
@given(st.lists(st.tuples(st.text(max_size=2), json_values), max_size=5), st.sampled_from(["", " ", "\n\t"]))
def test_every_object_comes_apart_into_its_members(pairs: list[tuple[str, object]], gap: str) -> None:
    texts = [(name, json.dumps(value)) for name, value in pairs]
    inside = f"{gap},{gap}".join(f"{json.dumps(name)}{gap}:{gap}{text}" for name, text in texts)
    data = f"{gap}{{{gap}{inside}{gap}}}{gap}".encode()
    assert strict_json.decode_object(data) == [(name, raw(text)) for name, text in texts]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[1]", "invalid type: sequence, expected a map"),
        (b"5", "invalid type: integer `5`, expected a map"),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b'{"a":1e999}', "number out of range"),
        (b'{"a":' + nested(127) + b"}", "recursion limit exceeded"),
        (b'{"a":"\xff"}', "invalid unicode code point at line 1 column 7"),
        (b'{"\xff":1}', "invalid unicode code point at line 1 column 3"),
        (b'{"a":' + nested(3000) + b"}", "recursion limit exceeded"),
    ],
)
def test_what_is_no_object_is_named(data: bytes, words: str) -> None:
    with pytest.raises(JsonError) as refused:
        strict_json.decode_object(data)
    assert str(refused.value) == words


def test_an_array_comes_apart_when_all_of_it_is_proven() -> None:
    assert strict_json.decode_array(b' [1, {"a": "b"},[] ] ') == [raw("1"), raw('{"a": "b"}'), raw("[]")]
    assert strict_json.decode_array(b"[]") == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "invalid type: map, expected a sequence"),
        (b"[1", "EOF while parsing a list at line 1 column 2"),
        (b"[1e999]", "number out of range"),
        (nested(128), "recursion limit exceeded"),
        (b'["\xff"]', "invalid unicode code point at line 1 column 3"),
    ],
)
def test_an_array_that_breaks_a_rule_anywhere_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(JsonError) as refused:
        strict_json.decode_array(data)
    assert str(refused.value) == words


def test_nested_objects_and_arrays_come_apart() -> None:
    assert strict_json.members(raw('{"a":1,"a":2}')) == [("a", raw("1")), ("a", raw("2"))]
    assert strict_json.elements(raw('[1, "x" ,[]]')) == [raw("1"), raw('"x"'), raw("[]")]
    with pytest.raises(JsonError, match="invalid type: sequence, expected struct X"):
        strict_json.members(raw("[]"), "struct X")
    with pytest.raises(JsonError, match="invalid type: map, expected a sequence"):
        strict_json.elements(raw("{}"))


# ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("null", "null"),
        ("true", "boolean `true`"),
        ("false", "boolean `false`"),
        ("5", "integer `5`"),
        ("-1", "integer `-1`"),
        ("18446744073709551615", "integer `18446744073709551615`"),
        ("18446744073709551616", "floating point `1.8446744073709552e19`"),
        ("123456789012345678e-2", "floating point `1234567890123456.8`"),
        ("1e15", "floating point `1000000000000000.0`"),
        ("1e16", "floating point `1e16`"),
        ("-1e300", "floating point `-1e300`"),
        ("0.00001", "floating point `0.00001`"),
        ("1.5e-6", "floating point `1.5e-6`"),
        ("0.0", "floating point `0.0`"),
        ('"\\u0000\\u0001\\u200b\\u00e9\'"', 'string "\\0\\u{1}\\u{200b}é\'"'),
        ("1.0", "floating point `1.0`"),
        ("-0", "floating point `-0.0`"),
        ("1e3", "floating point `1000.0`"),
        ("1.5", "floating point `1.5`"),
        ('"x"', 'string "x"'),
        ('"a\\"b"', 'string "a\\"b"'),
        ("[1]", "sequence"),
        ("{}", "map"),
        (f'"{"x" * 500}"', f'string "{"x" * 100}…"'),
    ],
)
def test_values_are_described_as_the_reference_does(text: str, words: str) -> None:
    assert json_words.describe(raw(text)) == words


# ── Python values ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, "\ud800", {"\udc00": 1}])
def test_what_is_no_json_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        strict_json.dumps(value)


def test_the_last_of_repeated_members_wins_in_free_json() -> None:
    assert strict_json.loads(b'{"a":1,"a":2}') == {"a": 2}


def test_integers_beyond_64_bits_become_floats_in_free_json() -> None:
    assert strict_json.loads(b"[18446744073709551615,18446744073709551616,-9223372036854775809]") == [
        18446744073709551615,
        18446744073709551616.0,
        -9223372036854775808.0,
    ]
    assert isinstance(strict_json.loads(b"1" + b"0" * 300), float)
