"""Turn decoded JSON into typed values, refusing exactly what the reference's decoder refuses.

Control clients and people match these texts (spec 05 §4), so each check says ``missing field``, ``invalid type``,
``invalid value``, ``unknown variant`` or ``duplicate field`` in the reference's words, without a position suffix.

A decoder is a function from a JSON value to a typed value; it raises `ShapeError`. ``null`` passes only where a
decoder was wrapped in `nullable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from myownmesh.protocol.json_words import shown_float, shown_text

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")
Decoder = Callable[[object], T]

U16, U32, U64 = 16, 32, 64


class ShapeError(ValueError):
    """A JSON value has the wrong shape. The text carries no prefix; callers put theirs before it."""


def describe(value: object) -> str:
    """Name a JSON value the way the reference's decoder does: ``integer `5```, ``string "x"``, ``map``."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{'true' if value else 'false'}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{shown_float(value)}`"
        case str():
            return f"string {shown_text(value)}"
        case list() | tuple():
            return "sequence"
        case _:
            return "map"


def wrong_type(value: object, expected: str) -> ShapeError:
    """The error for a value of the wrong JSON type."""
    return ShapeError(f"invalid type: {describe(value)}, expected {expected}")


def string(value: object) -> str:
    """A JSON string."""
    if not isinstance(value, str):
        raise wrong_type(value, "a string")
    return value


def boolean(value: object) -> bool:
    """A JSON boolean; 0 and 1 are not."""
    if not isinstance(value, bool):
        raise wrong_type(value, "a boolean")
    return value


def unsigned(bits: int) -> Decoder[int]:
    """A JSON integer in ``0 … 2**bits - 1``; ``1.0`` is not an integer."""
    expected = f"u{bits}"

    def decode(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(value, expected)
        if not 0 <= value < 1 << bits:
            raise ShapeError(f"invalid value: integer `{value}`, expected {expected}")
        return value

    return decode


def nullable(inner: Decoder[T]) -> Decoder[T | None]:
    """``null`` or what `inner` accepts."""

    def decode(value: object) -> T | None:
        return None if value is None else inner(value)

    return decode


def list_of(inner: Decoder[T]) -> Decoder[tuple[T, ...]]:
    """A JSON array whose every item `inner` accepts."""

    def decode(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise wrong_type(value, "a sequence")
        return tuple(inner(item) for item in value)

    return decode


def variant(*names: str, expected: str = "string or map") -> Decoder[str]:
    """One of a closed set of words; `expected` is what other types are told."""

    def decode(value: object) -> str:
        if not isinstance(value, str):
            raise wrong_type(value, expected)
        if value not in names:
            raise ShapeError(unknown_variant(value, names))
        return value

    return decode


def unknown_variant(value: str, names: Collection[str]) -> str:
    """The text for a word outside a closed set."""
    return f"unknown variant `{value}`, expected one of " + ", ".join(f"`{name}`" for name in names)


def members(
    value: object,
    decoders: Mapping[str, Decoder[object]],
    *,
    required: Collection[str] = (),
    expected: str,
) -> tuple[dict[str, object], dict[str, object]]:
    """Split a JSON object into its decoded known members and its unknown ones.

    Members are judged in the order in which they stand; missing ones are reported last, in the order of `required`.
    An object that remembers repeated members in an attribute ``pairs`` has those of known names refused here.
    """
    if not isinstance(value, Mapping):
        raise wrong_type(value, expected)
    known: dict[str, object] = {}
    unknown: dict[str, object] = {}
    for name, member in getattr(value, "pairs", None) or value.items():
        decoder = decoders.get(name)
        if decoder is None:
            unknown[name] = member
            continue
        if name in known:
            raise ShapeError(f"duplicate field `{name}`")
        known[name] = decoder(member)
    for name in required:
        if name not in known:
            raise ShapeError(f"missing field `{name}`")
    return known, unknown
