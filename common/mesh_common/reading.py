"""JSON of a daemon into the classes of `answers`, `events` and `views`: the one converter (cattrs).

Tolerant as the protocol wants it: unknown members are ignored, absent ones have their default. A member of the wrong
type is refused, never bent into shape.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import fields
from cattrs import BaseValidationError, Converter

from mesh_common import events, views

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_EVENTS: Final[dict[tuple[object, object], type[events.MeshEvent]]] = {
    ("peer", "sighted"): events.PeerSighted,
    ("peer", "authenticated"): events.PeerAuthenticated,
    ("peer", "approved"): events.PeerApproved,
    ("peer", "shelved"): events.PeerShelved,
    ("peer", "unshelved"): events.PeerUnshelved,
    ("peer", "capabilities_changed"): events.PeerCapabilitiesChanged,
    ("peer", "dropped"): events.PeerDropped,
    ("phase", "changed"): events.PhaseChanged,
    ("diag", None): events.Diag,
}


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
    converter = Converter(prefer_attrib_converters=True)
    for cls in (str, int, bool, float):
        converter.register_structure_hook(cls, _exactly)
    for base in (views.Tier, views.DropReason, views.Shape, views.ServerReport):
        _register_family(converter, base)
    converter.register_structure_hook(views.JoinedNetwork | str, _network_or_id)
    return converter


def _exactly(value: object, cls: type[T]) -> T:
    if type(value) is cls:
        return value
    raise TypeError(f"{type(value).__name__} where {cls.__name__} is expected")


def _network_or_id(value: object, _: object) -> views.JoinedNetwork | str:
    """`network_update` answers a summary after a restart, else the record id (spec 05 §8.3)."""
    return value if isinstance(value, str) else _converter().structure(value, views.JoinedNetwork)


def _register_family(converter: Converter, base: type[Any]) -> None:
    """A class and what is derived from it: the one most of whose own members are there is the one that was written."""

    def family(cls: type[Any]) -> list[type[Any]]:
        return [cls, *(each for derived in cls.__subclasses__() for each in family(derived))]

    def names_of(cls: type[Any]) -> frozenset[str]:
        return frozenset(field.name for field in fields(cls))

    hooks = {cls: converter.gen_structure_attrs_fromdict(cls) for cls in family(base)}
    own = {cls: names_of(cls) - names_of(base) for cls in hooks}

    def structure(value: Mapping[str, Any], _: type[Any]) -> Any:
        found = max(own, key=lambda cls: len(own[cls] & value.keys()))  # the simpler one when they are even
        return hooks[found](value, found)

    converter.register_structure_hook(base, structure)


def _first_cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
