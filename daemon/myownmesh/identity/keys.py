"""The key pair of a device and signatures of others (spec 01 §2.2, §3.2).

Ed25519 through libsodium, whose check is strict: it refuses keys of small order and non-canonical encodings, and
accepts every honest signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from attrs import evolve, field, frozen
from nacl import bindings
from nacl._sodium import ffi, lib
from nacl.exceptions import BadSignatureError

from myownmesh.protocol import base32
from myownmesh.protocol.ids import BadDeviceId, parse_device_id

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


@frozen
class Identity:
    """This device: its secret seed, the id that follows from it, and the label that it tells others."""

    seed: bytes = field(repr=False)
    device_id: str
    """Bare id."""
    label: str = ""
    _secret_key: bytes = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise ValueError(f"an identity seed has {SEED_BYTES} bytes, this one has {len(self.seed)}")
        public_key, secret_key = bindings.crypto_sign_seed_keypair(self.seed)
        derived = base32.encode(public_key)
        # With an id of another key every handshake would fail at the far end, where nobody could tell why.
        if derived != self.device_id:
            raise ValueError(f"device id {self.device_id} does not belong to this seed, which gives {derived}")
        object.__setattr__(self, "_secret_key", secret_key)

    @classmethod
    def from_seed(cls, seed: bytes, label: str = "") -> Self:
        """Derive the identity of a 32-byte seed. Raises `ValueError` for any other length."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an identity seed has {SEED_BYTES} bytes, this one has {len(seed)}")
        public_key, _ = bindings.crypto_sign_seed_keypair(seed)
        return cls(seed, base32.encode(public_key), label)

    def with_label(self, label: str) -> Self:
        """The same device under another label."""
        return evolve(self, label=label)

    def sign(self, payload: bytes) -> bytes:
        """The 64-byte signature over `payload`."""
        return bindings.crypto_sign(payload, self._secret_key)[:SIGNATURE_BYTES]


def verify(device_id: str, payload: bytes, signature: bytes) -> bool:
    """True when the device signed exactly `payload`. An unreadable id or a wrong length is a failed check.

    `device_id` may carry a display suffix; its value proves nothing and is not looked at.
    """
    try:
        public_key = base32.decode(parse_device_id(device_id), PUBLIC_KEY_BYTES)
    except BadDeviceId:
        return False
    return verify_with(public_key, payload, signature)


def verify_with(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    """True when the owner of a 32-byte public key signed exactly `payload`. A wrong length is a failed check."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + payload, public_key)
    except BadSignatureError:
        return False
    return True


def verify_each(signed: Iterable[tuple[bytes, bytes]]) -> list[bool]:
    """`verify_with` for many: each is a public key of 32 bytes, and a signature with its payload behind it.

    Asks libsodium itself: `bindings.crypto_sign_open` makes a copy of each payload, which nobody looks at, and that is
    a twentieth of the time.
    """
    check, nothing = lib.crypto_sign_open, ffi.NULL
    # A shorter key would be read beyond its end, where the binding behind PyNaCl does not look either.
    return [
        len(key) == PUBLIC_KEY_BYTES and check(nothing, nothing, message, len(message), key) == 0
        for key, message in signed
    ]
