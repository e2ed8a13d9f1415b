"""The sorted ids of a roster as one text, whose hash members compare (spec 01 §15.3).

Of ten thousand ids one that comes or goes is no reason to sort or to hash all of them anew: the text is spliced, and
what stands before the place of the change has been hashed already.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

BEFORE_IDS: Final = b"v1|membership"
ID_BYTES: Final = 52
"""Of each id of a key; a text of others is made and hashed whole."""
_STRIDE: Final = ID_BYTES + 1
_MARK_BYTES: Final = 32 << 10
"""Between two states of the hash that are kept: a quarter of a kilobyte for each."""


class IdText:
    """One roster's; never changed."""

    __slots__ = ("_marks", "_text")

    def __init__(self, text: bytes, marks: Iterable[Any] = ()) -> None:
        self._text = text
        self._marks = list(marks)
        """The hash after each `_MARK_BYTES`, as far as it was asked for. They follow from the text, so that keeping
        them changes nothing."""

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self | None:
        """The text of these ids; None where they are not all of one length."""
        found = sorted(ids)  # before they are bytes: of ten thousand that takes a third of the time
        text = "|".join([*found, ""])
        if not text.isascii() or not {ID_BYTES}.issuperset(map(len, found)):
            return None
        return cls(BEFORE_IDS + text.encode())

    def changed(self, came: Collection[str], gone: Collection[str]) -> Self | None:
        """The text after these came and those went, as far as they are not in it or out of it anyway; None for an id
        of another length."""
        text, marks = self._text, self._marks
        for device_id, comes in (*((each, False) for each in gone), *((each, True) for each in came)):
            bare = device_id.encode()
            if len(bare) != ID_BYTES:
                return None
            at = _place(text, bare)
            if comes != (text[at : at + ID_BYTES] == bare):
                whole = memoryview(text)
                text = b"".join([whole[:at], bare + b"|" if comes else b"", whole[at if comes else at + _STRIDE :]])
                marks = marks[: at // _MARK_BYTES]
        return type(self)(text, marks)

    def digest(self) -> bytes:
        """SHA-256 of the text."""
        marks = self._marks
        hashed = marks[-1].copy() if marks else sha256()
        for start in range(len(marks) * _MARK_BYTES, len(self._text), _MARK_BYTES):
            part = self._text[start : start + _MARK_BYTES]
            hashed.update(part)
            if len(part) == _MARK_BYTES:
                marks.append(hashed.copy())
        found: bytes = hashed.digest()
        return found


def _place(text: bytes, bare: bytes) -> int:
    """Where an id stands in the text, or would."""
    low, high = 0, (len(text) - len(BEFORE_IDS)) // _STRIDE
    while low < high:
        middle = (low + high) // 2
        at = len(BEFORE_IDS) + middle * _STRIDE
        if text[at : at + ID_BYTES] < bare:
            low = middle + 1
        else:
            high = middle
    return len(BEFORE_IDS) + low * _STRIDE
