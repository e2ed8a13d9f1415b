"""From an annotated class to its strict reader and its writer (spec 01 §4.3, 05 §2 and §4, 07 C2).

A frozen msgspec class says everything about one JSON object, once: its members in the order in which they are written,
their types and ranges, and which may be absent or null. Frames, requests, adverts, shapes and configuration are such
classes, and everything that reads or writes them follows from here:

- a member without a default is required; one with a default may be absent, but not null;
- a member whose type has `None` takes null as well;
- unknown members are skipped, or kept by a class that has a `Rest`; a known one must not stand twice;
- of several mistakes the first one in the text is told, and what is missing last.

Readers take `Raw` values of a proven text (`myownmesh.protocol.strict_json`) and raise `JsonError` in the words of the
reference.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from myownmesh.protocol.json_words import (
    JsonError,
    duplicate_field,
    missing_field,
    unknown_variant,
    whole_number,
    wrong_type,
)
from myownmesh.protocol.strict_json import Members, elements, is_null, members, python_value

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
Reader = Callable[[Raw], T]

_TEXT: Final = msgspec.json.Decoder(str)
# A proven value is told by its first byte.
_QUOTE, _LETTER_T, _LETTER_F = b'"tf'


@lru_cache(maxsize=64)
def fields_of(cls: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The members of a class in their order, each with its type.

    They are asked for again and again while a reader is made, and msgspec evaluates the annotations each time: a fifth
    of what a daemon's first network took.
    """
    return msgspec.structs.fields(cls)


# ── what an annotation can say ────────────────────────────────────────────────────────────────────────────────────────


class Number(msgspec.Struct, frozen=True):
    """The range of an integer, and the name that errors give it."""

    name: str
    least: int
    most: int


U16 = Annotated[int, Number("u16", 0, 2**16 - 1), Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Number("u32", 0, 2**32 - 1), Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, Number("u64", 0, 2**64 - 1), Meta(ge=0)]
"""msgspec has no bound beyond 63 bits."""
I64 = Annotated[int, Number("i64", -(2**63), 2**63 - 1), Meta(ge=-(2**63), le=2**63 - 1)]


class Absent(msgspec.Struct, frozen=True):
    """What stands for a member that a text may leave out although whoever makes the object has to give it."""

    value: Any


class ReadBy(msgspec.Struct, frozen=True):
    """A reader of its own, for a text that is more than its JSON type."""

    read: Reader[Any]


class Checked(msgspec.Struct, frozen=True):
    """Something to ask of a value before what stands in front of this mark reads it; raises `JsonError`."""

    check: Callable[[Raw], None]


class Rest(msgspec.Struct, frozen=True):
    """Members that nobody knows: of the object itself, or of the object in its member `of`.

    They are kept as Python values and written back behind the known ones.
    """

    of: str | None = None


Unknown = Annotated[Mapping[str, object], Rest()]
"""The members of an object that this release does not know (spec 07 C2)."""


class Derived(msgspec.Struct, frozen=True):
    """No member of the object, but what follows from all its members together; never written."""

    read: Callable[[Members], Any]


