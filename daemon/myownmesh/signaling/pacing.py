"""Waits that are the same on every run and rates that never burst beyond a bound (spec 03 §8.2, §8.3, §9.3, §10.1)."""

from __future__ import annotations

import hashlib

ANNOUNCE_FIRST_WAIT_MS = 30_000
ANNOUNCE_WAIT_MS = 120_000
QUIET_WAIT_MS = 720_000
"""Where nobody is missed: five or six an hour, whatever the jitter."""
_ROUNDING_S = 0.001
_RECONNECT_CEILING_S = 60
_MAX_ATTEMPT = 6


def jittered_ms(base_ms: int, seed: str, salt: int) -> int:
    """`base_ms` ± 15 %, decided by seed and salt alone, so that many devices spread and one device repeats itself."""
    span = base_ms * 30 // 100
    if span == 0:
        return base_ms
    digest = hashlib.sha256(seed.encode() + salt.to_bytes(8, "little")).digest()
    return base_ms - base_ms * 15 // 100 + int.from_bytes(digest[:8], "little") % (span + 1)


def announce_wait_ms(device_id: str, index: int, *, quiet: bool = False) -> int:
    """Milliseconds from the index-th ticker announce to the next; index 0 is the one at the start."""
    if quiet:
        return jittered_ms(QUIET_WAIT_MS, device_id, index)
    return ANNOUNCE_FIRST_WAIT_MS if index == 0 else jittered_ms(ANNOUNCE_WAIT_MS, device_id, index)


def seconds_until(due: float | None, now: float) -> float:
    """How long to sleep so that `due` has certainly come; for ever when it is None."""
    # A millisecond more than the difference: a sleep that rounds down would wake up too early, for ever.
    return float("inf") if due is None else max(0.0, due - now) + _ROUNDING_S


OUTAGE_FIRST_WAIT_S = 1.0
OUTAGE_SHARE = 0.05
OUTAGE_CEILING_S = 15.0
"""A relay that served us and is gone is dialled so often that its return is noticed within a twentieth of its outage,
and within 15 s at most: some 130 dials in the first twenty minutes, and from then on 240 an hour, each of which is a
packet and its refusal where nobody listens. Whoever asks, and a network that changes, has it dialled at once."""


BREAKS_FORGIVEN = 6
"""Ends in a row of a link that was served and broke without a word, before each makes the next wait longer: who is
started anew a few times is found at once, who drops everybody that comes is not hammered."""


class Backoff:
    """How long a relay link waits before its next dial; a link that was stable starts over."""

    def __init__(self, device_id: str, room: str, url: str) -> None:
        self._seed = f"{device_id}:{room}:{url}"
        self._attempt = 0
        self._outage_dials = 0
        self._breaks = 0

    def reset(self) -> None:
        self._attempt = self._outage_dials = self._breaks = 0

    def served(self) -> None:
        """The relay has served us again: dials while nobody was there are no reason to wait longer the next time."""
        self._outage_dials = 0

    def next_wait_ms(self, outage_s: float | None = None, *, broke: bool = False) -> int:
        """`outage_s`: how long a relay has been away that served us before; the wait is shorter then.

        `broke`: it has served us, and hung up without a word.
        """
        if broke and self._breaks < BREAKS_FORGIVEN:
            self._breaks += 1
            self._attempt = max(self._attempt, 1)
        elif outage_s is None:
            self._attempt = min(self._attempt + 1, _MAX_ATTEMPT)
        else:
            self._outage_dials = min(self._outage_dials + 1, _MAX_ATTEMPT)
        dials = min(self._attempt + self._outage_dials, _MAX_ATTEMPT)
        base_s: float = min(2**dials, _RECONNECT_CEILING_S)
        if outage_s is not None:
            base_s = min(base_s, max(OUTAGE_FIRST_WAIT_S, outage_s * OUTAGE_SHARE), OUTAGE_CEILING_S)
        return jittered_ms(round(base_s * 1000), self._seed, dials)
