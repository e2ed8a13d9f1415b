"""What the daemon says of a network's relays, in words that name relay, reason and way out (spec 05 §7.3). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh_common.views import RelayRow

_OTHER: Final = "ask who runs it, or use another relay"

_WAYS_OUT: Final = {
    "address": "correct the address",
    "unreachable": "check this device's connection and the address",
    "tls": "check the address and this device's clock; SSL_CERT_FILE can name a private certificate authority",
    "http": "there is no relay at this address: check host, port and path",
    "auth-required": "it wants a login, which this release cannot give: use another relay",
    "rate-limited": "it passes by itself; if it stays, use another relay",
    "pow": "it wants proof of work, which this release cannot give: use another relay",
    "clock": "set this device's clock",
    "invalid": "it does not take what this network publishes: use another relay",
}
"""By the kind of the reason; kinds that stand here in vain are harmless."""

_SHOWN: Final = 3
"""relays that one line tells of"""


def troubled(relays: Iterable[RelayRow] | None) -> tuple[RelayRow, ...]:
    """Those that do not serve; of a daemon that does not tell of its relays, none."""
    return tuple(relay for relay in relays or () if relay.state != "up")


def _line(relay: RelayRow) -> str:
    """Relay, reason and way out."""
    if (reason := relay.reason) is None:
        return f"{shown(relay.url)} is {relay.state}: it has not answered yet"
    why = reason.text or "it has not answered yet"
    way_out = f" — {_WAYS_OUT.get(reason.kind, _OTHER)}" if reason.kind else ""
    return f"{shown(relay.url)} is {relay.state}: {why}{way_out}"


def shown(url: str) -> str:
    """A relay's address without what may be secret in it: user, password and query; never an escape."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url
    except ValueError:
        text = url
    return text if text.isprintable() and text else ascii(text)


def told(those: Iterable[RelayRow]) -> str:
    """Some relays in one line."""
    lines = [_line(relay) for relay in those]
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more
