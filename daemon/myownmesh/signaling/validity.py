"""Whether a certificate that our clock calls out of date may be valid all the same, because our clock is wrong. Pure.

OpenSSL has checked everything but the dates by then: the name, and who vouches for it. `judge` decides about the dates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from myownmesh.signaling.clockoffset import CEILING_MS, FLOOR_MS

if TYPE_CHECKING:
    from collections.abc import Sequence


class Period(Struct, frozen=True):
    """From when until when a certificate is valid, both included, in Unix milliseconds."""

    begins_ms: int
    ends_ms: int


class Verdict(Struct, frozen=True):
    """`problem` is empty where the certificates hold; else it says why not, and ends without a full stop."""

    problem: str
    told_ms: int | None = None
    """The time that their holder told, where they are valid at it; it may serve as a voice beside others."""


_OFFENCE: Final = "or this device's clock is wrong"


def judge(chain: Sequence[Period], *, clock_ms: int, holder_ms: int | None, others_ms: int | None) -> Verdict:
    """What to make of a chain of which at least one certificate is out of date by our clock, which shows `clock_ms`.

    `holder_ms` is the time that the other end tells over this very connection, `others_ms` what others tell who are not
    it; each None when there is none. Where others tell the time, theirs counts. Else the holder's word is enough to
    move our clock forward, to a time at which its certificates are valid: nobody has certificates from the future. It
    is never enough to move it back, for so it would talk itself out of an expired one.
    """
    begins, ends = max(each.begins_ms for each in chain), min(each.ends_ms for each in chain)
    out_of_date = (
        f"its certificate is valid from {_day(begins)} to {_day(ends)}, and this device's clock shows {_day(clock_ms)}"
    )
    told_ms = holder_ms if holder_ms is not None and _is_within(holder_ms, begins, ends) else None
    if others_ms is not None:
        if _is_within(others_ms, begins, ends):
            return Verdict("", told_ms)
        return Verdict(f"{out_of_date}; by what others tell it is {_day(others_ms)}", told_ms)
    if told_ms is None:
        return Verdict(f"{out_of_date}: it is out of date, {_OFFENCE}")
    if told_ms > clock_ms:
        return Verdict("", told_ms)
    days = round((clock_ms - told_ms) / 86_400_000)
    return Verdict(f"{out_of_date}, {days} days later than the relay's: it has expired, {_OFFENCE}", told_ms)


def _is_within(moment_ms: int, begins_ms: int, ends_ms: int) -> bool:
    return max(begins_ms, FLOOR_MS) <= moment_ms <= min(ends_ms, CEILING_MS)


def _day(moment_ms: int) -> str:
    try:
        return datetime.fromtimestamp(moment_ms / 1000, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):  # years that Python does not know
        return f"{moment_ms / 31_557_600_000 + 1970:.0f}"
