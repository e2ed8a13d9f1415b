"""A graph of objects as plain JSON values, and back: how the state of an engine gets into a recording.

Only classes of ours come back, and none of their code runs meanwhile: a recording is anybody's file.
"""

from __future__ import annotations

import base64
import importlib
from collections import OrderedDict, deque
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

PACKAGES: Final = ("myownmesh.", "mesh_common.")
_JSON_BITS: Final = 64
"""Of the numbers that a JSON decoder reads exactly."""


class BadGraph(ValueError):
    """The values are no graph of our objects."""


class Encoder:
    """Encodes graphs whose objects may refer to each other; `left_out` names attributes that stay behind."""

    def __init__(self, left_out: Collection[str] = ()) -> None:
        self._left_out = left_out
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []
        """So that no id is given twice."""

    def encode(self, value: Any) -> Any:
        """Raises `TypeError` for what is neither plain nor one of our objects."""
        if isinstance(value, Enum):
            return {"enum": _name(type(value)), "name": value.name}
        if isinstance(value, int) and value.bit_length() >= _JSON_BITS:
            return {"int": str(value)}
        if value is None or isinstance(value, bool | int | str):
            return value
        if value is msgspec.UNSET:
            return {"unset": True}
        if isinstance(value, float):
            return value if value - value == 0 else {"float": str(value)}
        if isinstance(value, msgspec.Raw):
            return {"raw": bytes(value).decode("utf-8", "replace")}
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, type):
            return {"class": _name(value)}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {"named": _name(type(value)), "items": [self.encode(each) for each in value]}
        for kind, name in _CONTAINERS.items():
            if type(value) is kind:
                return {name: [self.encode(each) for each in _items(value)], **_more(value)}
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if (number := self._numbers.get(id(value))) is not None:
            return {"again": number}
        number = self._numbers[id(value)] = len(self._kept)
        self._kept.append(value)
        names = [name for name in attributes(value) if name not in self._left_out]
        derived = _derived(_name(type(value)))
        return {
            "object": _name(type(value)),
            "number": number,
            "members": {name: None if name in derived else self.encode(getattr(value, name)) for name in names},
        }


class Decoder:
    """Decodes what an `Encoder` made. Raises `BadGraph`."""

    def __init__(self) -> None:
        self._objects: dict[int, object] = {}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            if value is None or isinstance(value, bool | int | float | str):
                return value
            raise BadGraph(f"{type(value).__name__} is no part of a graph")
        for name, make in self._makers().items():
            if name in value:
                try:
                    return make(value)
                except (KeyError, TypeError, AttributeError, ValueError) as error:
                    raise BadGraph(f"{name}: {error}") from error
        raise BadGraph(f"members {sorted(value)} are no part of a graph")

    def _makers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {
            "enum": lambda value: _class(value["enum"])[value["name"]],
            "float": lambda value: float(value["float"]),
            "int": lambda value: int(value["int"]),
            "unset": lambda _: msgspec.UNSET,
            "raw": lambda value: msgspec.Raw(value["raw"].encode()),
            "bytes": lambda value: base64.b64decode(value["bytes"]),
            "class": lambda value: _class(value["class"]),
            "named": lambda value: _class(value["named"])._make(map(self.decode, value["items"])),
            "list": lambda value: self._all(value["list"]),
            "tuple": lambda value: tuple(self._all(value["tuple"])),
            "set": lambda value: set(self._all(value["set"])),
            "frozenset": lambda value: frozenset(self._all(value["frozenset"])),
            "deque": lambda value: deque(self._all(value["deque"]), maxlen=value["maxlen"]),
            "dict": lambda value: dict(self._all(value["dict"])),
            "ordered": lambda value: OrderedDict(self._all(value["ordered"])),
            "again": lambda value: self._objects[value["again"]],
            "object": self._object,
        }

    def _all(self, values: list[Any]) -> list[Any]:
        return [self.decode(each) for each in values]

    def _object(self, value: dict[str, Any]) -> object:
        cls, number, members = _class(value["object"]), value["number"], value["members"]
        if issubclass(cls, msgspec.Struct):  # none of them refers to itself
            made = self._objects[number] = cls(**{name: self.decode(each) for name, each in members.items()})
            return made
        made = self._objects[number] = cls.__new__(cls)
        for name, each in members.items():
            object.__setattr__(made, name, self.decode(each))
        return made


_CONTAINERS: Final[dict[type, str]] = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    deque: "deque",
    dict: "dict",
    OrderedDict: "ordered",
}


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.items())
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)


def _more(value: Any) -> dict[str, Any]:
    return {"maxlen": value.maxlen} if isinstance(value, deque) else {}


def attributes(value: object) -> list[str]:
    """The names of what an object of ours holds. Raises `TypeError` for one of others."""
    cls = type(value)
    if not cls.__module__.startswith(PACKAGES):
        raise TypeError(f"{cls.__module__}.{cls.__qualname__} cannot be recorded")
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    if attrs.has(cls):
        return [field.name for field in attrs.fields(cls)]
    slots = [name for base in cls.__mro__ for name in getattr(base, "__slots__", ())]
    return [*slots, *getattr(value, "__dict__", {})]


@cache
def _derived(name: str) -> frozenset[str]:
    """What an object remembers once it was calculated, and calculates again where it is None: bytes of ids, which
    nobody could replace."""
    cls = _class(name)
    fields = attrs.fields(cls) if attrs.has(cls) else ()
    return frozenset(field.name for field in fields if field.eq is False and field.default is None)


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if not module.startswith(PACKAGES) or not qualname.isidentifier():
        raise BadGraph(f"{name} is no class of ours")
    found = getattr(importlib.import_module(module), qualname, None)
    if not isinstance(found, type) or found.__module__ != module:
        raise BadGraph(f"{name} is no class of ours")
    return found
