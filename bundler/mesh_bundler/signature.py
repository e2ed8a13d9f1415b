"""minisign signatures of release assets, bound to asset name and version (spec 09 §7.4).

A valid signature says who made a file; the trusted comment says which file it is. Both are checked, so that a genuine
older or foreign asset under the wanted name is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from mesh_bundler.errors import Exit, Refused

SIGNATURE_MAX_BYTES = 16_384

_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_WHY = {
    "malformed": "the signature file is damaged",
    "legacy_algorithm": "it uses the old algorithm that signs the file without hashing it",
    "unknown_key": "it was made with a key that is not trusted here",
    "bad_signature": "it does not belong to these bytes",
    "bad_global_signature": "its trusted comment was changed",
    "wrong_asset": "it was made for another file",
    "wrong_version": "it was made for another version",
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A minisign public key; `key_id` is printed the way minisign prints it."""

    id_bytes: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """From base64 as in a minisign.pub file. Raises ValueError."""
        raw = _base64(text.strip(), 42)
        if raw is None or raw[:2] != b"Ed":
            raise ValueError(f"not a minisign public key: {text[:60]!r}")
        return cls(raw[2:10], raw[10:])

    @property
    def key_id(self) -> str:
        return self.id_bytes[::-1].hex().upper()


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """`ok`, `ok_unbound` (valid, but the comment names no version) or a reason of refusal."""

    verdict: str
    key_id: str | None = None

    @property
    def valid(self) -> bool:
        return self.verdict in ("ok", "ok_unbound")


@dataclass(frozen=True, slots=True)
class SignedDigests:
    """What a signature covers: BLAKE2b-512 (signed) and SHA-256 (named in the comment) of the file."""

    blake2b: bytes
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> SignedDigests:
        return cls(hashlib.blake2b(data).digest(), hashlib.sha256(data).hexdigest())


def verify(
    minisig: bytes, digests: SignedDigests, trusted: tuple[PublicKey, ...], *, asset: str, tag: str
) -> SignatureVerdict:
    """Judge one `.minisig` file. Total: every input gives a verdict."""
    parts = _split(minisig)
    if parts is None:
        return SignatureVerdict("malformed")
    signature, comment, global_signature = parts
    if signature[:2] == b"Ed":
        return SignatureVerdict("legacy_algorithm")
    if signature[:2] != b"ED":
        return SignatureVerdict("malformed")
    key = next((key for key in trusted if key.id_bytes == signature[2:10]), None)
    if key is None:
        return SignatureVerdict("unknown_key", signature[2:10][::-1].hex().upper())
    if not _ed25519(key.key, digests.blake2b, signature[10:]):
        return SignatureVerdict("bad_signature", key.key_id)
    if not _ed25519(key.key, signature[10:] + comment.encode(), global_signature):
        return SignatureVerdict("bad_global_signature", key.key_id)
    return SignatureVerdict(_binding(comment, digests.sha256, asset, tag), key.key_id)


def refusal(verdict: SignatureVerdict, asset: str, tag: str) -> Refused:
    """The error for a verdict that is not valid."""
    return Refused(
        "bad_signature" if verdict.verdict == "bad_global_signature" else verdict.verdict,
        Exit.INTEGRITY,
        f"The signature of {asset} at {tag} is refused: {_WHY[verdict.verdict]}.",
        hint="Nothing was staged. If the publisher changed keys, add the new one to MYOWNMESH_TRUSTED_KEYS.",
        asset=asset,
        tag=tag,
        key_id=verdict.key_id,
        verdict=verdict.verdict,
    )


def _binding(comment: str, sha256: str, asset: str, tag: str) -> str:
    values: dict[str, set[str]] = {}
    for word in comment.split("\t"):
        name, _, value = word.partition(":")
        values.setdefault(name, set()).add(value)
    if values.get("file") != {asset} or values.get("sha256", {sha256}) != {sha256}:
        return "wrong_asset"
    if "version" not in values:
        return "ok_unbound"
    return "ok" if values["version"] == {tag} else "wrong_version"


def _split(minisig: bytes) -> tuple[bytes, str, bytes] | None:
    if len(minisig) > SIGNATURE_MAX_BYTES:
        return None
    try:
        text = minisig.decode("utf-8")
    except UnicodeDecodeError:
        return None
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) != 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
        return None
    signature, global_signature = _base64(lines[1], 74), _base64(lines[3], 64)
    if signature is None or global_signature is None:
        return None
    return signature, lines[2].removeprefix(_TRUSTED), global_signature


def _base64(text: str, size: int) -> bytes | None:
    """Canonical base64 of exactly `size` bytes, else None."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == size and base64.b64encode(raw).decode() == text else None


def _ed25519(key: bytes, message: bytes, signature: bytes) -> bool:
    # Imported here: a build without signatures never needs libsodium, and `check` must start fast.
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True
