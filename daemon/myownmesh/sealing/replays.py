"""Ids of the offers of one device that opened: none of them may act again (spec 11 §2.2)."""

from __future__ import annotations

from typing import Final

from myownmesh.protocol import base32

REMEMBERED: Final = 256
_ID_BYTES: Final = 8


class Replays:
    """The last `REMEMBERED` canonical ids, eight bytes each: thousands of devices may have one of these."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids = bytearray()

    def __contains__(self, offer_id: str) -> bool:
        raw, at = base32.decode(offer_id, _ID_BYTES), -1
        while (at := self._ids.find(raw, at + 1)) >= 0:
            if at % _ID_BYTES == 0:
                return True
        return False

    def add(self, offer_id: str) -> None:
        self._ids += base32.decode(offer_id, _ID_BYTES)
        del self._ids[: -REMEMBERED * _ID_BYTES]
