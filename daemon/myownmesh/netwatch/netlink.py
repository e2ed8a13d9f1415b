"""Which of Linux's notices about interfaces, addresses and routes are worth a look (rtnetlink). Pure.

What has changed is not read off the notices: the look asks the system. So a notice that is damaged, or one of a kind
that this reader does not know, costs a look and nothing else.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links; addresses and routes of IPv4 and of IPv6."""

_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")

_NOTHING: Final = (1, 3)
"""NLMSG_NOOP and NLMSG_DONE."""
_NEW_LINK: Final = 16
_ADDRESSES: Final = (20, 21)
_ROUTES: Final = (24, 25)

_WHETHER_IT_WORKS: Final = 0x1 | 0x40 | 0x10000
"""IFF_UP, IFF_RUNNING and IFF_LOWER_UP: switched on, usable, with a carrier."""
_OF_THIS_HOST: Final = 254
"""RT_SCOPE_HOST: loopback addresses."""
_LOCAL_TABLE: Final = 255
"""RT_TABLE_LOCAL mirrors the addresses."""
_CLONED: Final = 0x200
"""RTM_F_CLONED: an entry of a cache."""
_MAX_LINKS: Final = 4096


class Notices:
    """Judges notices; it knows how each interface was when it was heard of last."""

    def __init__(self) -> None:
        self._links: dict[int, int] = {}

    def are_news(self, datagram: bytes) -> bool:
        """Is any of them worth a look?"""
        news = False
        for kind, body in _messages(datagram):
            news |= self._is_news(kind, body)
        return news

    def _is_news(self, kind: int, body: bytes) -> bool:
        if kind in _NOTHING:
            return False
        try:
            if kind == _NEW_LINK:
                _, _, index, flags, _ = _LINK.unpack_from(body)
                return self._link_changed(index, flags & _WHETHER_IT_WORKS)
            if kind in _ADDRESSES:
                return bool(_ADDRESS.unpack_from(body)[3] != _OF_THIS_HOST)
            if kind in _ROUTES:
                route = _ROUTE.unpack_from(body)
                return route[4] != _LOCAL_TABLE and not route[8] & _CLONED
        except struct.error:
            pass  # cut off: a look will tell
        return True

    def _link_changed(self, index: int, how: int) -> bool:
        """A card that searches for Wi-Fi tells of itself all the time, and nothing has changed."""
        before = self._links.get(index)
        if len(self._links) >= _MAX_LINKS:
            self._links.clear()
        self._links[index] = how
        return before != how


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message; a damaged rest is one of type 0."""
    at = 0
    while at < len(datagram):
        try:
            length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        except struct.error:
            length, kind = 0, 0
        if length < _HEADER.size or at + length > len(datagram):
            yield 0, b""
            return
        yield kind, datagram[at + _HEADER.size : at + length]
        at += (length + 3) & ~3
