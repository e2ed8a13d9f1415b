"""Time-based one-time passwords (RFC 6238 over HMAC-SHA1, RFC 4226): six digits, a new code every thirty seconds."""

from __future__ import annotations

import hmac
import re
from typing import Final

PERIOD_S: Final = 30
DIGITS: Final = 6
SECRET_BYTES: Final = 20

_CODE: Final = re.compile(r"[0-9]{6}")


def step_at(now: int) -> int:
    """The counter of RFC 6238 at `now`, in Unix seconds."""
    return now // PERIOD_S


def code_of(secret: bytes, step: int) -> str:
    """The code of one step (RFC 4226 §5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def accepted_step(secret: bytes, code: str, now: int, *, after: int = -1) -> int | None:
    """The step that `code` belongs to, of the previous, the present and the next one, or None.

    White space around the code is no part of it. Steps up to and including `after` were used and count no more. Which
    of the steps matched cannot be told from the time that this takes.
    """
    text = code.strip()
    if _CODE.fullmatch(text) is None:
        return None
    present = step_at(now)
    found: int | None = None
    for step in dict.fromkeys((max(present - 1, 0), present, present + 1)):
        if hmac.compare_digest(code_of(secret, step), text) and step > after:
            found = step
    return found
