"""When a request that was decoded in one step can be believed (spec 05 §2).

msgspec's parser keeps the last of repeated members and skips unknown ones. Without escapes each member brings two
quotation marks for its name, and a text two more; so a line whose count fits exactly leaves no room for either.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from msgspec import UNSET, Raw, UnsetType

from myownmesh.protocol.canonical import BOUNDED_BY_THE_PARSER
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import Number, fields_of
from myownmesh.protocol.strict_json import check_payload_limits

if TYPE_CHECKING:
    import msgspec

Judge = Callable[[bytes, Any], bool]
"""From a line and what was decoded of it: true when the decoder cannot have overlooked anything."""

_OP_QUOTES: Final = 4
_TEXT_QUOTES: Final = 4
_OTHER_QUOTES: Final = 2


_Member = tuple[Callable[[Any], Any], object, int, int | None]
"""How to get it, its default, its quotation marks, and its largest value when the parser does not see to that."""


def judge_of(cls: type[msgspec.Struct]) -> Judge | None:
    """The judge for an op, None for one that has more than plain members: those are always decoded carefully."""
    quotes, free = _OP_QUOTES, None
    required: list[_Member] = []
    optional: list[_Member] = []
    fields = fields_of(cls)
    for field in fields:
        hint = _plain(field.type)
        if hint is None or (hint is Raw and free is not None):
            return None
        if hint is Raw:
            free = field.name
        own = _TEXT_QUOTES if hint is str else _OTHER_QUOTES
        member = attrgetter(field.name), field.default, own, _most(hint)
        if not field.required:
            optional.append(member)
        else:
            quotes += own
            if member[-1] is not None:
                required.append(member)
    payload = None if free is None else attrgetter(free)
    names = [field.name for field in fields if not field.required]
    values = attrgetter("__class__", *names)
    all_absent = (cls, *(absent for _, absent, _, _ in optional))

    def judge(line: bytes, request: Any) -> bool:
        count = quotes
        if values(request) != all_absent:
            for value, absent, own, most in optional:
                # A member that is there and says what its absence says is missed here: that line is decoded carefully.
                if (found := value(request)) != absent:
                    count += own
                    if most is not None and found > most:
                        return False
        for value, _, _, most in required:
            if most is not None and value(request) > most:
                return False
        raw: Any = UNSET if payload is None else payload(request)
        if raw is UNSET:
            return line.count(b'"') == count and b"\\" not in line
        before_tail = len(line) - 1
        if line.endswith(raw, 0, before_tail):  # the usual order: the payload is the last member
            head = before_tail - len(raw)
            if line.count(b'"', 0, head) != count or line.find(b"\\", 0, head) >= 0:
                return False
        else:
            free_text = bytes(raw)
            if line.count(b'"') - free_text.count(b'"') != count or line.count(b"\\") != free_text.count(b"\\"):
                return False
        try:
            check_payload_limits(raw, line)
        except JsonError:
            return False  # a number out of range, nesting too deep
        return True

    return judge


def _plain(hint: Any) -> Any:
    """The type of a member that is a text, a boolean, an integer or a free value; None for any other."""
    arms = [arm for arm in get_args(hint) if arm not in (NoneType, UnsetType)]
    if get_origin(hint) is Annotated:
        return hint if isinstance(arms[1], Number) else None
    if len(arms) == 1:
        return _plain(arms[0])
    return hint if hint in (str, bool, Raw) else None


def _most(hint: Any) -> int | None:
    bounds = [mark.most for mark in get_args(hint)[1:] if isinstance(mark, Number)]
    return bounds[0] if bounds and bounds[0] > BOUNDED_BY_THE_PARSER else None
