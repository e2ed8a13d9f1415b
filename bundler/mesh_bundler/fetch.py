"""Getting bytes from a release host over a bad network (spec 09 §8.1 to §8.3).

One `Fetcher` serves one run. It follows redirects itself, so that nothing leaves the allowed hosts and no credential
goes where it does not belong; it measures what arrives, not what headers promise; it resumes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from mesh_bundler import parts, trouble
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_bundler.files import file_refusal
from mesh_bundler.progress import Progress
from mesh_bundler.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mesh_bundler.feed import Feed

_T = TypeVar("_T")

_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_WAIT = 120.0  # seconds that a server may ask us to wait
_PROGRESS_EVERY = 0.1  # seconds between progress reports


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one download; seconds and bytes."""

    connect: float = 10.0
    read: float = 30.0  # silence, not duration
    total: float = 600.0
    floor_rate: float = 1024.0  # bytes per second, over `floor_window`
    floor_window: float = 60.0
    attempts: int = 4
    archive_min: int = 1024
    archive_max: int = 256 * 1024 * 1024


class _TryAgain(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, refusal: Refused, after: float | None = None) -> None:
        super().__init__(refusal.message)
        self.refusal, self.after = refusal, after


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
    """Downloads from one feed. Clock, sleep and randomness are arguments so that tests need no time."""

    def __init__(
        self,
        feed: Feed,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        checkpoint: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Callable[[], float] = random.random,
        netrc: bool = False,
    ) -> None:
        self.feed, self._token, self.limits = feed, token, limits or Limits()
        self._on_progress = on_progress or (lambda _progress: None)
        self._on_notice = on_notice or (lambda _notice: None)
        self._checkpoint = checkpoint or (lambda: None)
        self._clock, self._sleep, self._rng = clock, sleep, rng
        self._bad_token = False
        self._client = httpx.Client(
            follow_redirects=False,
            timeout=httpx.Timeout(
                connect=self.limits.connect, read=self.limits.read, write=self.limits.read, pool=self.limits.connect
            ),
            verify=_tls_context(),
            auth=httpx.NetRCAuth() if netrc else None,
            headers={"User-Agent": f"myownmesh-bundler/{__version__}"},
            # A proxy for the outside world has no business with a feed on this machine.
            mounts=dict.fromkeys(("http://127.0.0.1", "http://localhost", "http://[::1]")),
        )

    def close(self) -> None:
        self._client.close()

    # --- small files ------------------------------------------------------------------------------------------

    def small(self, url: str, limit: int, *, accept: str | None = None, attempts: int | None = None) -> bytes | None:
        """A whole small file, None when it does not exist. Raises `Refused`; more than `limit` bytes is exit 7."""
        if url.startswith("file:"):
            return _read_local(url, limit)

        def attempt() -> bytes | None:
            with self._open(url, accept=accept) as response:
                if response.status_code == 404:
                    return None
                self._expect(response, url)
                body = b""
                for chunk in response.iter_raw():
                    self._checkpoint()
                    body += chunk
                    if len(body) > limit:
                        raise trouble.too_large(url, limit)
                return body

        return self._retrying(url, attempt, attempts)

    def exists(self, url: str) -> bool | None:
        """Whether a page is there; None when that cannot be told. Never raises for network trouble."""
        if url.startswith("file:"):
            return _local_path(url).exists()
        try:
            with self._open(url, method="HEAD") as response:
                return {404: False}.get(response.status_code, True if response.status_code < 400 else None)
        except (Refused, _TryAgain):
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

    # --- archives ---------------------------------------------------------------------------------------------

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
            return self._copy_local(url, part, asset, size)
        began = self._clock()
        if fresh:
            parts.drop(part)

        def attempt() -> Downloaded:
            try:
                return self._transfer(url, part, asset, size, began, fresh=fresh, accept=accept)
            except _StartOver:
                parts.drop(part)
                return self._transfer(url, part, asset, size, began, fresh=True, accept=accept)

        done = self._retrying(url, attempt)
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
        with self._open(url, headers=headers, accept=accept) as response:
            if response.status_code == 416:
                raise _StartOver
            if response.status_code == 404:
                raise self.missing(url, asset)
            self._expect(response, url)
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
            raise _TryAgain(trouble.network(url, f"the connection ended at {written} of {total} bytes"))
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
        done, opened = have, self._clock()
        shown, window_at, window_done = opened - _PROGRESS_EVERY, opened, have
        try:
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                file.truncate()
                for chunk in response.iter_raw():
                    self._checkpoint()
                    file.write(chunk)
                    done += len(chunk)
                    if done > limit:
                        raise trouble.too_large(str(response.url), limit)
                    now = self._clock()
                    if now - began > self.limits.total:
                        raise trouble.network(str(response.url), f"it took longer than {self.limits.total:.0f} s")
                    if now - window_at >= self.limits.floor_window:
                        if (done - window_done) / (now - window_at) < self.limits.floor_rate:
                            rate = f"less than {self.limits.floor_rate:.0f} bytes per second arrived"
                            raise _TryAgain(trouble.network(str(response.url), rate))
                        window_at, window_done = now, done
                    if now - shown >= _PROGRESS_EVERY:
                        shown = now
                        self._on_progress(Progress(asset, done, total, _rate(done - have, now - opened)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise file_refusal(error, part) from error
        self._on_progress(Progress(asset, done, total or done, _rate(done - have, self._clock() - opened), True))
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

    def _copy_local(self, url: str, part: Path, asset: str, size: int | None) -> Downloaded:
        source = _local_path(url)
        try:
            length = source.stat().st_size
            if length > (size if size is not None else self.limits.archive_max):
                raise trouble.too_large(url, self.limits.archive_max)
            shutil.copyfile(source, part)
        except FileNotFoundError:
            raise self.missing(url, asset) from None
        except OSError as error:
            raise file_refusal(error, source) from error
        self._on_progress(Progress(asset, length, length, 0.0, True))
        return Downloaded(part, length, resumed=False, url=url)

    # --- one request ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(
        self, url: str, *, method: str = "GET", headers: dict[str, str] | None = None, accept: str | None = None
    ) -> Iterator[httpx.Response]:
        """One answer after redirects. Raises `_TryAgain` or `Refused` for transport trouble, also while reading."""
        address, hops = url, 0
        base = {"Accept-Encoding": "identity"} | (headers or {}) | ({"Accept": accept} if accept else {})
        while True:
            self._checkpoint()
            if not self.feed.allows(address):
                raise trouble.redirect(url, address, "that host is not allowed")
            sent = base | self._authorization(address)
            request = self._client.build_request(method, address, headers=sent)
            with _transport_errors(address):
                response = self._client.send(request, stream=True)
            try:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    hops += 1
                    if hops > _MAX_REDIRECTS:
                        raise trouble.redirect(url, address, f"more than {_MAX_REDIRECTS} redirects")
                    address = _redirected(url, address, response.headers["location"])
                    continue
                if response.status_code == 401 and "Authorization" in sent:
                    self._bad_token = True
                    self._on_notice(
                        Notice("token_refused", f"{urlsplit(address).hostname} refused the token; going on without it.")
                    )
                    continue
                with _transport_errors(address):
                    yield response
                return
            finally:
                response.close()

    def _authorization(self, address: str) -> dict[str, str]:
        """The token goes to the host's API only; never to storage hosts or mirrors."""
        api = self.feed.api_base
        if self._token is None or self._bad_token or api is None:
            return {}
        return {"Authorization": f"Bearer {self._token}"} if urlsplit(address).netloc == urlsplit(api).netloc else {}

    def _expect(self, response: httpx.Response, url: str) -> None:
        """Raise unless the answer is 200 or 206."""
        status = response.status_code
        if status in (200, 206):
            return
        limited = status == 429 or (status == 403 and response.headers.get("x-ratelimit-remaining") == "0")
        if limited:
            wait = self._asked_wait(response)
            refusal = trouble.rate_limited(url, wait)
            raise _TryAgain(refusal, wait) if wait is None or wait <= _MAX_WAIT else refusal
        if status == 407:
            raise trouble.proxy_auth(url)
        if status in _RETRY_STATUS:
            wait = self._asked_wait(response)
            if wait is None or wait <= _MAX_WAIT:
                raise _TryAgain(trouble.network(url, f"the server answered {status}"), wait)
        raise trouble.network(url, f"the server answered {status}")

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """Seconds that the server asks for, from Retry-After or the rate limit's reset time."""
        retry_after, reset = response.headers.get("retry-after"), response.headers.get("x-ratelimit-reset")
        if retry_after and retry_after.isdecimal():
            return float(retry_after)
        if retry_after:
            with contextlib.suppress(ValueError):
                return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
        if reset and reset.isdecimal():
            return max(0.0, float(reset) - time.time())
        return None

    def _retrying(self, url: str, attempt: Callable[[], _T], attempts: int | None = None) -> _T:
        began, limit = self._clock(), attempts or self.limits.attempts
        for number in range(limit):
            try:
                return attempt()
            except _TryAgain as again:
                delay = min(30.0, 2.0**number) * (0.5 + self._rng() / 2) if again.after is None else again.after
                out_of_time = self._clock() - began + delay > self.limits.total
                if number == limit - 1 or out_of_time:
                    raise again.refusal from again
                self._on_notice(
                    Notice(
                        "retrying",
                        f"{again.refusal.message} Trying again in {delay:.0f} s.",
                        level="info",
                        fields={"url": url, "attempt": number + 1},
                    )
                )
                self.pause(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def pause(self, seconds: float) -> None:
        """Sleep in steps, so that a cancellation is noticed within a second."""
        while seconds > 0:
            self._checkpoint()
            step = min(seconds, 1.0)
            self._sleep(step)
            seconds -= step


# --- helpers --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _transport_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ProxyError as error:
        if "407" in str(error):
            raise trouble.proxy_auth(url) from error
        raise _TryAgain(trouble.network(url, f"the proxy failed ({error})")) from error
    except httpx.TransportError as error:
        tls = _tls_cause(error)
        if tls is not None:
            raise trouble.tls(url, tls) from error
        raise _TryAgain(trouble.network(url, str(error) or type(error).__name__)) from error
    except (httpx.InvalidURL, httpx.DecodingError) as error:
        raise trouble.network(url, str(error)) from error


def _tls_context() -> ssl.SSLContext:
    """The system's trust store when `truststore` is installed, else the bundled one. There is no insecure switch."""
    if util.find_spec("truststore") is not None:
        context: ssl.SSLContext = import_module("truststore").SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return context
    return httpx.create_ssl_context()


def _tls_cause(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _redirected(origin: str, address: str, location: str) -> str:
    try:
        target = str(httpx.URL(address).join(location))
    except httpx.InvalidURL:
        raise trouble.redirect(origin, location, "it is not an address") from None
    if address.startswith("https:") and not target.startswith("https:"):
        raise trouble.redirect(origin, target, "it leaves https")
    return target


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


def _local_path(url: str) -> Path:
    path = unquote(urlsplit(url).path)
    return Path(path.lstrip("/") if os.name == "nt" else path)


def _read_local(url: str, limit: int) -> bytes | None:
    path = _local_path(url)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_refusal(error, path) from error
    if len(data) > limit:
        raise trouble.too_large(url, limit)
    return data


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
