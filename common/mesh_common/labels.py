"""Labels: free text of people and peers, made safe to keep, to send and to show (spec 01 §9, §20 item 16)."""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_LABEL_BYTES: Final = 256
"""Longest label in UTF-8: it rides in every hello and in every roster entry."""

# What reorders or breaks the text around it: a label must not change how the line that shows it reads.
_UNSAFE: Final = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def label_problem(text: str) -> str | None:
    """Why `text` cannot be this device's own label, or None: peers would not show a longer one (spec 10 §2.1)."""
    nbytes = len(text.encode())
    if nbytes <= MAX_LABEL_BYTES:
        return None
    return f"label of {nbytes} bytes exceeds the {MAX_LABEL_BYTES}-byte limit; choose a shorter one"


def clean_label(text: str) -> str:
    """`text` without control characters, cut to `MAX_LABEL_BYTES` between two characters."""
    if text.isascii() and text.isprintable():
        return text[:MAX_LABEL_BYTES]  # as nearly always
    kept = "".join(c for c in text if c not in _UNSAFE and unicodedata.category(c) not in ("Cc", "Cs"))
    return kept.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")


def shown(text: str, limit: int = 200) -> str:
    """Text of a peer for a screen: bounded, no control or direction-changing characters (spec 08 FE-10.7)."""
    return "".join(c for c in text[:limit] if c.isprintable() and c not in _UNSAFE)
