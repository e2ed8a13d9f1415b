"""Requests to a release host: redirects, credentials, waiting and trying again (spec 09 §8.1, §8.2).

Redirects are followed here and not by httpx, so that nothing leaves the allowed hosts and no credential goes where it
does not belong.
"""

from __future__ import annotations

import contextlib
import random
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx

from mesh_bundler import trouble
from mesh_bundler.connection import new_client
from mesh_bundler.errors import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mesh_bundler.errors import Refused
    from mesh_bundler.feed import Feed

_T = TypeVar("_T")

_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_WAIT = 120.0
"""Seconds that a server may ask us to wait."""
_LONGEST_WAIT = 366 * 24 * 3600.0
"""Seconds; what a server says beyond is nonsense, and no date to show."""


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


class TryAgain(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, refusal: Refused, after: float | None = None) -> None:
        super().__init__(refusal.message)
        self.refusal, self.after = refusal, after


class Client:
    """One run's connection to one feed. Clock, sleep and randomness are arguments so that tests need no time."""

    def __init__(
        self,
        feed: Feed,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        checkpoint: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Callable[[], float] = random.random,
        netrc: bool = False,
        agent: str = "myownmesh-bundler",
    ) -> None:
        self.feed, self._token, self.limits = feed, token, limits or Limits()
        self._on_notice = on_notice or (lambda _notice: None)
        self.checkpoint = checkpoint or (lambda: None)
        self.clock, self._sleep, self._rng = clock, sleep, rng
        self._bad_token = False
        timeout = httpx.Timeout(
            connect=self.limits.connect, read=self.limits.read, write=self.limits.read, pool=self.limits.connect
        )
        self._http = new_client(timeout, netrc=netrc, agent=agent)

    def close(self) -> None:
        self._http.close()

    @contextlib.contextmanager
    def open(
        self, url: str, *, method: str = "GET", headers: dict[str, str] | None = None, accept: str | None = None
    ) -> Iterator[httpx.Response]:
        """One answer after redirects. Raises `TryAgain` or `Refused` for transport trouble, also while reading."""
        address, hops = url, 0
        base = {"Accept-Encoding": "identity"} | (headers or {}) | ({"Accept": accept} if accept else {})
        while True:
            self.checkpoint()
            if not self.feed.allows(address):
                raise trouble.redirect(url, address, "that host is not allowed")
            sent = base | self._authorization(address)
            status = _LastStatus()
            with _transport_errors(address, status):
                request = self._http.build_request(method, address, headers=sent, extensions={"trace": status})
                response = self._http.send(request, stream=True)
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
                with _transport_errors(address, status):
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

    def expect(self, response: httpx.Response, url: str) -> None:
        """Raise unless the answer is 200 or 206."""
        status = response.status_code
        if status in (200, 206):
            return
        limited = status == 429 or (status == 403 and response.headers.get("x-ratelimit-remaining") == "0")
        if limited:
            wait = self._asked_wait(response)
            refusal = trouble.rate_limited(url, wait)
            raise TryAgain(refusal, wait) if wait is None or wait <= _MAX_WAIT else refusal
        if status == 407:
            raise trouble.proxy_auth(url)
        if status in _RETRY_STATUS:
            wait = self._asked_wait(response)
            if wait is None or wait <= _MAX_WAIT:
                raise TryAgain(trouble.network(url, f"the server answered {status}"), wait)
        raise trouble.network(url, f"the server answered {status}")

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """Seconds that the server asks for, from Retry-After or the rate limit's reset time.

        Moments of the server are compared with its own clock, when it tells it: ours may be wrong.
        """
        headers = response.headers
        if (retry_after := headers.get("retry-after", "")).isdecimal():
            return min(float(retry_after), _LONGEST_WAIT)
        until = _second_of(retry_after)
        if until is None and (reset := headers.get("x-ratelimit-reset", "")).isdecimal():
            until = float(reset)
        if until is None:
            return None
        now = _second_of(headers.get("date", ""))
        return min(max(0.0, until - (time.time() if now is None else now)), _LONGEST_WAIT)

    def retrying(self, url: str, attempt: Callable[[], _T], attempts: int | None = None) -> _T:
        began, limit = self.clock(), attempts or self.limits.attempts
        for number in range(limit):
            try:
                return attempt()
            except TryAgain as again:
                delay = min(30.0, 2.0**number) * (0.5 + self._rng() / 2) if again.after is None else again.after
                out_of_time = self.clock() - began + delay > self.limits.total
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
            self.checkpoint()
            step = min(seconds, 1.0)
            self._sleep(step)
            seconds -= step


def _second_of(http_date: str) -> float | None:
    """The Unix second of a date in a header; None for what is none."""
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class _LastStatus:
    """Hears what the transport does with a request; a tunnel's refusal by a proxy is an error without its status."""

    value: int | None = None

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "http11.receive_response_headers.complete":
            self.value = info["return_value"][1]


@contextlib.contextmanager
def _transport_errors(url: str, status: _LastStatus) -> Iterator[None]:
    try:
        yield
    except httpx.ProxyError as error:
        if status.value == 407:
            raise trouble.proxy_auth(url) from error
        raise TryAgain(trouble.network(url, f"the proxy failed ({error})")) from error
    except httpx.TransportError as error:
        tls = _tls_cause(error)
        if tls is not None:
            raise trouble.tls(url, tls) from error
        raise TryAgain(trouble.network(url, str(error) or type(error).__name__)) from error
    except (httpx.InvalidURL, httpx.DecodingError, UnicodeError) as error:  # the last: a name that no host can have
        raise trouble.network(url, str(error)) from error


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
