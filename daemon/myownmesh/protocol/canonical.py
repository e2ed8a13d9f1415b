"""The quick way to read a class: one typed parse, and a look at what the parser leaves unjudged.

msgspec parses a text into a class at once. For a text in canonical form (members once, in order, nothing unknown, no
needless white space, which writing the object again proves) it leaves three things open: integers beyond 64 bits, the
depth and the numbers of a free value, and a free value that may be null, which it cannot parse beside other text.
`quick_way` derives from the annotations which class msgspec shall parse and what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw, UnsetType

from myownmesh.protocol.schema import Number, fields_of
from myownmesh.protocol.strict_json import check_payload_limits, is_null

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Finish = Callable[[Any, bytes], Any]
"""From what was parsed, and the text that it was parsed from, to the object; None when the exact reader has to decide.
Raises `JsonError`."""

BOUNDED_BY_THE_PARSER: Final = 2**63 - 1
"""Up to here msgspec itself keeps an integer in its range."""


def quick_way(cls: type[msgspec.Struct]) -> tuple[type[msgspec.Struct], Finish | None] | None:
    """The class to parse, and what finishes the job (None: nothing). None alone: all texts are for the exact reader."""
    hints = {field.name: field.type for field in fields_of(cls)}
    free = [name for name, hint in hints.items() if hint in (Raw, Raw | None)]
    parsed = {name: Raw if name in free else _parsed(hint) for name, hint in hints.items()}
    if len(free) > 1 or None in parsed.values():
        return None
    twin = cls
    if parsed != hints:
        twin = _twin(cls, parsed)
    todo = [f"check_payload_limits(parsed.{name}, data)" for name in free]
    todo += _ranges(twin, "parsed")
    known: dict[str, Any] = {"cls": cls}
    result = "parsed"
    if twin is not cls:
        values = {name: f"parsed.{name}" for name in hints}
        values |= {name: f"None if is_null(parsed.{name}) else parsed.{name}" for name in free if hints[name] != Raw}
        values |= {name: _copied(hints[name], name, known) for name in parsed if _is_list_of_twins(hints[name])}
        result = f"cls({', '.join(values.values())})"
    return twin, _function([*todo, f"return {result}"], known) if todo or twin is not cls else None


def _twin(cls: type[msgspec.Struct], hints: Mapping[str, Any]) -> type[msgspec.Struct]:
    """A class that is written like `cls`, with other types."""
    config = cls.__struct_config__
    members = [_member(name, hint) for name, hint in hints.items()]
    return msgspec.defstruct(cls.__name__, members, frozen=True, tag_field=config.tag_field, tag=config.tag)


def _member(name: str, hint: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    """As `defstruct` takes it: one that may be absent is not written then, so it is not asked for."""
    return (name, hint, UNSET) if UnsetType in get_args(hint) else (name, hint)


def _parsed(hint: Any) -> Any:
    """The type to parse for a member that is no free value, None when there is none."""
    if _holds_free_values(hint):
        return None
    if get_origin(hint) is UnionType:
        return reduce(or_, (arm for arm in get_args(hint) if not _is_text_of_its_own(arm)))
    if _is_list_of_twins(hint):
        [item, _] = get_args(hint)
        fields = {field.name: _parsed(field.type) for field in fields_of(item)}
        return tuple[_twin(item, fields), ...]  # type: ignore[misc]  # a class made just now
    return hint


def _is_text_of_its_own(arm: Any) -> bool:
    """Whether an arm of a union is no msgspec class: what no other arm takes. The exact reader takes such texts."""
    return isinstance(arm, type) and hasattr(arm, "of_unknown")


def _is_list_of_twins(hint: Any) -> bool:
    """Whether it is a list of objects that may hold such an arm, as a signed log is."""
    if get_origin(hint) is not tuple or not _is_class(item := get_args(hint)[0]):
        return False
    return any(_is_text_of_its_own(arm) for field in fields_of(item) for arm in get_args(field.type))


def _copied(hint: Any, name: str, known: dict[str, Any]) -> str:
    """The expression for a list of objects of the class itself, from that of its twins."""
    item = get_args(hint)[0]
    known[item.__name__] = item
    values = ", ".join(f"item.{field.name}" for field in fields_of(item))
    return f"tuple([{item.__name__}({values}) for item in parsed.{name}])"


def _holds_free_values(hint: Any) -> bool:
    """Whether there are free values further inside. One that may be null is none: the parser takes only the null."""
    if _is_class(hint):
        return any(_holds_free_values(field.type) for field in fields_of(hint))
    return hint is Raw or (hint != Raw | None and any(map(_holds_free_values, get_args(hint))))


def _is_class(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


# ── what finishes ─────────────────────────────────────────────────────────────────────────────────────────────────────
# This is the hot path of every frame, where a call costs more than a comparison. So the function is written out for
# each class, as attrs writes `__init__`; nothing but the names of members goes into its text.


def _function(lines: list[str], known: Mapping[str, Any]) -> Finish:
    names = {"check_payload_limits": check_payload_limits, "is_null": is_null, **known}
    exec("def finish(parsed, data):\n" + "\n".join(f"    {line}" for line in lines), names)
    finish: Finish = names["finish"]
    return finish


def _ranges(hint: Any, value: str, depth: int = 0) -> Iterator[str]:
    """The lines that leave every unsigned 64-bit integer inside `value` in its range."""
    if any(isinstance(mark, Number) and mark.most > BOUNDED_BY_THE_PARSER for mark in get_args(hint)[1:]):
        yield f"if {value} >= {2**64}: return None"
    elif _is_class(hint):
        for field in fields_of(hint):
            yield from _ranges(field.type, f"{value}.{field.name}", depth)
    elif get_origin(hint) is tuple:
        yield from _block(f"for item{depth} in {value}:", _ranges(get_args(hint)[0], f"item{depth}", depth + 1))
    else:
        for arm in get_args(hint):
            yield from _block(f"if {value} is not None:", _ranges(arm, value, depth))


def _block(head: str, lines: Iterator[str]) -> Iterator[str]:
    if body := [f"    {line}" for line in lines]:
        yield head
        yield from body
