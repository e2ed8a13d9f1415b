"""Signatures that say of themselves that their author uses each of them once (spec 02 §24.3 no. 42).

An Ed25519 signature repeats when the same author signs the same words twice, so a repetition cannot be told from a
replay. Ours draws its nonce at random until the SHA-256 of the signature begins with twelve zero bits: every verifier
takes it, and everybody can see for ever that this author never signs alike twice.
"""

from __future__ import annotations

from hashlib import sha256, sha512
from itertools import count
from typing import TYPE_CHECKING, Final

from nacl import bindings

from myownmesh.protocol import base32

if TYPE_CHECKING:
    from myownmesh.identity import Identity
    from myownmesh.protocol.ids import Rng

MARK_BITS: Final = 12
"""About 4 096 tries: a tenth of a second for the author, and a chance of 1 : 4 096 that others look marked."""
_LOWEST_UNMARKED: Final = 1 << (256 - MARK_BITS)
_SECRET_BYTES: Final = 32


def is_marked(signature: bytes) -> bool:
    """Whether the author of these 64 bytes promises to use them once."""
    return int.from_bytes(sha256(signature).digest(), "big") < _LOWEST_UNMARKED


def sign_marked(identity: Identity, payload: bytes, rng: Rng) -> str:
    """A marked signature over `payload`, as it travels. Takes a tenth of a second: not on the loop.

    The nonces come from the secret key as well as from `rng`, so that a bad `rng` repeats a signature at worst and
    never gives the key away.
    """
    expanded = sha512(identity.seed).digest()
    scalar = _reduced(_clamped(expanded[:_SECRET_BYTES]))
    public = base32.decode(identity.device_id, _SECRET_BYTES)
    drawn = rng.randbytes(_SECRET_BYTES)
    for attempt in count():
        secret = expanded[_SECRET_BYTES:] + drawn + attempt.to_bytes(8, "little")
        nonce = bindings.crypto_core_ed25519_scalar_reduce(sha512(secret + payload).digest())
        point = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
        challenge = bindings.crypto_core_ed25519_scalar_reduce(sha512(point + public + payload).digest())
        proof = bindings.crypto_core_ed25519_scalar_add(
            nonce, bindings.crypto_core_ed25519_scalar_mul(challenge, scalar)
        )
        if is_marked(point + proof):
            return base32.encode(point + proof)
    raise AssertionError("counting never ends")


def _clamped(secret: bytes) -> bytes:
    return bytes([secret[0] & 0xF8, *secret[1:31], (secret[31] & 0x7F) | 0x40])


def _reduced(scalar: bytes) -> bytes:
    return bindings.crypto_core_ed25519_scalar_reduce(scalar + bytes(_SECRET_BYTES))
