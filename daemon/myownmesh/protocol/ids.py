"""Device ids, network ids and the short random texts of the mesh (spec 01 §2.3, §2.4, §3.4, §16).

A device id is the base32 text of a public key. People see it with a five-digit suffix; every other place holds it bare,
so that ids compare byte for byte. `parse_device_id` stands at the entry points and nothing behind them strips again.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, Protocol

from myownmesh.protocol import base32

NONCE_BYTES: Final = 32
REQUEST_ID_BYTES: Final = 12
VERIFICATION_CODE_LENGTH: Final = 6
GENERATED_NETWORK_ID_LENGTH: Final = 8
MIN_NETWORK_ID_LENGTH: Final = 3
MAX_NETWORK_ID_LENGTH: Final = 64

_ALPHABET36: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_SUFFIX_LENGTH: Final = 5
_REQUEST_ID_FULL: Final = REQUEST_ID_BYTES * 8 // 5
"""Characters of a request id that carry five bits."""
_LETTER_OF_5_BITS: Final = base32.ALPHABET * 8
_LETTER_OF_1_BIT: Final = b"a" * 128 + b"q" * 128
"""By a random byte."""
_DEVICE_ID: Final = re.compile(r"[a-z2-7]{51}[aq]")
_NETWORK_ID_CHARACTER: Final = re.compile(r"[a-z0-9_-]")
# The Unicode property White_Space. str.strip() would also take U+001C…U+001F, which separate nothing here.
WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


class Rng(Protocol):
    """A source of random bytes; `random.SystemRandom` in production, a seeded `random.Random` in tests."""

    def randbytes(self, n: int, /) -> bytes: ...


class BadDeviceId(ValueError):
    """The text is no device id."""


class BadNetworkId(ValueError):
    """The text is no network id; the message is the one that people see, without its class prefix."""


def pubkey_part(text: str) -> str:
    """Cut the display suffix off: one `-` with exactly five ASCII letters or digits behind it, at the end."""
    if text[-_SUFFIX_LENGTH - 1 : -_SUFFIX_LENGTH] != "-":
        return text  # bare already, as nearly always
    tail = text[-_SUFFIX_LENGTH:]
    return text[: -_SUFFIX_LENGTH - 1] if tail.isascii() and tail.isalnum() else text


def is_device_id(text: str) -> bool:
    """True for a bare id: 52 characters that spell 32 bytes in the one permitted way."""
    return _DEVICE_ID.fullmatch(text) is not None


def parse_device_id(text: str) -> str:
    """Return the bare id that `text` names, with or without its display suffix. Raises `BadDeviceId`."""
    bare = pubkey_part(text)
    if not is_device_id(bare):
        raise BadDeviceId(f"not a device id: {short_id(ascii(text)[1:-1])}")
    return bare


def device_suffix(device_id: str) -> str:
    """Five upper-case hex digits of the SHA-256 over the id's text, for people who compare two ids."""
    return sha256(device_id.encode()).hexdigest()[:_SUFFIX_LENGTH].upper()


def display_id(device_id: str) -> str:
    """The id with its suffix, as people see it."""
    return f"{device_id}-{device_suffix(device_id)}"


def short_id(device_id: str) -> str:
    """An id for log lines: the first six and the last four characters of anything longer than twelve."""
    return device_id if len(device_id) <= 12 else f"{device_id[:6]}…{device_id[-4:]}"


def normalize_network_id(text: str) -> str:
    """Return the network id that a person meant: trimmed, lower-cased and checked. Raises `BadNetworkId`.

    Lower-casing and lengths follow Unicode and UTF-8, which decides only what the error says: nothing but ASCII joins.
    """
    trimmed = text.strip(WHITE_SPACE)
    lowered = trimmed.lower()
    nbytes = len(lowered.encode("utf-8", "surrogatepass"))
    if nbytes == 0:
        raise BadNetworkId("network id is empty")
    if nbytes < MIN_NETWORK_ID_LENGTH:
        raise BadNetworkId(f"network id must be at least {MIN_NETWORK_ID_LENGTH} characters")
    if nbytes > MAX_NETWORK_ID_LENGTH:
        raise BadNetworkId(f"network id must be {MAX_NETWORK_ID_LENGTH} characters or fewer")
    offender = next((c for c in lowered if not _NETWORK_ID_CHARACTER.match(c)), None)
    if offender is None:
        # A Kelvin sign lower-cases to "k": two spellings that look alike must not name one network.
        offender = next((c for c in trimmed if not c.isascii()), None)
    if offender is not None:
        raise BadNetworkId(f"network id contains '{offender}'; only letters, digits, '-', and '_' are allowed")
    return lowered


def generate_network_id(rng: Rng) -> str:
    """Eight random characters, for a person who does not care how the network is called."""
    return _random36(rng, GENERATED_NETWORK_ID_LENGTH)


def random_code(rng: Rng) -> str:
    """A verification code: six characters that one person reads out to another."""
    return _random36(rng, VERIFICATION_CODE_LENGTH)


def random_nonce(rng: Rng) -> str:
    """A handshake nonce: 32 random bytes in base32."""
    return base32.encode(rng.randbytes(NONCE_BYTES))


def random_request_ids(rng: Rng, count: int) -> list[str]:
    """RPC request ids, each 12 random bytes in base32; many at once are little work."""
    # The 96 bits as they are spelled: 19 characters of five bits, and one bit in the last.
    texts = rng.randbytes(count * _REQUEST_ID_FULL).translate(_LETTER_OF_5_BITS).decode()
    lasts = rng.randbytes(count).translate(_LETTER_OF_1_BIT).decode()
    return [texts[at * _REQUEST_ID_FULL : (at + 1) * _REQUEST_ID_FULL] + last for at, last in enumerate(lasts)]


def _random36(rng: Rng, length: int) -> str:
    # The first four letters come up a little more often; the codes are not secrets, and the wire knows no other rule.
    return "".join(_ALPHABET36[byte % 36] for byte in rng.randbytes(length))
