"""`.myownmesh-lock.json`: digests of every platform's asset at the pin, committed beside it (spec 09 §2.1). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from mesh_bundler.errors import Exit, Refused

LOCK_FORMAT = 1
LOCK_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LockEntry:
    """What one platform's asset must be. Binary digest and size are unknown for archives that were not unpacked."""

    name: str
    size: int
    sha256: str
    binary_sha256: str | None = None
    binary_size: int | None = None
    signature: str | None = None  # "minisign:<key id>"
    checksum_from: str = "sidecar"
    extra: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {
            **self.extra,
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256,
            "binary_sha256": self.binary_sha256,
            "binary_size": self.binary_size,
            "signature": self.signature,
            "checksum_from": self.checksum_from,
        }


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole file. `trusted_keys` can only narrow the keys that are trusted otherwise."""

    tool: str
    pin: str
    repo: str
    assets: dict[str, LockEntry]
    trusted_keys: tuple[str, ...] = ()
    extra: dict[str, object] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Keys sorted, two blanks, final newline: clean diffs."""
        document = {
            **self.extra,
            "format": LOCK_FORMAT,
            "tool": self.tool,
            "pin": self.pin,
            "repo": self.repo,
            "trusted_keys": list(self.trusted_keys),
            "assets": {platform: entry.to_json() for platform, entry in self.assets.items()},
        }
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def parse_lock(data: bytes) -> Lock:
    """Read a lock file. Raises `Refused`: `lock_unsupported` for another format, `lock_malformed` for the rest."""
    try:
        document = json.loads(data) if len(data) <= LOCK_MAX_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise unusable_lock("lock_malformed", "it is not a JSON object of bounded size")
    if document.get("format") != LOCK_FORMAT:
        raise unusable_lock(
            "lock_unsupported", f"its format is {document.get('format')!r}, this bundler knows {LOCK_FORMAT}"
        )
    known = ("format", "tool", "pin", "repo", "trusted_keys", "assets")
    assets, keys = document.get("assets"), document.get("trusted_keys", [])
    tool, pin, repo = (document.get(name) for name in ("tool", "pin", "repo"))
    texts = isinstance(tool, str) and isinstance(pin, str) and isinstance(repo, str)
    if not isinstance(assets, dict) or not isinstance(keys, list) or not texts:
        raise unusable_lock("lock_malformed", "a member is missing or has the wrong type")
    return Lock(
        str(tool),
        str(pin),
        str(repo),
        {platform: _entry(platform, row) for platform, row in assets.items()},
        tuple(str(key) for key in keys),
        {name: value for name, value in document.items() if name not in known},
    )


def _entry(platform: str, row: object) -> LockEntry:
    if not isinstance(row, dict):
        raise unusable_lock("lock_malformed", f"the entry for {platform} is not an object")
    name, size, sha256 = row.get("name"), row.get("size"), row.get("sha256")
    binary_sha256, binary_size = row.get("binary_sha256"), row.get("binary_size")
    sound = (
        isinstance(name, str)
        and type(size) is int
        and is_sha256(sha256)
        and (binary_sha256 is None or is_sha256(binary_sha256))
        and (binary_size is None or type(binary_size) is int)
    )
    if not sound:
        raise unusable_lock("lock_malformed", f"the entry for {platform} lacks a name, a size or a SHA-256 digest")
    known = ("name", "size", "sha256", "binary_sha256", "binary_size", "signature", "checksum_from")
    signature = row.get("signature")
    return LockEntry(
        str(name),
        int(size),  # type: ignore[arg-type]  # checked above
        str(sha256),
        binary_sha256,
        binary_size,
        signature if isinstance(signature, str) else None,
        str(row.get("checksum_from", "sidecar")),
        {key: value for key, value in row.items() if key not in known},
    )


def is_sha256(text: object) -> bool:
    """Exactly 64 lower-case hex digits."""
    return isinstance(text, str) and len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)


def out_of_date(locked: str, pin: str, exit_code: Exit = Exit.PIN) -> Refused:
    return Refused(
        "lock_out_of_date",
        exit_code,
        f"The lock file was written for {locked} and the pin is {pin}.",
        hint="Run mesh-bundler lock and commit the result together with the pin.",
        locked=locked,
        pin=pin,
    )


def unusable_lock(code: str, why: str) -> Refused:
    """`lock_malformed` or `lock_unsupported`: what locks the digests must not stop doing so in silence."""
    return Refused(
        code,
        Exit.PIN,
        f"The lock file cannot be used: {why}.",
        hint="Write it anew with mesh-bundler lock.",
    )
