"""Recovery codes: ten of fifty bits each, kept as hashes and good for one use."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from myownmesh.protocol import base32

if TYPE_CHECKING:
    from collections.abc import Iterable

COUNT: Final = 10
RANDOM_BYTES: Final = 8
_SHOWN: Final = 10


def code_from(random: bytes) -> str:
    """The code made of `RANDOM_BYTES` random bytes, as it is shown: ``xxxxx-xxxxx``."""
    text = base32.encode(random)[:_SHOWN]
    return f"{text[: _SHOWN // 2]}-{text[_SHOWN // 2 :]}"


def digest_of(code: str) -> str:
    """SHA-256 in hex of a code however it was typed: only ASCII letters and digits count, in lower case."""
    kept = "".join(character for character in code if character.isascii() and character.isalnum()).lower()
    return sha256(kept.encode()).hexdigest()


def matching(hashes: Iterable[str], code: str) -> str | None:
    """That of `hashes` which belongs to `code`; every one of them is compared, in constant time each."""
    digest = digest_of(code)
    found: str | None = None
    for known in hashes:
        if hmac.compare_digest(known.encode(), digest.encode()):
            found = known
    return found
