"""Base64 for texts that travel in links and members: RFC 4648 §5, without padding, one spelling for every value."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]*")


def encode(data: bytes) -> str:
    """The text of `data`."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode(text: str) -> bytes:
    """The bytes that `text` spells. Raises `ValueError` for any text that `encode` would not have made of them."""
    if _TEXT.fullmatch(text) is None:
        raise ValueError("base64url text contains a character outside the alphabet A-Za-z0-9-_")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(f"base64url text is cut: {error}") from error
    if encode(data) != text:
        raise ValueError("base64url text has unused trailing bits set")
    return data
