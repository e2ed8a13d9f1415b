"""Reading a release feed (spec 09 §7.2, §10.4): which release is on offer, and where its files are. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mesh_common.semver import SemVer
from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FEED_MAX_BYTES = 8 * 1024 * 1024

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class FeedError(Exception):
    """The feed offers nothing that can be used. `code` is ``feed_malformed``, ``no_usable_release`` or
    ``invalid_candidate``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Offer(Value, frozen=True):
    """One published release: its version without `v`, its tag as written, its files by name."""

    version: SemVer
    tag: str
    files: Mapping[str, str]
    """Name to address; empty where the feed lists no files."""
    digests: Mapping[str, str] = {}
    """Name to SHA-256 in hex, of the files of which the feed itself says that."""

    def has(self, asset: str) -> bool:
        """Whether the asset is there and can be verified: its checksum comes with it."""
        return asset in self.files and f"{asset}.sha256" in self.files


def asset_name(platform: str, *, folder: bool = False) -> str:
    """The one file of a release that is for this installation: this platform and flavour, exactly."""
    return f"{'dir-' if folder else ''}myownmesh-{platform}.tar.gz"


def read_feed(body: bytes) -> object:
    """The JSON of a feed. Raises `FeedError`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise FeedError("feed_malformed", "the release feed is not JSON") from None


def newest(channel: str, body: object, asset: str | None) -> Offer:
    """The release on offer: the feed's one on stable; the highest of all published ones with `asset` on beta.

    Raises `FeedError`.
    """
    if channel != "beta":
        if not isinstance(body, dict):
            raise FeedError("feed_malformed", "the release feed did not answer with a release")
        if body.get("draft") is True:
            raise FeedError("no_usable_release", "the release in the feed is not published yet")
        return _offer(body)
    if not isinstance(body, list):
        raise FeedError("feed_malformed", "the release feed did not answer with a list of releases")
    offers = [offer for offer in _published(body) if asset is None or offer.has(asset)]
    if not offers:
        raise FeedError("no_usable_release", "the release feed has no release for this machine")
    return max(offers, key=lambda offer: offer.version.precedence)


def _published(rows: list[object]) -> Iterator[Offer]:
    for row in rows:
        if isinstance(row, dict) and row.get("draft") is not True:
            try:
                yield _offer(row)
            except FeedError:
                continue  # a row that cannot be used costs only itself


def _offer(row: dict[str, object]) -> Offer:
    tag = row.get("tag_name")
    if not isinstance(tag, str):
        raise FeedError("feed_malformed", "release missing tag_name")
    version = SemVer.parse(tag.removeprefix("v"))
    if version is None:  # it becomes part of a path
        raise FeedError("invalid_candidate", f"the release {tag[:80]!r} has no version")
    files, digests = dict[str, str](), dict[str, str]()
    rows = row.get("assets")
    for each in rows if isinstance(rows, list) else ():
        if isinstance(each, dict):
            name, address = each.get("name"), each.get("browser_download_url", "")
            if isinstance(name, str) and isinstance(address, str):
                files[name] = address
                if (said := _DIGEST.fullmatch(str(each.get("digest")))) is not None:
                    digests[name] = said[1]
    return Offer(version, tag, files, digests)
