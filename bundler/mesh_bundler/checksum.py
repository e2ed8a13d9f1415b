"""The `.sha256` file beside a release asset (spec 09 §7.3): exactly one digest for exactly our asset, or an error."""

from __future__ import annotations

import re

from mesh_bundler.errors import Exit, Refused

CHECKSUM_MAX_BYTES = 65_536

_DIGEST = r"[0-9a-fA-F]{64}"
_BARE = re.compile(rf"(?:sha256:)?({_DIGEST})")
_GNU = re.compile(rf"\\?({_DIGEST})[ \t]+\*?(.+)")
_BSD = re.compile(rf"SHA256 \((.+)\) = ({_DIGEST})")
_SEPARATOR = re.compile(r"[/\\]")

_WHY = {
    "checksum_file_too_large": f"it is larger than {CHECKSUM_MAX_BYTES} bytes",
    "checksum_file_is_html": "a web page came back instead (a login portal or a proxy answered)",
    "checksum_file_malformed": "it holds something else than SHA-256 checksums",
    "checksum_file_empty": "it is empty",
    "checksum_no_entry": "it does not list this asset",
    "checksum_conflict": "it lists two different checksums for this asset",
}


def parse_checksum_file(data: bytes, asset: str) -> str:
    """The lower-case SHA-256 digest of `asset`. Raises `Refused` with a `checksum_*` code."""
    if len(data) > CHECKSUM_MAX_BYTES:
        raise _refusal("checksum_file_too_large", asset)
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise _refusal("checksum_file_malformed", asset) from None
    if text.lstrip().startswith("<"):
        raise _refusal("checksum_file_is_html", asset)
    lines = [line for line in (raw.strip() for raw in text.split("\n")) if line and not line.startswith("#")]
    if not lines:
        raise _refusal("checksum_file_empty", asset)
    if len(lines) == 1 and (bare := _BARE.fullmatch(lines[0])):
        return bare[1].lower()
    entries = [_entry(line, asset) for line in lines]
    digests = {digest for name, digest in entries if _SEPARATOR.split(name)[-1] == asset}
    if not digests:
        raise _refusal("checksum_no_entry", asset)
    if len(digests) > 1:
        raise _refusal("checksum_conflict", asset)
    return digests.pop()


def _entry(line: str, asset: str) -> tuple[str, str]:
    """(name, digest) of one line, in the form of GNU coreutils or of BSD."""
    if gnu := _GNU.fullmatch(line):
        name = gnu[2].replace("\\\\", "\\") if line.startswith("\\") else gnu[2]
        return name, gnu[1].lower()
    if bsd := _BSD.fullmatch(line):
        return bsd[1], bsd[2].lower()
    raise _refusal("checksum_file_malformed", asset)


def _refusal(code: str, asset: str) -> Refused:
    return Refused(
        code,
        Exit.INTEGRITY,
        f"The checksum file {asset}.sha256 cannot be used: {_WHY[code]}.",
        hint="Nothing was staged. Check the release page and any proxy in between, then run again.",
        asset=asset,
    )
