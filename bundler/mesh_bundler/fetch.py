"""Getting bytes from a release host over a bad network (spec 09 §8.1 to §8.3).

One `Fetcher` serves one run. It follows redirects itself, so that nothing leaves the allowed hosts and no credential
goes where it does not belong; it measures what arrives, not what headers promise; it resumes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mesh_bundler import local, parts, trouble
from mesh_bundler.client import TryAgain
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.files import file_refusal
from mesh_bundler.progress import Progress
from mesh_common.files import sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from mesh_bundler.client import Client


_PROGRESS_EVERY = 0.1
"""Seconds between progress reports."""


class _StartOver(Exception):
    """The part on disk is of no use any more."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A finished transfer: the file, its size, whether part of it came from an earlier run."""

    path: Path
    size: int
    resumed: bool
    url: str


@dataclass(frozen=True, slots=True)
class ReleaseAsset:
    """One asset as the host's API describes it."""

    url: str
    size: int
    sha256: str | None


class Fetcher:
    """Downloads from one feed: whole small files, and archives that resume."""

    def __init__(self, client: Client, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._client, self.feed, self.limits = client, client.feed, client.limits
        self._on_progress = on_progress or (lambda _progress: None)

    def close(self) -> None:
        self._client.close()

    def pause(self, seconds: float) -> None:
        """Wait, noticing a cancellation within a second."""
        self._client.pause(seconds)

    # ── small files ───────────────────────────────────────────────────────────────────────────────────────────────────

    def small(self, url: str, limit: int, *, accept: str | None = None, attempts: int | None = None) -> bytes | None:
        """A whole small file, None when it does not exist. Raises `Refused`; more than `limit` bytes is exit 7."""
        if url.startswith("file:"):
            return local.read(url, limit)

        def attempt() -> bytes | None:
            with self._client.open(url, accept=accept) as response:
                if response.status_code == 404:
                    return None
                self._client.expect(response, url)
                chunks: list[bytes] = []  # joined once: a body that grows is copied for each of them
                size = 0
                for chunk in response.iter_raw():
                    self._client.checkpoint()
                    size += len(chunk)
                    if size > limit:
                        raise trouble.too_large(url, limit)
                    chunks.append(chunk)
                return b"".join(chunks)

        return self._client.retrying(url, attempt, attempts)

    def exists(self, url: str) -> bool | None:
        """Whether a page is there; None when that cannot be told. Never raises for network trouble."""
        if url.startswith("file:"):
            return local.path_of(url).exists()
        try:
            with self._client.open(url, method="HEAD") as response:
                return {404: False}.get(response.status_code, True if response.status_code < 400 else None)
        except (Refused, TryAgain):
            return None

    def release_asset(self, tag: str, asset: str) -> ReleaseAsset | None:
        """What the host's API says about an asset; None without API, release or asset. Raises `Refused`."""
        address = self.feed.release_api(tag)
        if address is None:
            return None
        body = self.small(address, 8 * 1024 * 1024, accept="application/vnd.github+json")
        if body is None:
            return None
        try:
            rows = json.loads(body)["assets"]
            row = next((row for row in rows if row["name"] == asset), None)
            if row is None:
                return None
            digest = str(row.get("digest") or "")
            sha256 = digest.removeprefix("sha256:") if digest.startswith("sha256:") and len(digest) == 71 else None
            return ReleaseAsset(str(row["url"]), int(row.get("size", 0)), sha256)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused(
                "feed_malformed",
                Exit.NETWORK,
                f"{address} did not answer with a release.",
                hint="Check any proxy in between, then run again.",
                url=address,
            ) from None

    # ── archives ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def download(
        self,
        url: str,
        part: Path,
        *,
        asset: str,
        size: int | None = None,
        fresh: bool = False,
        accept: str | None = None,
    ) -> Downloaded:
        """Fetch an archive into `part`, continuing what an earlier run left there.

        `size` is the only acceptable size when known; `fresh` ignores parts and caches. Raises `Refused`.
        """
        if url.startswith("file:"):
            try:
                length = local.copy(url, part, self.limits.archive_max if size is None else size)
            except FileNotFoundError:
                raise self.missing(url, asset) from None
            self._on_progress(Progress(asset, length, length, 0.0, True))
            return Downloaded(part, length, resumed=False, url=url)
        began = self._client.clock()
        if fresh:
            parts.drop(part)

        def attempt() -> Downloaded:
            try:
                return self._transfer(url, part, asset, size, began, fresh=fresh, accept=accept)
            except _StartOver:
                parts.drop(part)
                return self._transfer(url, part, asset, size, began, fresh=True, accept=accept)

        done = self._client.retrying(url, attempt)
        if done.size < self.limits.archive_min or (size is not None and done.size != size):
            parts.drop(part)
            raise Refused(
                "size_mismatch" if size is not None else "archive_too_small",
                Exit.INTEGRITY,
                f"{asset} has {done.size} bytes" + (f" instead of {size}." if size is not None else "."),
                hint="Nothing was staged. Something in between may have answered for the release host; run again.",
                url=url,
                size=done.size,
            )
        return done

    def _transfer(
        self, url: str, part: Path, asset: str, size: int | None, began: float, *, fresh: bool, accept: str | None
    ) -> Downloaded:
        have, etag = (0, None) if fresh else parts.resumable(part, url, self.limits.archive_max)
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        if etag is not None:
            headers |= {"Range": f"bytes={have}-", "If-Range": etag}
        with self._client.open(url, headers=headers, accept=accept) as response:
            if response.status_code == 416:
                raise _StartOver
            if response.status_code == 404:
                raise self.missing(url, asset)
            self._client.expect(response, url)
            if response.status_code == 206:
                start, total = _content_range(response)
                if start != have or etag is None:
                    raise _StartOver
            else:
                have, total = 0, _content_length(response)
            if total is not None and total > self.limits.archive_max:
                raise trouble.too_large(url, self.limits.archive_max)
            self._check_space(part, total)
            parts.note(part, url, response.headers.get("etag"), total)
            written = self._pour(response, part, have, total, asset, size, began)
        if total is not None and written != total:
            raise TryAgain(trouble.network(url, f"the connection ended at {written} of {total} bytes"))
        return Downloaded(part, written, resumed=have > 0, url=url)

    def _pour(
        self,
        response: httpx.Response,
        part: Path,
        have: int,
        total: int | None,
        asset: str,
        size: int | None,
        began: float,
    ) -> int:
        limit = self.limits.archive_max if size is None else size
        done, opened = have, self._client.clock()
        shown, window_at, window_done = opened - _PROGRESS_EVERY, opened, have
        try:
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                file.truncate()
                for chunk in response.iter_raw():
                    self._client.checkpoint()
                    file.write(chunk)
                    done += len(chunk)
                    if done > limit:
                        raise trouble.too_large(str(response.url), limit)
                    now = self._client.clock()
                    if now - began > self.limits.total:
                        raise trouble.network(str(response.url), f"it took longer than {self.limits.total:.0f} s")
                    if now - window_at >= self.limits.floor_window:
                        if (done - window_done) / (now - window_at) < self.limits.floor_rate:
                            rate = f"less than {self.limits.floor_rate:.0f} bytes per second arrived"
                            raise TryAgain(trouble.network(str(response.url), rate))
                        window_at, window_done = now, done
                    if now - shown >= _PROGRESS_EVERY:
                        shown = now
                        self._on_progress(Progress(asset, done, total, _rate(done - have, now - opened)))
                file.flush()
                sync(file.fileno())
        except OSError as error:
            raise file_refusal(error, part) from error
        self._on_progress(Progress(asset, done, total or done, _rate(done - have, self._client.clock() - opened), True))
        return done

    def _check_space(self, part: Path, total: int | None) -> None:
        if total is None:
            return
        free = shutil.disk_usage(part.parent).free
        if free < 3 * total:
            raise Refused(
                "no_space",
                Exit.FILES,
                f"{part.parent} has {free} bytes free; {3 * total} are needed to download and unpack.",
                hint="Free space, or name another cache folder with MYOWNMESH_CACHE_DIR.",
                free=free,
                needed=3 * total,
            )

    def missing(self, url: str, asset: str) -> Refused:
        """404: tell a release that does not exist from one that lacks this asset."""
        tag = unquote(urlsplit(url).path.rstrip("/").split("/")[-2]) if url.count("/") > 3 else ""
        page = self.feed.tag_page(tag)
        if page is not None and self.exists(page) is False:
            return Refused(
                "release_not_found",
                Exit.NETWORK,
                f"There is no release {tag} at {page}.",
                hint="Check the pin for a typing error.",
                url=url,
                tag=tag,
            )
        return Refused(
            "asset_not_found",
            Exit.NETWORK,
            f"Release {tag} has no {asset} (yet).",
            hint="Fresh releases fill up over some minutes: run again, or wait with --wait-for-asset 15m.",
            url=url,
            tag=tag,
            asset=asset,
        )


def _content_range(response: httpx.Response) -> tuple[int, int | None]:
    """(start, total) of a 206; (-1, None) when the header is not one we can use."""
    unit, _, rest = response.headers.get("content-range", "").partition(" ")
    span, _, total = rest.partition("/")
    start, _, _ = span.partition("-")
    if unit != "bytes" or not start.isdecimal():
        return -1, None
    return int(start), int(total) if total.isdecimal() else None


def _content_length(response: httpx.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
