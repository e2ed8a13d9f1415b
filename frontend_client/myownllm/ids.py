"""Names of devices and networks as the app sees them: patterns, display forms, and what a person may type.

Pure. The daemon owns keys; the app only recognises an id by its shape (spec 08 §0) and never verifies anything with it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from myownllm.errors import NetworkIdError, PeerSelectorError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEVICE_ID: Final = re.compile(r"[a-z2-7]{52}\Z")
_DISPLAY_SUFFIX: Final = re.compile(r"-[0-9A-Za-z]{5}\Z")
_ELLIPSIS_FORM: Final = re.compile(r"([a-z2-7]{4,52})(?:…|\.\.\.)([0-9A-Fa-f]{5})\Z")
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
NETWORK_ID_MIN_CHARS: Final = 3
NETWORK_ID_MAX_CHARS: Final = 64
GENERATED_ID_CHARS: Final = 8
PREFIX_MIN_CHARS: Final = 4
"""Shorter prefixes are typing accidents."""


class Rng(Protocol):
    """The part of `random.Random` that minting ids needs; `random.SystemRandom` in production."""

    def randrange(self, stop: int, /) -> int: ...


class Named(Protocol):
    """Anything that stands for a device: has an id and the label that its owner gave it."""

    @property
    def device_pubkey(self) -> str: ...
    @property
    def label(self) -> str: ...


PeerT = TypeVar("PeerT", bound=Named)


def device_suffix(pubkey: str) -> str:
    """The five upper-case hex digits that follow a device id for people."""
    return hashlib.sha256(pubkey.encode()).hexdigest()[:5].upper()


def short_display(pubkey: str, suffix: str) -> str:
    """`abcdefgh…0A1B2`; empty without a key (spec 08 §5.5)."""
    return f"{pubkey[:8]}…{suffix}" if pubkey else ""


def bare_id(text: str) -> str:
    """Drop the display suffix once, if there is one."""
    return _DISPLAY_SUFFIX.sub("", text.strip())


def normalize_network_id(text: str) -> str:
    """Trim and lower-case a handle and check it by the daemon's rule.

    Raises NetworkIdError with the daemon's own text (without its `identity: ` prefix).
    """
    handle = text.strip().lower()
    if not handle:
        raise NetworkIdError("network id is empty")
    bad = next((c for c in handle if not (c.isascii() and (c.isalnum() or c in "-_"))), None)
    if bad is not None:
        raise NetworkIdError(f"network id contains '{bad}'; only letters, digits, '-', and '_' are allowed")
    if len(handle) < NETWORK_ID_MIN_CHARS:
        raise NetworkIdError(f"network id must be at least {NETWORK_ID_MIN_CHARS} characters")
    if len(handle) > NETWORK_ID_MAX_CHARS:
        raise NetworkIdError(f"network id must be {NETWORK_ID_MAX_CHARS} characters or fewer")
    return handle


def comparable_network_id(text: str) -> str:
    """The form in which two handles are compared (spec 08 FE-5.11); never raises."""
    return text.strip().lower()


def base36(number: int) -> str:
    """A non-negative integer in base 36, lower case."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _BASE36[rest] + digits
        if number == 0:
            return digits


def mint_network_config_id(now_ms: int, rng: Rng) -> str:
    """A local record id `net-<ms>-<random>` (spec 08 §6.3)."""
    return f"net-{base36(now_ms)}-{_random_base36(rng, 6)}"


def mint_prompt_id(now_ms: int, rng: Rng) -> str:
    """`prm-<ms>-<random>` (spec 08 §14)."""
    return f"prm-{base36(now_ms)}-{_random_base36(rng, 6)}"


def mint_conversation_id(now_ms: int, rng: Rng) -> str:
    """`<ms>-<random>` (spec 08 §9.7)."""
    return f"{base36(now_ms)}-{_random_base36(rng, 6)}"


def generate_network_id(rng: Rng) -> str:
    """A handle that nobody guesses: eight characters of base 36."""
    return _random_base36(rng, GENERATED_ID_CHARS)


def _random_base36(rng: Rng, length: int) -> str:
    return "".join(_BASE36[rng.randrange(36)] for _ in range(length))


def select_peer(text: str, known: Iterable[PeerT]) -> PeerT:
    """Find the one device that `text` means: its id, display id, short form, unique id prefix, or unique label.

    Raises PeerSelectorError that lists the choices when there is none or more than one.
    """
    peers = list(known)
    wanted = text.strip()
    short = _ELLIPSIS_FORM.match(wanted)
    if short:
        stem, suffix = short.group(1), short.group(2).upper()
        found = [p for p in peers if p.device_pubkey.startswith(stem) and device_suffix(p.device_pubkey) == suffix]
    else:
        key = bare_id(wanted)
        found = [p for p in peers if p.device_pubkey == key]
        if not found and len(key) >= PREFIX_MIN_CHARS:
            found = [p for p in peers if p.device_pubkey.startswith(key)]
        if not found:
            found = [p for p in peers if p.label == wanted] or [
                p for p in peers if p.label.casefold() == wanted.casefold()
            ]
    if len(found) == 1:
        return found[0]
    if found:
        raise PeerSelectorError(f"'{text}' means {len(found)} devices: {_choices(found)}; use more of the id")
    if not peers:
        raise PeerSelectorError(f"no peer '{text}': no device has been seen on this network yet")
    raise PeerSelectorError(f"no peer '{text}'; known here: {_choices(peers)}")


def _choices(peers: list[PeerT]) -> str:
    shown = ", ".join(
        f"{short_display(p.device_pubkey, device_suffix(p.device_pubkey))} ({p.label or 'no label'})" for p in peers[:8]
    )
    return shown + (f" and {len(peers) - 8} more" if len(peers) > 8 else "")