def tag_by_name(name: str) -> str:
    """The tag of a class that is named after it: ``RpcRequest`` is ``rpc_request``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


# ── plain values ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read_text(value: Raw) -> str:
    """A string. Raises `JsonError`."""
    if memoryview(value)[0] != _QUOTE:
        raise wrong_type(value, "a string")
    return _TEXT.decode(value)


def read_bool(value: Raw) -> bool:
    """A boolean; 0 and 1 are none. Raises `JsonError`."""
    first = memoryview(value)[0]
    if first in (_LETTER_T, _LETTER_F):
        return first == _LETTER_T
    raise wrong_type(value, "a boolean")


def read_number(kind: Number, value: Raw) -> int:
    """An integer within its range; `1.0` and `-0` are none. Raises `JsonError`."""
    number = whole_number(bytes(value))
    if number is None:
        raise wrong_type(value, kind.name)
    if not kind.least <= number <= kind.most:
        raise JsonError(f"invalid value: integer `{number}`, expected {kind.name}")
    return number


def _as_it_is(value: Raw) -> Raw:
    return value


def _read_word(words: tuple[str, ...], value: Raw) -> str:
    if memoryview(value)[0] != _QUOTE:
        raise wrong_type(value, "string or map")
    word = _TEXT.decode(value)
    if word not in words:
        raise unknown_variant(word, words)
    return word


def _read_sequence(read: Reader[T], value: Raw) -> tuple[T, ...]:
    return tuple([read(element) for element in elements(value)])


def _read_nullable(read: Reader[T], value: Raw) -> T | None:
    return None if is_null(value) else read(value)


def _read_checked(check: Callable[[Raw], None], read: Reader[T], value: Raw) -> T:
    check(value)
    return read(value)


_PLAIN: Final[Mapping[type, Reader[Any]]] = {str: read_text, bool: read_bool, Raw: _as_it_is}

# ── readers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def reader(hint: Any) -> Reader[Any]:
    """The strict reader of a type. Raises `TypeError` for one that has no JSON of its own."""
    if isinstance(hint, type) and hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return partial(_read_sequence, reader(arguments[0]))
    if origin is Literal:
        return partial(_read_word, arguments)
    if origin in (Union, types.UnionType):
        return _union([argument for argument in arguments if argument is not UnsetType])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return shape(hint).read
    raise TypeError(f"{hint!r} has no JSON of its own")


def _annotated(hint: Any, marks: tuple[object, ...]) -> Reader[Any]:
    read: Reader[Any] | None = None
    for mark in marks:
        match mark:
            case Number():
                read = partial(read_number, mark)
            case ReadBy():
                read = mark.read
            case Checked():
                read = partial(_read_checked, mark.check, read or reader(hint))
    return read or reader(hint)


def _union(arms: list[Any]) -> Reader[Any]:
    if type(None) in arms:
        return partial(_read_nullable, _union([arm for arm in arms if arm is not type(None)]))
    return reader(arms[0]) if len(arms) == 1 else _tagged(arms)


def read_tag(found: Members, field: str, arm: Callable[[str], T]) -> T:
    """What `arm` returns for the tag that stands in `field`; `arm` raises for a tag that it does not know.

    Raises `JsonError`, also when the tag is absent or stands twice.
    """
    tags = [value for name, value in found if name == field]
    if not tags:
        raise missing_field(field)
    if memoryview(tags[0])[0] != _QUOTE:
        raise wrong_type(tags[0], "variant identifier")
    chosen = arm(_TEXT.decode(tags[0]))
    if len(tags) > 1:
        raise duplicate_field(field)
    return chosen


def _tagged(arms: list[Any]) -> Reader[Any]:
    """The reader of a union of classes that one member tells apart.

    The classes name the union in `UNION`. One arm may be no msgspec class: it takes what has no arm of its own, by
    `of_unknown(tag, value)`.
    """
    shapes = {arm.__struct_config__.tag: shape(arm) for arm in arms if issubclass(arm, msgspec.Struct)}
    others = [arm for arm in arms if not issubclass(arm, msgspec.Struct)]
    field: str = arms[0].__struct_config__.tag_field
    expected = f"internally tagged enum {arms[0].UNION}"

    def read(value: Raw) -> object:
        found = members(value, expected)

        def arm(tag: str) -> Callable[[], object]:
            if tag in shapes:
                return partial(shapes[tag].build, found)
            if not others:
                raise unknown_variant(tag, shapes)
            return partial(others[0].of_unknown, tag, value)

        return read_tag(found, field, arm)()

    return read


class Shape(Generic[S]):
    """How the members of one class are read."""

    __slots__ = ("_class", "_completions", "_expected", "_readers", "_required", "_tag")

    def __init__(self, cls: type[S]) -> None:
        self._class = cls
        self._tag: str | None = cls.__struct_config__.tag_field
        self._expected: str = getattr(cls, "SHAPE", f"struct {cls.__name__}")
        self._readers: dict[str, Reader[Any]] = {}
        self._required: list[str] = []
        self._completions: list[tuple[str, Callable[[Members], Any]]] = []
        fields = fields_of(cls)
        for field in fields:
            match _mark(field.type):
                case Rest(of=None):
                    self._completions.append((field.name, self._rest))
                case Rest(of=str(of)):
                    known = _member_names(next(other.type for other in fields if other.name == of))
                    self._completions.append((field.name, partial(_rest_of, of, known)))
                case Derived(read=read):
                    self._completions.append((field.name, read))
                case Absent(value=value):
                    self._readers[field.name] = reader(field.type)
                    self._completions.append((field.name, partial(_value, value)))
                case _:
                    self._readers[field.name] = reader(field.type)
                    if field.required:
                        self._required.append(field.name)

    def read(self, value: Raw) -> S:
        """The object that a proven value is. Raises `JsonError`."""
        return self.build(self.members(value))

    def members(self, value: Raw) -> Members:
        """The members of a proven value. Raises `JsonError` when it is no object."""
        return members(value, self._expected)

    def build(self, found: Members, instead: Mapping[str, Reader[Any]] | None = None) -> S:
        """The object that these members make; `instead` has readers for members that are judged in another way.

        Raises `JsonError`.
        """
        readers = self._readers if instead is None else {**self._readers, **instead}
        values: dict[str, Any] = {}
        for name, value in found:
            read = readers.get(name)
            if read is not None:
                if name in values:
                    raise duplicate_field(name)
                values[name] = read(value)
        for name in self._required:
            if name not in values:
                raise missing_field(name)
        for name, complete in self._completions:
            if name not in values:
                values[name] = complete(found)
        return self._class(**values)

    def _rest(self, found: Members) -> dict[str, object]:
        return {name: python_value(value) for name, value in found if name not in self._readers and name != self._tag}


@cache
def shape(cls: type[S]) -> Shape[S]:
    """The shape of a class; made once."""
    return Shape(cls)


def read(cls: type[S], value: Raw) -> S:
    """The object that a proven value is. Raises `JsonError`."""
    found: S = shape(cls).read(value)
    return found


def _mark(hint: Any) -> object:
    for mark in reversed(get_args(hint)[1:] if get_origin(hint) is Annotated else ()):
        if isinstance(mark, Rest | Derived | Absent):
            return mark
    return None


def _member_names(hint: Any) -> frozenset[str]:
    """All members that the arms of a tagged union have between them."""
    arms = get_args(hint)
    return frozenset(name for arm in arms for name in (arm.__struct_config__.tag_field, *arm.__struct_fields__))


def _rest_of(of: str, known: frozenset[str], found: Members) -> dict[str, object]:
    return {
        name: python_value(value)
        for member, inner in found
        if member == of
        for name, value in members(inner)
        if name not in known
    }


def _value(value: T, _: Members) -> T:
    return value


# ── the writer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def written(value: msgspec.Struct) -> dict[str, object]:
    """An object as Python values: its tag, its members in declared order, and behind them what nobody knows.

    A member that is unset, which only additions of ours can be, is left out.
    """
    config = value.__struct_config__
    found: dict[str, object] = {} if config.tag_field is None else {config.tag_field: config.tag}
    rest: Mapping[str, object] = {}
    for name, mark in _written_members(type(value)):
        member = getattr(value, name)
        match mark:
            case Rest(of=None):
                rest = member
            case Rest(of=str(of)):
                found[of] = {**cast("dict[str, object]", found[of]), **member}
            case _ if member is not UNSET:
                found[name] = _written(member)
    return {**found, **rest}


def _written(value: object) -> object:
    match value:
        case msgspec.Struct():
            return written(value)
        case tuple():
            return [_written(item) for item in value]
        case _:
            return value


@cache
def _written_members(cls: type[msgspec.Struct]) -> list[tuple[str, object]]:
    marks = [(field.name, _mark(field.type)) for field in fields_of(cls)]
    return [(name, mark) for name, mark in marks if not isinstance(mark, Derived)]
