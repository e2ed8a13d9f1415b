"""JSON texts from relays and clients, read as strictly as the reference reads them (spec 03 §5.1, §6, §19.2)."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 127
"""Containers inside containers; deeper texts are refused before any recursion."""
# A string, closed or not, or a bracket outside of strings; no text can be matched in two ways, so it is linear.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


class JsonObject(dict[str, Any]):
    """An object that remembers which members the text repeated."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: frozenset[str] = frozenset()
        if len(self) != len(pairs):
            seen: set[str] = set()
            self.repeated = frozenset(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def parse_json(text: str) -> Any:
    """The value of a text; objects are `JsonObject`.

    Raises:
        ValueError: no JSON, nested deeper than 127, a number outside the range of a double, NaN or Infinity,
            or a string that is not encodable as UTF-8 (a lone surrogate).
    """
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(text):
        raise ValueError("JSON is nested deeper than 127")
    value = json.loads(text, object_pairs_hook=JsonObject, parse_float=_finite, parse_constant=_no_constant)
    if "\\u" in text:
        # Only an escape can make a lone surrogate out of a text that was valid UTF-8.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def compact_json(value: object) -> str:
    """The one text that event ids are computed over: no spaces, only quotes, backslashes and C0 controls escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"not JSON: {text}")


def _is_too_deep(text: str) -> bool:
    depth = 0
    for token in _TOKEN.finditer(text):
        first = token.group()[0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif first in "]}":
            depth -= 1
    return False
