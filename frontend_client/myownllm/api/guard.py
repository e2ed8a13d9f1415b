"""Who may use the local API: a pure look at the head of a request, before anything else of it counts.

A web page that somebody opens can send requests to this machine. It gives itself away: its `Origin` is another one, and
a name that it had pointed here (DNS rebinding) stands in `Host`.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from mesh_common.addresses import is_loopback
from mesh_common.values import Value
from myownllm.api.failures import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownllm.api.settings import ApiSettings

OPEN_PATHS: Final = ("/healthz",)
"""They tell nothing and need no token."""


class Head(Value, frozen=True):
    """A request's head: header names in lower case, each with its last value."""

    method: str
    path: str
    headers: Mapping[str, str]


def check(head: Head, settings: ApiSettings, local_address: str) -> None:
    """Raises ApiError for a request that is none of ours."""
    host = head.headers.get("host", "")
    name = _name(host)
    if not (is_loopback(name) or name in (settings.host, local_address)):
        raise ApiError(403, "forbidden_host", "this API answers to 127.0.0.1 and localhost only")
    origin = head.headers.get("origin")
    if origin is not None and not settings.cors_allow_all and not _is_own(origin, host):
        raise ApiError(403, "forbidden_origin", "pages of other origins may not use this API (`api.cors_allow_all`)")
    token = settings.bearer_token
    if token is None or head.path in OPEN_PATHS or head.method == "OPTIONS":
        return
    kind, _, given = head.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise ApiError(401, "invalid_api_key", "the API wants the token of `api.bearer_token` as its key")


def _is_own(origin: str, host: str) -> bool:
    parts = urlsplit(origin) if len(origin) < 300 else None
    return parts is not None and parts.scheme == "http" and parts.netloc == host and is_loopback(_name(host))


def _name(host: str) -> str:
    """The host part of a `Host` header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0].lower()


def cors_headers(settings: ApiSettings) -> list[tuple[str, str]]:
    """What lets pages of every origin read answers; nothing unless that is wanted."""
    if not settings.cors_allow_all:
        return []
    return [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
        ("Access-Control-Allow-Headers", "authorization, content-type, *"),
        ("Access-Control-Allow-Private-Network", "true"),
        ("Access-Control-Max-Age", "600"),
    ]
