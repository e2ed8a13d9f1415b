"""The two long lists of a state file, read piece by piece: who has which role, and the member log (spec 02 §16).

Reading ten thousand entries exactly and at once takes half a second and tens of megabytes that the process keeps, and
holds the interpreter for tens of milliseconds at a time. Files are written in one form, by us and by the reference. So
the lists are cut out of the text where that form says that they begin and end; each piece of them is parsed the quick
way, and counts if it is written again to the same bytes. What is left of the text is short and is read exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from myownmesh.governance.entries import with_shared_signers
from myownmesh.protocol.canonical import quick_way
from myownmesh.protocol.frames import Role
from myownmesh.protocol.schema import reader
from myownmesh.protocol.strict_json import proven
from myownmesh.protocol.transitions import Transition, raw_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownmesh.protocol.schema import Reader

NO_ROLES: Final = b"{ \t\t }"
NO_ENTRIES: Final = b"[ \t\t ]"
"""What stands for the lists in the rest of the text: in a form that nobody writes."""

_ROLES_BEGIN: Final = b'\n  "roles": {\n'
_ROLES_END: Final = b"\n  }"
_ENTRIES_BEGIN: Final = b'\n  "member_log": [\n'
_ENTRIES_END: Final = b"\n  ]"
_BETWEEN_ROLES: Final = b",\n"
_BETWEEN_ENTRIES: Final = b",\n    {\n"
_PIECE_BYTES: Final = 32 << 10
"""About a hundred entries: half a millisecond."""


class Taken(NamedTuple):
    """A text of which the lists were taken out."""

    rest: bytes
    """`NO_ROLES` and `NO_ENTRIES` stand in it once; whether as members of the file itself, is still to be looked at."""
    roles: dict[str, Role]
    entries: tuple[Transition, ...]


def take_out(data: bytes) -> Taken | None:
    """The long lists of a state file, and the rest of it; None where they do not stand as they are always written.

    Raises `JsonError` and `msgspec.DecodeError` where a piece is not what it looks like.
    """
    roles_at, roles_end = _place(data, _ROLES_BEGIN, _ROLES_END, 0)
    log_at, log_end = _place(data, _ENTRIES_BEGIN, _ENTRIES_END, roles_end)
    if roles_at < 0 or log_at < 0:
        return None
    before, between, behind = data[: roles_at - 2], data[roles_end + len(_ROLES_END) : log_at - 2], data[log_end:]
    rest = b"".join([before, NO_ROLES, between, NO_ENTRIES, behind[len(_ENTRIES_END) :]])
    if rest.count(NO_ROLES) != 1 or rest.count(NO_ENTRIES) != 1:
        return None
    roles: dict[str, Role] = {}
    for text in _pieces(data, roles_at, roles_end, _BETWEEN_ROLES):
        more = _decode_roles(b"{%b}" % text)
        known = len(roles)
        roles.update(more)
        if len(roles) != known + len(more) or _pretty({"": more}) != b'{\n  "": {\n%b\n  }\n}' % text:
            return None  # somebody stands there twice
    entries: list[Transition] = []
    for text in _pieces(data, log_at, log_end, _BETWEEN_ENTRIES):
        entries += map(with_shared_signers, _entries(text))
    return Taken(rest, roles, tuple(entries))


def _place(data: bytes, begin: bytes, end: bytes, start: int) -> tuple[int, int]:
    """Where the content of a list begins and ends; -1 for none. Texts inside JSON hold no line ends."""
    found = data.find(begin, start)
    if found < 0:
        return -1, 0
    first = found + len(begin)
    last = data.find(end, first)
    return (first, last) if last >= 0 else (-1, 0)


def _pieces(data: bytes, start: int, end: int, between: bytes) -> Iterator[bytes]:
    """The content of a list in pieces, cut at the comma of `between`."""
    while start < end:
        cut = data.find(between, start + _PIECE_BYTES, end)
        stop = end if cut < 0 else cut
        yield data[start:stop]
        start = stop + len(b",\n")


def _entries(text: bytes) -> tuple[Transition, ...]:
    """The entries of a piece. Raises `JsonError`."""
    try:
        parsed = _decode_entries(b'{"entries":[%b]}' % text)
        found = parsed if _finish is None else _finish(parsed, text)
        if found is not None and _pretty([found.entries]) == b"[\n  [\n%b\n  ]\n]" % text:
            entries: tuple[Transition, ...] = found.entries
            return entries
    except (msgspec.DecodeError, RecursionError):
        pass  # of a later release, or written by hand
    return _read_entries(proven(b"[%b]" % text))


def _pretty(value: object) -> bytes:
    return msgspec.json.format(_encode(value), indent=2)


class _Piece(msgspec.Struct, frozen=True):
    entries: tuple[Transition, ...]


_way = quick_way(_Piece)
assert _way is not None, "entries have a quick way"
_parsed: Any = _way[0]
_finish: Any = _way[1]
_decode_entries: Final = msgspec.json.Decoder(_parsed).decode
_decode_roles: Final = msgspec.json.Decoder(dict[str, Role]).decode
_read_entries: Final[Reader[tuple[Transition, ...]]] = reader(tuple[Transition, ...])
_encode: Final = msgspec.json.Encoder(enc_hook=raw_text).encode
