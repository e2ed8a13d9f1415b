"""Nostr subscription filters as the hosted relay understands them (spec 03 §19.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from myownmesh.signaling.nostr import NostrEvent

_parse: Final = msgspec.json.Decoder().decode
_SHARED_LENGTH: Final = 4
_SHARED_BYTES: Final = 256

Allowed = frozenset[Any] | None
"""Permitted values; None when the filter does not ask."""


class Filter(Value, frozen=True, gc=False):
    """The members of one filter are AND-ed; a member that cannot match anything has an empty set."""

    ids: Allowed
    authors: Allowed
    kinds: Allowed
    since: int | None
    until: int | None
    tags: tuple[tuple[str, frozenset[str]], ...]
    rooms: frozenset[str] | None
    """The values of `#r`; None when the filter has no such member."""

    @property
    def is_confined(self) -> bool:
        """It names rooms or events; a filter that does not would show every room to anyone."""
        return self.ids is not None or self.rooms is not None

    def matches(self, event: NostrEvent, tags: Mapping[str, Sequence[str]]) -> bool:
        """`tags` is what `tags_of` says of the event: once for all filters."""
        if self.kinds is not None and event.kind not in self.kinds:  # what most events fail by
            return False
        for name, values in self.tags:
            if values.isdisjoint(tags.get(name, ())):
                return False
        return (
            (self.ids is None or event.id in self.ids)
            and (self.authors is None or event.pubkey in self.authors)
            and (self.since is None or event.created_at >= self.since)
            and (self.until is None or event.created_at <= self.until)
        )


EVERYTHING = Filter(ids=None, authors=None, kinds=None, since=None, until=None, tags=(), rooms=None)


def tags_of(event: NostrEvent) -> dict[str, list[str]]:
    """The first values of an event's tags, by the tags' names."""
    found: dict[str, list[str]] = {}
    for tag in event.tags:
        if len(tag) > 1:
            found.setdefault(tag[0], []).append(tag[1])
    return found


def read_filter(text: bytes) -> Filter | None:
    """`decode_filter` of a proven text. Members of a room mostly ask in the same bytes, and share the answer."""
    return _shared_filter(text) if len(text) <= _SHARED_BYTES else decode_filter(_parse(text))


def decode_filter(value: object) -> Filter | None:
    """Total. None is a filter that matches nothing, because it is no object."""
    if not isinstance(value, dict):
        return None
    ids = authors = kinds = rooms = since = until = None
    tags: list[tuple[str, frozenset[str]]] = []
    for name, asked in value.items():
        if len(name) == 2 and name[0] == "#":
            values = _allowed(asked, str)
            tags.append((name[1], values))
            if name == "#r":
                rooms = values
        elif name == "kinds":
            kinds = _allowed(asked, int)
        elif name == "since":
            since = _bound(asked)
        elif name == "until":
            until = _bound(asked)
        elif name == "ids":
            ids = _allowed(asked, str)
        elif name == "authors":
            authors = _allowed(asked, str)
    return Filter(ids, authors, kinds, since, until, tuple(tags), rooms)


def _allowed(listed: object, of: type) -> frozenset[Any]:
    # Exact types: text never equals a number, nor does 1077.0 or true.
    wanted = tuple([item for item in listed if type(item) is of]) if isinstance(listed, list) else ()
    return _shared(wanted) if len(wanted) <= _SHARED_LENGTH else frozenset(wanted)


@lru_cache(maxsize=4096)
def _shared(values: tuple[Any, ...]) -> frozenset[Any]:
    """One set for all who ask for the same: every client of a room names the room three times."""
    return frozenset(values)


@lru_cache(maxsize=2048)
def _shared_filter(text: bytes) -> Filter | None:
    return decode_filter(_parse(text))


def _bound(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**64 else None
