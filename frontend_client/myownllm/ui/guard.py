"""Which requests are ours: a pure look at a request's head, before anything is routed, and what every answer carries.

A web page that somebody opens can send requests to this machine, and a name that it has pointed here reaches us, too.
Both give themselves away: `Host` and `Origin` say another name than ours. Cookies and "same site" do not tell the ports
of a machine apart, so both headers must be exactly ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownllm.ui.failures import UiError

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST: Final = "127.0.0.1"
HEAD_MAX_BYTES: Final = 16 * 1024
_READING: Final = ("GET", "HEAD")
_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' blob:",
    "media-src blob:",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types lit-html",
)
ANSWER_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = tuple(
    (name.encode(), value.encode())
    for name, value in (
        ("content-security-policy", "; ".join(_POLICY)),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "geolocation=(), microphone=(), payment=(), usb=()"),
    )
)


class Place(Value, frozen=True):
    """Where a screen is."""

    port: int
    address: str = HOST

    @property
    def host(self) -> str:
        """The only `Host` that is ours."""
        return f"{self.address}:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    @property
    def cookie(self) -> str:
        """Named by its port: cookies go to all of them, and two apps must not take each other's."""
        return f"myownllm_{self.port}"


def check(place: Place, method: str, headers: Sequence[tuple[bytes, bytes]], *, is_socket: bool) -> None:
    """Raises UiError for a request that is none of ours."""
    if sum(len(name) + len(value) for name, value in headers) > HEAD_MAX_BYTES:
        raise UiError(431, "too_large", f"the head of the request has more than {HEAD_MAX_BYTES} bytes")
    if values(headers, b"host") != [place.host]:
        raise UiError(421, "misdirected", f"this screen answers at {place.origin} only")
    origins = values(headers, b"origin")
    if (is_socket or method not in _READING) and origins != [place.origin]:
        raise UiError(403, "forbidden_origin", "pages of other origins may not use this screen")


def values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Every value of a header, in order."""
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def cookie_of(place: Place, headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Our cookie in a request; empty without one."""
    for line in values(headers, b"cookie"):
        for part in line.split(";"):
            name, _, value = part.strip().partition("=")
            if name == place.cookie:
                return value
    return ""
