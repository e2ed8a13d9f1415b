"""JSON of a daemon into the classes of `answers`, `events` and `views`: the one converter (cattrs).

Tolerant as the protocol wants it: unknown members are ignored, absent ones have their default. A member of the wrong
type is refused, never bent into shape.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, get_type_hints

from cattrs import BaseValidationError, Converter
from msgspec import Struct
from msgspec.structs import fields

from mesh_common import events, views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_EVENTS: Final[dict[tuple[object, object], type[events.MeshEvent]]] = {
    (cls.EVENT_KIND, cls.__struct_config__.tag): cls for cls in get_args(events.MeshEvent)
}


_FAMILIES: Final = (views.DropReason, views.Shape, views.ServerReport)
"""Classes whose subclasses have the members that stand on the wire only sometimes."""


class UnreadableAnswer(ValueError):
    """The value has not the members of the class; the text names them."""


def read(cls: type[T], value: object) -> T:
    """`value`, decoded JSON, as an instance of `cls`. Raises `UnreadableAnswer`."""
    try:
        return _converter().structure(value, cls)
    except (BaseValidationError, TypeError, ValueError, KeyError) as error:
        raise UnreadableAnswer(f"{cls.__name__}: {_first_cause(error)}") from error


def read_event(members: Mapping[str, Any]) -> events.MeshEvent | None:
    """The event of an event frame; None for a kind that is not known here, or that lacks a member."""
    cls = _EVENTS.get((members.get("event_kind"), members.get("kind")))
    if cls is None:
        return None
    try:
        return read(cls, members)
    except UnreadableAnswer:
        return None


@cache
def _converter() -> Converter:
    converter = Converter()
    for cls in (str, int, bool, float):
        converter.register_structure_hook(cls, _exactly)
    converter.register_structure_hook_factory(_is_struct, _struct_reader)
    converter.register_structure_hook(views.JoinedNetwork | str, _network_or_id)
    return converter


def _exactly(value: object, cls: type[T]) -> T:
    if type(value) is cls:
        return value
    raise TypeError(f"{type(value).__name__} where {cls.__name__} is expected")


def _is_struct(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, Struct)


def _struct_reader(cls: type[Struct], converter: Converter) -> Callable[[Any, object], Struct]:
    types = get_type_hints(cls)
    hooks = {field.encode_name: (field.name, types[field.name], field.required) for field in fields(cls)}
    own = {each: set(each.__struct_encode_fields__) - hooks.keys() for each in _family(cls)}

    def read_struct(value: Any, _: object) -> Struct:
        if not isinstance(value, dict):
            raise TypeError(f"{type(value).__name__} where an object is expected")
        written = max(own, key=lambda each: len(own[each] & value.keys()))  # the simpler one when they are even
        if written is not cls:
            return converter.structure(value, written)
        missing = [member for member, (_, _, required) in hooks.items() if required and member not in value]
        if missing:
            raise KeyError(missing[0])
        read_members = ((name, of, value[member]) for member, (name, of, _) in hooks.items() if member in value)
        return cls(**{name: converter.structure(told, of) for name, of, told in read_members})

    return read_struct


def _family(cls: type[Struct]) -> list[type[Struct]]:
    """A class and what is derived from it: the one most of whose own members are there is the one that was written."""
    if cls not in _FAMILIES:
        return [cls]
    derived: list[type[Struct]] = [cls]
    for each in derived:
        derived += each.__subclasses__()
    return derived


def _network_or_id(value: object, _: object) -> views.JoinedNetwork | str:
    """`network_update` answers a summary after a restart, else the record id (spec 05 §8.3)."""
    return value if isinstance(value, str) else _converter().structure(value, views.JoinedNetwork)


def _first_cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
