"""What peers send, as classes: the one converter for payloads of calls and channels (spec 08 FE-9.3). Pure.

A payload is hostile. Unknown members are ignored; a member of the wrong type, or one that the class's own validators
refuse (`attrs.validators`: every text, list and number has its bounds there), makes the whole payload invalid. Nothing
is bent into shape: no number becomes a text, no text a list of letters.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import attrs

from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter

    from myownllm.coerce import Json

    Hook = Callable[[Any, Any], Any]

T = TypeVar("T")


class PayloadError(AppError):
    """A payload that is not what its method or channel takes; the text says which member is to blame."""


def structure(cls: type[T], payload: Json) -> T:
    """`payload`, decoded JSON, as an instance of the attrs class `cls`. Raises PayloadError."""
    try:
        return _converter().structure(payload, cls)
    except (TypeError, ValueError, KeyError, RecursionError) as error:  # a missing member is a TypeError of `__init__`
        raise PayloadError(f"{cls.__name__}: {error}") from None


@cache
def _converter() -> Converter:
    from cattrs import Converter, gen  # a device that nobody asks anything does without it
    from cattrs.cols import is_mapping, is_sequence

    converter = Converter(detailed_validation=False)
    for cls, read in ((str, _text), (bool, _flag), (int, _whole), (float, _number)):
        converter.register_structure_hook(cls, read)

    converter.register_structure_hook_func(_is_choice, _one_of)

    def of_object(cls: type) -> Hook:
        return _only(dict, gen.make_dict_structure_fn(cls, converter))

    def of_mapping(cls: Any) -> Hook:
        return _only(dict, gen.mapping_structure_factory(cls, converter))

    def of_list(cls: Any) -> Hook:
        item = get_args(cls)[0]
        read = converter.get_structure_hook(item)
        into = get_origin(cls) or list
        return _only(list, lambda value, _: into(read(v, item) for v in value))

    converter.register_structure_hook_factory(is_sequence, of_list)
    converter.register_structure_hook_factory(is_mapping, of_mapping)
    converter.register_structure_hook_factory(attrs.has, of_object)
    return converter


def _only(kind: type, read: Hook) -> Hook:
    """Read values of that JSON kind alone: a text, for one, would pass as a list of its letters."""

    def checked(value: Json, cls: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} where {'an object' if kind is dict else 'a list'} is expected")
        return read(value, cls)

    return checked


def _text(value: Json, _: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text is expected")
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:  # would fail wherever it is written
        raise ValueError("a text is not valid UTF-8") from None
    return value


def _flag(value: Json, _: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} where true or false is expected")
    return value


def _whole(value: Json, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} where a whole number is expected")
    return value


def _number(value: Json, _: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError("no finite number where one is expected")
    return float(value)


def _is_choice(cls: Any) -> bool:
    return get_origin(cls) is Literal


def _one_of(value: Json, cls: Any) -> Any:
    for choice in get_args(cls):
        if type(choice) is type(value) and choice == value:
            return choice
    raise ValueError(f"none of {', '.join(map(repr, get_args(cls)))}")
