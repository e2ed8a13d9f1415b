"""What keeps a relay from serving us: in its own words, and as one of a few kinds (spec 03 §8.2, §23-L, 05 §7.3)."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

MAX_WORDS = 200
"""Characters kept of what a relay says; a hosted relay's longest refusal has 60."""


class Kind(StrEnum):
    """Why a relay is of no use. The words are told to local clients, which choose the way out by them."""

    ADDRESS = "address"
    """What is configured is no relay address."""
    UNREACHABLE = "unreachable"
    """No name, no route, nobody listens, or no answer to the first packet."""
    TLS = "tls"
    HTTP = "http"
    """It answers the upgrade with another status, or with no HTTP at all."""
    CLOSED = "closed"
    """It hangs up."""
    SILENT = "silent"
    """It is connected and does not answer."""
    AUTH_REQUIRED = "auth-required"
    RESTRICTED = "restricted"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate-limited"
    POW = "pow"
    CLOCK = "clock"
    """It finds our events too old, or from the future."""
    INVALID = "invalid"
    ERROR = "error"
    """It refuses, and not in words that we know."""


class Trouble(Struct, frozen=True):
    """One of them, with the words for a person."""

    kind: Kind
    text: str


_PREFIXES = {
    "auth-required": Kind.AUTH_REQUIRED,
    "restricted": Kind.RESTRICTED,
    "blocked": Kind.BLOCKED,
    "mute": Kind.BLOCKED,
    "rate-limited": Kind.RATE_LIMITED,
    "pow": Kind.POW,
    "invalid": Kind.INVALID,
    "error": Kind.ERROR,
}
"""The machine-readable beginnings of NIP-01 and NIP-42."""

_CLOCK = "created[_ ]at|creation date|timestamp|too old|(in|from) the future|too far|event (has |is )?expired|clock"

_WORDS: tuple[tuple[Kind, str], ...] = (
    (Kind.CLOCK, _CLOCK),
    (Kind.RATE_LIMITED, "rate(?![a-z])|too many|slow down|too fast|quota"),
    (Kind.AUTH_REQUIRED, "auth(?!or(?!i))|unauth|log in|login"),
    (Kind.POW, "proof[ -]of[ -]work|pow(?![a-z])|difficulty|leading zero"),
    (Kind.BLOCKED, "block|banned|denied|forbidden"),
    (
        Kind.RESTRICTED,
        "restrict|not allowed|not welcome|white-?list|allow-?list|member|paid|payment|subscription (has )?expired|invit"
        "|web of trust",
    ),
    (Kind.INVALID, "invalid|bad(?![a-z])|malformed|parse|unsupported|unknown"),
)
"""How words begin in the sentences that relays write; the first that fits counts."""


def refusal(words: str) -> Trouble:
    """What a relay means by the text of an `OK false`, a `CLOSED` or a `NOTICE`."""
    text = printable(words)
    lower = text.lower()
    prefix, colon, _ = lower.partition(":")
    kind = _PREFIXES.get(prefix.strip()) if colon else None
    if kind in (None, Kind.INVALID, Kind.ERROR, Kind.BLOCKED) and _says(lower, _CLOCK):
        kind = Kind.CLOCK
    if kind in (None, Kind.ERROR):
        kind = next((each for each, words in _WORDS if _says(lower, words)), Kind.ERROR)
    return Trouble(kind, text or "no reason given")


def _says(text: str, words: str) -> bool:
    return re.search(f"(?<![a-z])(?:{words})", text) is not None


def printable(words: str) -> str:
    """Text of a relay as it may be shown: one line, bounded, nothing that a terminal obeys."""
    shown = "".join(c if c.isprintable() else " " for c in words[: 4 * MAX_WORDS])
    return " ".join(shown.split())[:MAX_WORDS]


def http_refusal(status: int) -> Trouble:
    """What the status means that a relay answers an upgrade with."""
    kind = {401: Kind.AUTH_REQUIRED, 403: Kind.RESTRICTED, 429: Kind.RATE_LIMITED}.get(status, Kind.HTTP)
    return Trouble(kind, f"the other end refuses WebSockets: HTTP {status}")
