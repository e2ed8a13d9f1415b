"""Digests in the spelling of the wire: SHA-256 as 52 characters of lower-case base32 without padding. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

SHA256_B32: Final = re.compile(r"[a-z2-7]{52}\Z")


def base32(digest: bytes) -> str:
    """The spelling of a finished digest."""
    return base64.b32encode(digest).decode().rstrip("=").lower()


def sha256_base32(data: bytes) -> str:
    """The digest of bytes that are at hand."""
    return base32(hashlib.sha256(data).digest())
