"""A release's archive from its feed, verified, with the parts of the bundler (spec 09 §7.4, §7.5, §8, §10.4)."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mesh_bundler import signature
from mesh_bundler.checksum import CHECKSUM_MAX_BYTES, parse_checksum_file
from mesh_bundler.client import Client
from mesh_bundler.errors import Refused
from mesh_bundler.feed import Feed
from mesh_bundler.fetch import Fetcher
from mesh_bundler.plan import make_plan
from mesh_bundler.request import EnsureRequest
from mesh_bundler.trust import Expected, Trust
from myownmesh.updates.errors import UpdateError
from myownmesh.updates.offers import FEED_MAX_BYTES
from myownmesh.updates.preferences import trusted_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mesh_bundler.errors import Notice
    from mesh_bundler.progress import Progress
    from myownmesh.updates.offers import Offer

log = logging.getLogger(__name__)

AGENT = "myownmesh-self-update"
_TOKENS = ("MYOWNMESH_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")


class Obtained(NamedTuple):
    """An archive on disk that is known to be the right one."""

    path: Path
    verified: str
    key_id: str | None


@contextmanager
def fetcher(feed_url: str, environ: Mapping[str, str], on_progress: Callable[[Progress], None]) -> Iterator[Fetcher]:
    """For one feed and what it names at its own host. Raises `UpdateError` in the words of what was refused."""
    try:
        base = feed_url.rpartition("/")[0] if is_elsewhere(feed_url) else None
        feed = Feed(base=base).checked()
        token = next((text for name in _TOKENS if (text := environ.get(name, "").strip())), None)
        client = Client(feed, token=token if base is None else None, agent=AGENT, on_notice=_tell)
        fetching = Fetcher(client, on_progress)
        try:
            yield fetching
        finally:
            fetching.close()
    except Refused as refusal:
        raise UpdateError(f"{refusal.message} {refusal.hint}".strip()) from refusal


def _tell(notice: Notice) -> None:
    log.log(logging.WARNING if notice.level == "warning" else logging.DEBUG, "%s", notice.text)


def is_elsewhere(feed_url: str) -> bool:
    """Whether a feed is at a host of its own, where no token of anybody is sent."""
    return not feed_url.startswith(("https://api.github.com/", "https://github.com/"))


def read_feed(fetching: Fetcher, url: str) -> bytes:
    """The body of a feed. Raises `Refused`, `UpdateError`."""
    if not url.startswith("file:") and not fetching.feed.allows(url):
        raise UpdateError(f"the release feed {url} is refused: only https, file and loopback addresses are used")
    body = fetching.small(url, FEED_MAX_BYTES, accept="application/vnd.github+json", attempts=2)
    if body is None:
        raise UpdateError(f"release feed {url} returned 404 Not Found")
    return body


def obtain(fetching: Fetcher, offer: Offer, asset: str, folder: Path, environ: Mapping[str, str]) -> Obtained:
    """Download an asset of the release and hold it against its checksum and signature.

    A signature is demanded as soon as any key is trusted. Raises `Refused`, `UpdateError`.
    """
    trust = _trust(offer, asset, environ)
    for name in (asset, f"{asset}.sha256"):
        _check_address(fetching, offer, name)
    minisig = None
    if trust.keys and f"{asset}.minisig" in offer.files:
        _check_address(fetching, offer, f"{asset}.minisig")
        minisig = fetching.small(offer.files[f"{asset}.minisig"], signature.SIGNATURE_MAX_BYTES)
    sidecar = fetching.small(offer.files[f"{asset}.sha256"], CHECKSUM_MAX_BYTES)
    if sidecar is None:
        raise UpdateError(f"{asset} at {offer.tag} has no checksum beside it, so it cannot be verified")
    digest = parse_checksum_file(sidecar, asset)
    if (said := offer.digests.get(asset)) is not None and said != digest:
        raise UpdateError(f"the feed and the checksum of {asset} at {offer.tag} contradict each other")
    part = folder / f"{asset}.part"
    for fresh in (False, True):
        done = fetching.download(offer.files[asset], part, asset=asset, fresh=fresh)
        try:
            judged = trust.judge(done.path, offer.tag, Expected(digest, "sidecar"), minisig)
        except Refused as refusal:
            part.unlink(missing_ok=True)
            if refusal.code != "checksum_mismatch" or fresh:
                raise
        else:
            return Obtained(part, judged.level, judged.key_id)
    raise AssertionError("unreachable: the second download returns or raises")


def _check_address(fetching: Fetcher, offer: Offer, name: str) -> None:
    address = offer.files[name]
    is_local = address.startswith("file:") and fetching.feed.canonical.startswith("file:")
    if not is_local and not fetching.feed.allows(address):
        raise UpdateError(f"the feed says that {name} lies at {address or 'no address'}, which is not its own host")


def _trust(offer: Offer, asset: str, environ: Mapping[str, str]) -> Trust:
    keys = trusted_keys(environ)
    request = EnsureRequest(
        pin=f"v{offer.version}",
        release_base="https://release.invalid",  # nothing is fetched by this plan
        require_verification="signature" if keys else "checksum",
        allow_unbound_signature=False,
        env={"MYOWNMESH_TRUSTED_KEYS": keys, "HOME": os.environ.get("HOME", "")},
    )
    return Trust(make_plan(request), asset)
