"""Signing releases with minisign keys: the file format of minisign, without its program (spec 09 §7.4, §11.3)."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

_NO_PASSWORD = b"\0\0"  # key derivation "none": the key lives in a secret store, which is its protection


@dataclass(frozen=True)
class Signer:
    """A password-less minisign secret key."""

    key_id: bytes
    key: SigningKey

    @classmethod
    def new(cls) -> Signer:
        return cls(os.urandom(8), SigningKey.generate())

    @classmethod
    def load(cls, text: str) -> Signer:
        """From the content of a minisign.key file. Raises ValueError."""
        lines = [line for line in text.splitlines() if line.strip()]
        raw = base64.b64decode(lines[-1] if lines else "", validate=True)
        if len(raw) != 158 or raw[:2] != b"Ed" or raw[4:6] != b"B2":
            raise ValueError("not a minisign secret key")
        if raw[2:4] != _NO_PASSWORD:
            raise ValueError("the minisign key has a password; make a password-less one with minisign -G -W")
        key_id, secret, check = raw[54:62], raw[62:126], raw[126:158]
        if hashlib.blake2b(b"Ed" + key_id + secret, digest_size=32).digest() != check:
            raise ValueError("the minisign secret key is damaged")
        return cls(key_id, SigningKey(secret[:32]))

    @property
    def public(self) -> str:
        """The base64 line of minisign.pub; what `MYOWNMESH_TRUSTED_KEYS` wants."""
        return base64.b64encode(b"Ed" + self.key_id + bytes(self.key.verify_key)).decode()

    def save(self, path: Path) -> None:
        """Write the secret key, readable by its owner only; never over another key."""
        secret = bytes(self.key) + bytes(self.key.verify_key)
        check = hashlib.blake2b(b"Ed" + self.key_id + secret, digest_size=32).digest()
        raw = b"Ed" + _NO_PASSWORD + b"B2" + bytes(32) + bytes(16) + self.key_id + secret + check
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"untrusted comment: minisign secret key\n{base64.b64encode(raw).decode()}\n")

    def sign(self, data: bytes, asset: str, tag: str, epoch: int) -> bytes:
        """A `.minisig` whose trusted comment binds the bytes to this asset of this version."""
        signature = self.key.sign(hashlib.blake2b(data).digest()).signature
        digest = hashlib.sha256(data).hexdigest()
        comment = f"timestamp:{epoch}\tfile:{asset}\tproduct:myownmesh\tversion:{tag}\tsha256:{digest}\thashed"
        trusted = self.key.sign(signature + comment.encode()).signature
        lines = (
            "untrusted comment: signature of a myownmesh release",
            base64.b64encode(b"ED" + self.key_id + signature).decode(),
            f"trusted comment: {comment}",
            base64.b64encode(trusted).decode(),
        )
        return ("\n".join(lines) + "\n").encode()
