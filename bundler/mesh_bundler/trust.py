"""What makes an archive trustworthy: digests, signatures, and a floor for both (spec 09 §7.4, §7.5)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh_bundler import signature
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.files import CHUNK, file_refusal
from mesh_bundler.plan import REVOKED_KEYS
from mesh_bundler.policy import rank
from mesh_common.files import open_regular
from mesh_common.semver import SemVer

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.plan import Plan

_LAST_UNBOUND = (0, 3, 8)
"""Last reference release whose signatures do not name their version."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The digest that the bytes must have, and who said so."""

    sha256: str
    source: str  # "lock" | "sidecar" | "api_digest"


@dataclass(frozen=True, slots=True)
class Judged:
    """What was proven about a file: its digest and size, and what vouches for it."""

    sha256: str
    size: int
    level: str  # "lock" | "signature" | "checksum"
    key_id: str | None


class Trust:
    """Judges files that claim to be one asset, by the keys, the lock and the policy of one plan."""

    def __init__(self, plan: Plan, asset: str) -> None:
        self._plan, self._asset = plan, asset
        self.keys = _parsed_keys(plan)

    def judge(self, path: Path, tag: str, expected: Expected | None, minisig: bytes | None) -> Judged:
        """What the bytes on disk prove, or `Refused`. Hashes the whole file once, whatever parts it came in."""
        digests, size = _digests(path, with_blake=minisig is not None)
        if expected is not None and digests.sha256 != expected.sha256:
            raise Refused(
                "checksum_mismatch",
                Exit.INTEGRITY,
                f"{self._asset} has SHA-256 {digests.sha256}, but {expected.sha256} was expected (from the "
                f"{'lock file' if expected.source == 'lock' else 'release'}).",
                hint="Nothing was staged. A proxy, a damaged disk or a replaced release: check, then run again.",
                asset=self._asset,
                actual=digests.sha256,
                expected=expected.sha256,
            )
        verdict = self._signature_verdict(tag, digests, minisig)
        locked = expected is not None and expected.source == "lock"
        level = "lock" if locked else "signature" if verdict is not None else "checksum" if expected else "none"
        self._require(level, tag, signed=verdict is not None)
        return Judged(digests.sha256, size, level, None if verdict is None else verdict.key_id)

    def _signature_verdict(
        self, tag: str, digests: signature.SignedDigests, minisig: bytes | None
    ) -> signature.SignatureVerdict | None:
        if not self.keys or minisig is None:
            return None
        verdict = signature.verify(minisig, digests, self.keys, asset=self._asset, tag=tag)
        if not verdict.valid:
            raise signature.refusal(verdict, self._asset, tag)
        if verdict.verdict == "ok_unbound" and not self._unbound_allowed(tag):
            raise Refused(
                "signature_unbound",
                Exit.INTEGRITY,
                f"The signature of {self._asset} does not say that it is for {tag}.",
                hint="Nothing was staged. Pass --allow-unbound-signature if this publisher never binds versions.",
                asset=self._asset,
                tag=tag,
            )
        return verdict

    def _unbound_allowed(self, tag: str) -> bool:
        asked = self._plan.request.allow_unbound_signature
        if asked is not None:
            return asked
        version = SemVer.parse(tag.removeprefix("v"))
        return version is not None and version.core <= _LAST_UNBOUND

    def _require(self, level: str, tag: str, *, signed: bool) -> None:
        floor = self._plan.policy.floor
        if rank(level) >= rank(floor) and level != "none":
            return
        missing = "signature" if floor == "signature" and not signed else floor
        raise Refused(
            f"{missing}_missing",
            Exit.INTEGRITY,
            f"{self._asset} at {tag} is verified by {level} only, and {floor} is required.",
            hint="Nothing was staged. Lock the release with mesh-bundler lock, or lower --require-verification.",
            asset=self._asset,
            tag=tag,
            level=level,
            floor=floor,
        )


def _parsed_keys(plan: Plan) -> tuple[signature.PublicKey, ...]:
    keys = []
    for text in plan.trusted_keys():
        try:
            keys.append(signature.PublicKey.parse(text))
        except ValueError as error:
            raise Refused(
                "bad_trusted_key",
                Exit.USAGE,
                f"A trusted key cannot be read: {error}.",
                hint="Keys are the base64 line of a minisign public key file.",
            ) from None
    narrowed = set() if plan.lock is None else set(plan.lock.trusted_keys)
    return tuple(key for key in keys if key.key_id not in REVOKED_KEYS and (not narrowed or key.key_id in narrowed))


def _digests(path: Path, *, with_blake: bool) -> tuple[signature.SignedDigests, int]:
    sha256, blake = hashlib.sha256(), hashlib.blake2b()
    size = 0
    try:
        with open_regular(path) as file:
            while data := file.read(CHUNK):
                sha256.update(data)
                if with_blake:
                    blake.update(data)
                size += len(data)
    except OSError as error:
        raise file_refusal(error, path) from error
    return signature.SignedDigests(blake.digest(), sha256.hexdigest()), size
