"""Sealed and signed signaling by the text of spec 11 §2 alone: another library, nothing of ours.

Ed25519, X25519 and ChaCha20 come from `cryptography`; XChaCha20 and the way from one curve to the other, which it does
not have, are written out here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

P = 2**255 - 19
CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def unbase32(text: str) -> bytes:
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


def device_id(seed: bytes) -> str:
    return base32(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def montgomery(device: str) -> bytes:
    """u = (1 + y) / (1 - y); the sign bit of the Ed25519 key tells only which x."""
    y = int.from_bytes(unbase32(device), "little") & (2**255 - 1)
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")


def scalar(seed: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:32])  # clamped where it is used


def agree(secret: X25519PrivateKey, public: bytes) -> bytes:
    return secret.exchange(X25519PublicKey.from_public_bytes(public))


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """Rows 0 and 3 of the state after the rounds: what the keystream is, less what was added at its end."""
    stream = Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(64))
    words = struct.unpack("<16I", stream)
    before = (*CONSTANTS, *struct.unpack("<4I", nonce))
    after = (*words[:4], *words[12:])
    return struct.pack("<8I", *((a - b) % 2**32 for a, b in zip(after, before, strict=True)))


def cipher(key: bytes) -> ChaCha20Poly1305:
    """XChaCha20-Poly1305 under the nonce of 24 zero bytes."""
    return ChaCha20Poly1305(hchacha20(key, bytes(16)))


def key_of(dh1: bytes, dh2: bytes, epk: bytes, sender: bytes, receiver: bytes) -> bytes:
    text = dh1 + dh2 + epk + sender + receiver
    return hashlib.blake2b(text, digest_size=32, key=b"myownmesh-seal-v1").digest()


def padded(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 256)


def seal(seed: bytes, to: str, room: str, kind: str, offer_id: str, content: dict[str, Any], fresh: bytes) -> str:
    """`eseal` of a message to the device `to`."""
    me = device_id(seed)
    once, ours, theirs = X25519PrivateKey.from_private_bytes(fresh), montgomery(me), montgomery(to)
    epk = once.public_key().public_bytes_raw()
    key = key_of(agree(once, theirs), agree(scalar(seed), theirs), epk, ours, theirs)
    data = f"{room}|{me}|{to}|{kind}|{offer_id}".encode()
    sealed = epk + cipher(key).encrypt(bytes(12), padded(content), data)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def opened(seed: bytes, sender: str, room: str, kind: str, offer_id: str, text: str) -> dict[str, Any] | None:
    """What a message of `sender` says, None when it is not for us and now."""
    me = device_id(seed)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    epk, sealed = data[:32], data[32:]
    ours, theirs, mine = montgomery(me), montgomery(sender), scalar(seed)
    key = key_of(agree(mine, epk), agree(mine, theirs), epk, theirs, ours)
    try:
        plain = cipher(key).decrypt(bytes(12), sealed, f"{room}|{sender}|{me}|{kind}|{offer_id}".encode())
    except InvalidTag:
        return None
    found: dict[str, Any] = json.loads(plain)
    return found


def announce(room: str, device: str, t: int, key: str, caps: list[str]) -> bytes:
    return f"myownmesh-announce-v1:{room}|{device}|{t}|{key}|{','.join(caps)}".encode()


def leave(room: str, device: str, t: int, key: str) -> bytes:
    return f"myownmesh-leave-v1:{room}|{device}|{t}|{key}".encode()


def signature(seed: bytes, text: bytes) -> str:
    return base32(Ed25519PrivateKey.from_private_bytes(seed).sign(text))


def is_signed(device: str, text: bytes, signed: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(unbase32(device)).verify(unbase32(signed), text)
    except InvalidSignature:
        return False
    return True
