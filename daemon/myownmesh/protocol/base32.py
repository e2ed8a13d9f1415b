"""Base32 as the mesh writes it: RFC 4648 alphabet, lower case, no padding (spec 01 §3.1).

Python's own decoder forgives padding, wrong lengths and stray trailing bits. Two texts would then name one key, so
this one insists on the single spelling of every value; only the case of ASCII letters is free on input.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

ALPHABET: Final = b"abcdefghijklmnopqrstuvwxyz234567"
_CHARACTERS: Final = ALPHABET.ljust(256, b"=")
"""By value; others do not occur."""
_OF_INT: Final = b"0123456789abcdefghijklmnopqrstuv"
_VALUES: Final = dict(zip(ALPHABET + ALPHABET.upper(), _OF_INT * 2, strict=True))
_DIGITS: Final = bytes(_VALUES.get(byte, ord("!")) for byte in range(256))
"""To the digits that `int` knows in base 32; all other characters become one that it refuses."""
_LOWER_DIGITS: Final = bytes(_VALUES[byte] if byte in ALPHABET else ord("!") for byte in range(256))
"""The same, with capitals among those others."""


def encode(data: bytes | bytearray) -> str:
    """Return the lower-case text of `data`, without padding."""
    length = (len(data) * 8 + 4) // 5
    value = int.from_bytes(data, "big") << length * 5 - len(data) * 8
    # Five bits a character have to become eight. All at once: the upper half of each block of characters moves up, of
    # ever smaller blocks; a loop over the characters takes ten times as long.
    for shift, lower, upper in _halves(length):
        value = (value & lower) | ((value & upper) << shift)
    return value.to_bytes(length, "big").translate(_CHARACTERS).decode("ascii")


@lru_cache(64)
def _halves(length: int) -> tuple[tuple[int, int, int], ...]:
    """The steps for so many characters: how far the upper half of each block moves, and masks of both halves."""
    found = []
    block = 1 << max(length - 1, 0).bit_length()
    nbytes = block
    while block > 1:
        half = block // 2
        lower = int.from_bytes(((1 << half * 5) - 1).to_bytes(block, "big") * (nbytes // block), "big")
        found.append((half * 3, lower, lower << half * 5))
        block = half
    return tuple(found)


def decode(text: str, nbytes: int, *, canonical: bool = False) -> bytes:
    """Return the `nbytes` bytes that `text` spells; `canonical`: as `encode` writes them, without capitals.

    Raises `ValueError` when the length is wrong, a character is outside the alphabet or a trailing bit is set.
    """
    expected = (nbytes * 8 + 4) // 5
    if len(text) != expected:
        raise ValueError(f"base32 text has {len(text)} characters, {expected} are needed for {nbytes} bytes")
    try:
        value = int(text.encode("ascii").translate(_LOWER_DIGITS if canonical else _DIGITS), 32) if text else 0
    except ValueError as error:
        raise ValueError("base32 text contains a character outside the alphabet a-z2-7") from error
    spare = len(text) * 5 - nbytes * 8
    if value & ((1 << spare) - 1):
        raise ValueError("base32 text has unused trailing bits set")
    return (value >> spare).to_bytes(nbytes, "big")
