"""The quick way to read a class: one typed parse, and a look at what the parser leaves unjudged.

msgspec parses a text into a class at once. For a text in canonical form (members once, in order, nothing unknown, no
needless white space, which writing the object again proves) it leaves three things open: integers beyond 64 bits, the
depth and the numbers of a free value, and a free value that may be null, which it cannot parse beside other text.
`quick_way` derives from the annotations which class msgspec shall parse and what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from msgspec import Raw

from myownmesh.protocol.schema import Number
from myownmesh.protocol.strict_json import check_payload_limits, is_null

Finish = Callable[[Any, bytes], Any]
"""From what was parsed, and the text that it was parsed from, to the object; None when the exact reader has to decide.
Raises `JsonError`."""

BOUNDED_BY_THE_PARSER: Final = 2**63 - 1
"""Up to here msgspec itself keeps an integer in its range."""


def quick_way(cls: type[msgspec.Struct]) -> tuple[type[msgspec.Struct], Finish | None] | None:
    """The class to parse, and what finishes the job (None: nothing). None alone: all texts are for the exact reader."""
    hints = {field.name: field.type for field in msgspec.structs.fields(cls)}
    free = [name for name, hint in hints.items() if hint in (Raw, Raw | None)]
    parsed = {name: Raw if name in free else _parsed(hint) for name, hint in hints.items()}
    if len(free) > 1 or None in parsed.values():
        return None
    config = cls.__struct_config__
    twin = cls
    if parsed != hints:
        members = list(parsed.items())
        twin = msgspec.defstruct(cls.__name__, members, frozen=True, tag_field=config.tag_field, tag=config.tag)
    steps: list[Finish] = []
    if (in_range := _range_check(twin)) is not None:
        steps.append(_ranges(in_range))
    if logs := [name for name, hint in parsed.items() if hint != hints[name] and name not in free]:
        steps.append(_rebuilt_without(cls, logs))
    elif twin is not cls:
        steps.append(_rebuilt(cls, free[0]))
    elif free:
        steps.append(_payload(free[0]))
    return twin, _both(*steps) if len(steps) == 2 else next(iter(steps), None)


def _parsed(hint: Any) -> Any:
    """The type to parse for a member that is no free value, None when there is none."""
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        # A signed log is nearly always empty; its entries stay text, and the exact reader takes them.
        return tuple[Raw, ...] if get_origin(hint) is tuple else None
    return hint


# ── the steps that finish ────────────────────────────────────────────────────────────────────────────────────────────
# One plain function each: this is the hot path of every frame.


def _both(first: Finish, second: Finish) -> Finish:
    return lambda parsed, data: None if first(parsed, data) is None else second(parsed, data)


def _ranges(in_range: Callable[[Any], bool]) -> Finish:
    return lambda parsed, _: parsed if in_range(parsed) else None


def _payload(name: str) -> Finish:
    payload = attrgetter(name)

    def finish(parsed: Any, data: bytes) -> Any:
        check_payload_limits(payload(parsed), data)
        return parsed

    return finish


def _rebuilt(cls: type[msgspec.Struct], name: str) -> Finish:
    """A free value that may be null: null is None."""
    payload, members = attrgetter(name), attrgetter(*cls.__struct_fields__)

    def finish(twin: Any, data: bytes) -> Any:
        value = payload(twin)
        check_payload_limits(value, data)
        if is_null(value):
            return cls(*(None if member is value else member for member in members(twin)))
        return cls(*members(twin))

    return finish


def _rebuilt_without(cls: type[msgspec.Struct], logs: list[str]) -> Finish:
    def finish(twin: Any, _: bytes) -> Any:
        members = {name: getattr(twin, name) for name in cls.__struct_fields__}
        return None if any(map(members.get, logs)) else cls(**members)

    return finish


def _range_check(hint: Any) -> Callable[[Any], bool] | None:
    """Whether every integer in a value of this type is in range, None when the parser itself sees to that."""
    if get_origin(hint) is Annotated:
        bounds = [mark.most for mark in get_args(hint)[1:] if isinstance(mark, Number)]
        if bounds and bounds[0] > BOUNDED_BY_THE_PARSER:
            return bounds[0].__ge__
        return _range_check(get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _members_check({field.name: _range_check(field.type) for field in msgspec.structs.fields(hint)})
    checks = [check for argument in get_args(hint) if (check := _range_check(argument)) is not None]
    if not checks:
        return None
    check = checks[0]
    if get_origin(hint) is tuple:
        return lambda values: all(map(check, values))
    return lambda value: value is None or check(value)


def _members_check(checks: dict[str, Callable[[Any], bool] | None]) -> Callable[[Any], bool] | None:
    todo = [(attrgetter(name), check) for name, check in checks.items() if check is not None]
    match todo:
        case []:
            return None
        case [(value, check)]:
            return lambda parsed: check(value(parsed))
        case [(first, check_first), (second, check_second)]:
            return lambda parsed: check_first(first(parsed)) and check_second(second(parsed))
        case _:
            return lambda parsed: all(check(value(parsed)) for value, check in todo)
