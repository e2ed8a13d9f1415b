"""One sealed text (spec 11 §2.2): only its receiver can read it, and the receiver knows from whom it is.

Two agreements go into the key. That of a fresh key pair with the receiver hides the text, also from whoever gets the
sender's key later; that of the two devices proves the sender. The key is new for each text, hence the fixed nonce.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from attrs import field, frozen
from nacl import bindings
from nacl.exceptions import CryptoError

from mesh_common.values import Value
from myownmesh.protocol import base64url
from myownmesh.protocol.offer_ids import is_canonical
from myownmesh.sealing.keys import agreed, clamped

MAX_SEALED_CHARACTERS: Final = 16_384
_PURPOSE: Final = b"myownmesh-seal-v1"
_NONCE: Final = bytes(24)
_KEY_BYTES: Final = 32


class Way(Value, frozen=True):
    """Who seals for whom, and for which message: the text opens under exactly this."""

    room: str
    """The room's handle (spec 03 §2)."""
    sender: str
    """Bare id."""
    receiver: str
    """Bare id."""
    kind: str
    """``offer``, ``answer`` or ``candidate``."""
    offer_id: str

    @property
    def associated_data(self) -> bytes:
        return f"{self.room}|{self.sender}|{self.receiver}|{self.kind}|{self.offer_id}".encode()


@frozen
class Pair:
    """What two devices know of each other: our secret key, and both public ones."""

    secret: bytes = field(repr=False)
    ours: bytes
    theirs: bytes
    proving: bytes | None = field(init=False, repr=False)
    """The agreement of both devices, the same for all their messages; None when their key allows none."""

    @proving.default
    def _agree(self) -> bytes | None:
        return agreed(self.secret, self.theirs)


def seal(pair: Pair, way: Way, plaintext: bytes, fresh: bytes) -> str | None:
    """The text that carries `plaintext`, or None when their key allows no agreement.

    `fresh` are 32 random bytes that are used for nothing else, ever.
    """
    secret = clamped(fresh)
    ephemeral = bindings.crypto_scalarmult_base(secret)
    hiding, proving = agreed(secret, pair.theirs), pair.proving
    if hiding is None or proving is None:
        return None
    key = _key(hiding, proving, ephemeral, pair.ours, pair.theirs)
    sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, way.associated_data, _NONCE, key)
    return base64url.encode(ephemeral + sealed)


def opened(pair: Pair, way: Way, text: str) -> bytes | None:
    """What `text` holds if it was sealed by `way.sender` for us and for this message, else None. Never raises."""
    if len(text) > MAX_SEALED_CHARACTERS or not is_canonical(way.offer_id):
        return None
    try:
        data = base64url.decode(text)
    except ValueError:
        return None
    ephemeral, sealed = data[:_KEY_BYTES], data[_KEY_BYTES:]
    if len(sealed) < bindings.crypto_aead_xchacha20poly1305_ietf_ABYTES:
        return None
    hiding, proving = agreed(pair.secret, ephemeral), pair.proving
    if hiding is None or proving is None:
        return None
    key = _key(hiding, proving, ephemeral, pair.theirs, pair.ours)
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, way.associated_data, _NONCE, key)
    except CryptoError:
        return None


def _key(hiding: bytes, proving: bytes, ephemeral: bytes, sender: bytes, receiver: bytes) -> bytes:
    return blake2b(hiding + proving + ephemeral + sender + receiver, digest_size=_KEY_BYTES, key=_PURPOSE).digest()
