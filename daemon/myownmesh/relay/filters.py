"""Nostr subscription filters as the hosted relay understands them (spec 03 §19.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from myownmesh.signaling.nostr import NostrEvent

Allowed = frozenset[Any] | None
"""Permitted values; None when the filter does not ask."""


@frozen
class Filter:
    """The members of one filter are AND-ed; a member that cannot match anything has an empty set."""

    ids: Allowed
    authors: Allowed
    kinds: Allowed
    since: int | None
    until: int | None
    tags: tuple[tuple[str, frozenset[str]], ...]

    @property
    def rooms(self) -> frozenset[str] | None:
        """The values of `#r`; None when the filter has no such member."""
        return next((values for name, values in self.tags if name == "r"), None)

    @property
    def is_confined(self) -> bool:
        """It names rooms or events; a filter that does not would show every room to anyone."""
        return self.ids is not None or self.rooms is not None

    def matches(self, event: NostrEvent) -> bool:
        return (
            (self.ids is None or event.id in self.ids)
            and (self.authors is None or event.pubkey in self.authors)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.since is None or event.created_at >= self.since)
            and (self.until is None or event.created_at <= self.until)
            and all(not values.isdisjoint(event.tag_values(name)) for name, values in self.tags)
        )


EVERYTHING = Filter(ids=None, authors=None, kinds=None, since=None, until=None, tags=())


def decode_filter(value: object) -> Filter | None:
    """Total. None is a filter that matches nothing, because it is no object."""
    if not isinstance(value, dict):
        return None
    return Filter(
        ids=_allowed(value, "ids", str),
        authors=_allowed(value, "authors", str),
        kinds=_allowed(value, "kinds", int),
        since=_bound(value.get("since")),
        until=_bound(value.get("until")),
        tags=tuple(
            (name[1], _allowed(value, name, str) or frozenset()) for name in value if len(name) == 2 and name[0] == "#"
        ),
    )


def _allowed(value: dict[str, Any], name: str, of: type) -> Allowed:
    if name not in value:
        return None
    listed = value[name]
    # Exact types: text never equals a number, nor does 1077.0 or true.
    return frozenset(item for item in listed if type(item) is of) if isinstance(listed, list) else frozenset()


def _bound(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**64 else None
