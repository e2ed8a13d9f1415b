"""A device's Ed25519 key as the key of an agreement (X25519, RFC 7748; spec 11 §2).

The secret half is what Ed25519 itself signs with, so no second key has to be made known.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha512
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from myownmesh.identity.keys import PUBLIC_KEY_BYTES
from myownmesh.protocol import base32

_FIELD: Final = 2**255 - 19
_SIGN_BIT: Final = 1 << 255
_CACHED: Final = 4096
"""Devices whose key is kept; making one costs four fifths of opening a message."""


@lru_cache(_CACHED)
def public_of(device_id: str) -> bytes | None:
    """The X25519 public key of a bare id; None for an id that cannot seal.

    Such are keys that are non-canonical, no point of the curve, of small order or outside the prime-order group.
    """
    key = base32.decode(device_id, PUBLIC_KEY_BYTES)
    if int.from_bytes(key, "little") & ~_SIGN_BIT >= _FIELD:
        return None
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(key)
    except (CryptoError, RuntimeError):
        return None


def secret_of(seed: bytes) -> bytes:
    """The X25519 secret key that belongs to an identity's seed, clamped (RFC 7748 §5)."""
    return clamped(sha512(seed).digest()[:32])


def clamped(secret: bytes) -> bytes:
    """32 bytes as an X25519 secret key."""
    value = bytearray(secret)
    value[0] &= 248
    value[31] = value[31] & 127 | 64
    return bytes(value)


def agreed(secret: bytes, public: bytes) -> bytes | None:
    """X25519; None for the all-zero result that keys of small order give."""
    try:
        shared = bindings.crypto_scalarmult(secret, public)
    except (CryptoError, RuntimeError):
        return None
    return shared if any(shared) else None
