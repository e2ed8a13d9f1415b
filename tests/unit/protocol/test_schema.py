"""One annotated class is enough: its reader, its words for mistakes, and its writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
import pytest
from msgspec import Raw, UnsetType

from myownmesh.protocol.canonical import quick_way
from myownmesh.protocol.codec import decoder, encode_frame, exact_reader
from myownmesh.protocol.frames import KINDS, Frame
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import (
    I64,
    U16,
    U32,
    U64,
    Absent,
    Checked,
    Derived,
    ReadBy,
    Rest,
    Unknown,
    read,
    reader,
    written,
)
from myownmesh.protocol.strict_json import decode_object, dumps
from myownmesh.protocol.transitions import Evict, Transition

if TYPE_CHECKING:
    from myownmesh.protocol.strict_json import Members


def raw(text: str) -> Raw:
    return Raw(text.encode())


def error_of(hint: object, text: str) -> str:
    with pytest.raises(JsonError) as refused:
        reader(hint)(raw(text))
    return str(refused.value)


# ── plain values ──────────────────────────────────────────────────────────────────────────────────────────────────────

Kind = Literal["open", "closed", "silent"]


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (str, '"\\u00e9\\n"', "é\n"),
        (bool, "true", True),
        (bool, "false", False),
        (tuple[str, ...], '["a","b"]', ("a", "b")),
        (tuple[str, ...], "[]", ()),
        (Kind, '"closed"', "closed"),
        (str | None, "null", None),
        (U32 | None, "7", 7),
        (Raw, "null", raw("null")),
        (Raw | None, "null", None),
        (Raw | UnsetType, "null", raw("null")),
    ],
)
def test_values(hint: object, text: str, value: object) -> None:
    assert reader(hint)(raw(text)) == value


@pytest.mark.parametrize(
    ("hint", "text", "words"),
    [
        (str, "null", "invalid type: null, expected a string"),
        (str, "{}", "invalid type: map, expected a string"),
        (bool, "1", "invalid type: integer `1`, expected a boolean"),
        (bool, "null", "invalid type: null, expected a boolean"),
        (bool, '"yes"', 'invalid type: string "yes", expected a boolean'),
        (tuple[str, ...], "null", "invalid type: null, expected a sequence"),
        (tuple[str, ...], "[1]", "invalid type: integer `1`, expected a string"),
        (Kind, "5", "invalid type: integer `5`, expected string or map"),
        (Kind, '"bogus"', "unknown variant `bogus`, expected one of `open`, `closed`, `silent`"),
        (U16, "65536", "invalid value: integer `65536`, expected u16"),
        (U16, "-1", "invalid value: integer `-1`, expected u16"),
        (U16, "1.0", "invalid type: floating point `1.0`, expected u16"),
        (U16, "1e1", "invalid type: floating point `10.0`, expected u16"),
        (U16, "-0", "invalid type: floating point `-0.0`, expected u16"),
        (U16, "null", "invalid type: null, expected u16"),
        (U16, '"1"', 'invalid type: string "1", expected u16'),
        (U32 | None, "[]", "invalid type: sequence, expected u32"),
    ],
)
def test_values_of_another_type_are_refused_in_the_words_of_the_reference(hint: object, text: str, words: str) -> None:
    assert error_of(hint, text) == words


@pytest.mark.parametrize(
    ("hint", "least", "most"),
    [(U16, 0, 65535), (U32, 0, 2**32 - 1), (U64, 0, 2**64 - 1), (I64, -(2**63), 2**63 - 1)],
)
def test_integers_have_the_range_of_their_type(hint: object, least: int, most: int) -> None:
    assert reader(hint)(raw(str(least))) == least
    assert reader(hint)(raw(str(most))) == most
    for number in (least - 1, most + 1):
        assert str(number) in error_of(hint, str(number)) or "floating point" in error_of(hint, str(number))


def test_what_has_no_json_of_its_own_is_told_at_once() -> None:
    with pytest.raises(TypeError, match="complex"):
        reader(complex)


# ── objects ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Inner(msgspec.Struct, frozen=True):
    size: U16
    unknown: Unknown = {}


def _length(found: Members) -> int:
    return len(found)


def _not_empty(value: Raw) -> None:
    if bytes(value) == b'""':
        raise JsonError("empty")


def _backwards(value: Raw) -> str:
    return reader(str)(value)[::-1]


class Cat(msgspec.Struct, frozen=True, tag_field="kind", tag="cat"):
    UNION: ClassVar[str] = "Pet"
    lives: U32 = 9


class Dog(msgspec.Struct, frozen=True, tag_field="kind", tag="dog"):
    UNION: ClassVar[str] = "Pet"
    name: str


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    SHAPE: ClassVar[str] = "struct Thing"
    unknown: Unknown = {}
    name: str
    late: Annotated[str, Absent("")]
    note: str | None = None
    inner: tuple[Inner, ...] = ()
    pet: Cat | Dog = Cat()
    pet_unknown: Annotated[Unknown, Rest("pet")] = {}
    secret: Annotated[str, ReadBy(_backwards), Checked(_not_empty)] = ""
    members: Annotated[int, Derived(_length)] = 0


def test_an_object_has_its_defaults() -> None:
    assert read(Outer, raw('{"name":"n"}')) == Outer(name="n", late="", members=1)


def test_every_annotation_is_heard() -> None:
    text = (
        '{"zz":[1.5],"pet":{"kind":"dog","name":"d","lives":1,"x":2},"inner":[{"size":1,"y":{}}],"note":null,'
        '"late":"l","name":"n","secret":"abc","zz":18446744073709551616}'
    )
    thing = read(Outer, raw(text))
    assert thing == Outer(
        name="n",
        late="l",
        inner=(Inner(1, {"y": {}}),),
        pet=Dog("d"),
        pet_unknown={"x": 2},
        secret="cba",
        members=8,
        unknown={"zz": 1.8446744073709552e19},
    )
    assert list(written(thing).items()) == [
        ("name", "n"),
        ("late", "l"),
        ("note", None),
        ("inner", [{"size": 1, "y": {}}]),
        ("pet", {"kind": "dog", "name": "d", "x": 2}),
        ("secret", "cba"),
        ("zz", 1.8446744073709552e19),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "invalid type: sequence, expected struct Thing"),
        ("{}", "missing field `name`"),
        ('{"name":null}', "invalid type: null, expected a string"),
        ('{"name":"a","\\u006eame":"b"}', "duplicate field `name`"),
        ('{"name":5,"name":"b"}', "invalid type: integer `5`, expected a string"),
        ('{"inner":[{"size":1},{}]}', "missing field `size`"),
        ('{"inner":[5]}', "invalid type: integer `5`, expected struct Inner"),
        ('{"inner":[{"size":1,"size":1}],"name":5}', "duplicate field `size`"),
        ('{"late":null,"name":5}', "invalid type: null, expected a string"),
        ('{"secret":""}', "empty"),
        ('{"pet":"cat"}', 'invalid type: string "cat", expected internally tagged enum Pet'),
        ('{"pet":{"name":"d"}}', "missing field `kind`"),
        ('{"pet":{"kind":1,"kind":"dog"}}', "invalid type: integer `1`, expected variant identifier"),
        ('{"pet":{"kind":"cow","kind":"dog"}}', "unknown variant `cow`, expected one of `cat`, `dog`"),
        ('{"pet":{"name":1,"kind":"dog","kind":"dog"}}', "duplicate field `kind`"),
        ('{"pet":{"name":1,"kind":"dog"}}', "invalid type: integer `1`, expected a string"),
        ('{"pet":{"kind":"dog"}}', "missing field `name`"),
    ],
)
def test_of_several_mistakes_the_first_one_is_told(text: str, words: str) -> None:
    assert error_of(Outer, text) == words


def test_a_member_that_only_another_variant_has_may_be_anything() -> None:
    assert read(Outer, raw('{"name":"n","pet":{"kind":"cat","name":1,"name":2}}')).pet == Cat()


# ── a new frame kind is one class ─────────────────────────────────────────────────────────────────────────────────────


class LaterFrame(Frame, frozen=True):
    TRAFFIC = "app"
    GATED = False
    stream: U64
    label: str | None
    payload: Raw


class OtherLaterFrame(Frame, frozen=True):
    TRAFFIC = "gossip"
    ok: Raw | None = None
    sizes: tuple[U64, ...] = ()
    limit: U64 | None = None


class Box(msgspec.Struct, frozen=True):
    content: Raw


class FreeInsideFrame(Frame, frozen=True):
    TRAFFIC = "app"
    boxes: tuple[Box, ...]
    log: tuple[Transition, ...] = ()


LATER = {cls.KIND: cls for cls in (*KINDS.values(), LaterFrame, OtherLaterFrame, FreeInsideFrame)}


def test_a_frame_class_alone_is_written_read_counted_and_gated() -> None:
    decode, exactly = decoder(LATER), exact_reader(LATER)
    frame = LaterFrame(2**64 - 1, None, dumps({"x": 1}))
    data = encode_frame(frame)
    assert data == b'{"kind":"later_frame","stream":18446744073709551615,"label":null,"payload":{"x":1}}'
    assert decode(data) == decode(b" " + data) == exactly(decode_object(data)) == frame
    assert (frame.KIND, frame.TRAFFIC, frame.GATED) == ("later_frame", "app", False)
    assert OtherLaterFrame.GATED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"kind":"later_frame","stream":18446744073709551616,"label":null,"payload":1}',
            "invalid type: floating point `1.8446744073709552e19`, expected u64",
        ),
        ('{"kind":"later_frame","stream":-1,"label":null,"payload":1}', "invalid value: integer `-1`, expected u64"),
        ('{"kind":"later_frame","stream":1,"label":null,"payload":[1e999]}', "number out of range"),
        ('{"kind":"later_frame","stream":1,"label":null,"payload":1,"payload":1}', "duplicate field `payload`"),
        ('{"kind":"later_frame","stream":1,"label":null}', "missing field `payload`"),
        (
            '{"kind":"other_later_frame","ok":1,"sizes":[1,18446744073709551616],"limit":null}',
            "invalid type: floating point `1.8446744073709552e19`, expected u64",
        ),
        (
            '{"kind":"other_later_frame","ok":1,"sizes":[],"limit":18446744073709551616}',
            "invalid type: floating point `1.8446744073709552e19`, expected u64",
        ),
        ('{"kind":"other_later_frame","ok":1e999,"sizes":[],"limit":1}', "number out of range"),
    ],
)
def test_a_frame_class_alone_refuses_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="malformed frame: ") as refused:
        decoder(LATER)(text.encode())
    assert str(refused.value) == f"malformed frame: {words}"


@pytest.mark.parametrize("ok", [None, raw("[1]"), raw('"text"')])
def test_a_free_value_that_may_be_null_comes_back(ok: Raw | None) -> None:
    for frame in (OtherLaterFrame(ok, (1, 2**64 - 1)), OtherLaterFrame(ok, limit=2**64 - 1)):
        assert decoder(LATER)(encode_frame(frame)) == frame


def test_what_the_parser_cannot_judge_is_read_exactly() -> None:
    frame = FreeInsideFrame((Box(raw("[1]")),), (Transition(1, Evict("t"), (), ()),))
    assert decoder(LATER)(encode_frame(frame)) == frame
    with pytest.raises(ValueError, match="number out of range"):
        decoder(LATER)(b'{"kind":"free_inside_frame","boxes":[{"content":1e999}],"log":[]}')


def test_what_a_class_says_of_its_members_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """msgspec evaluates all annotations each time, which was a fifth of what a daemon's first network took."""

    class Row(msgspec.Struct, frozen=True):
        count: U32

    class Table(msgspec.Struct, frozen=True):
        rows: tuple[Row, ...]
        more: Row | None

    # the classes are local ones: their annotations are told as they are
    Row.__annotations__ = {"count": U32}
    Table.__annotations__ = {"rows": tuple[Row, ...], "more": Row | None}
    asked: list[type] = []
    fields = msgspec.structs.fields

    def counted(cls: type[msgspec.Struct]) -> object:
        asked.append(cls)
        return fields(cls)

    monkeypatch.setattr(msgspec.structs, "fields", counted)
    assert quick_way(Table) is not None
    reader(Table)
    assert set(asked) == {Row, Table}
    assert len(asked) == len(set(asked))
