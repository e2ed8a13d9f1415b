"""What the daemon says of a network's relays, in words that name relay, reason and way out (spec 05 §7.3). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from myownllm.coerce import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownllm.coerce import Json

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


class Relay(Struct, frozen=True):
    """One row of `relays` in `networks_list`."""

    url: str
    state: str
    kind: str = ""
    text: str = ""

    @property
    def serves(self) -> bool:
        return self.state == "up"

    def told(self) -> str:
        """Relay, reason and way out."""
        why = self.text or "it has not answered yet"
        way_out = f" — {_WAYS_OUT.get(self.kind, _OTHER)}" if self.kind else ""
        return f"{shown(self.url)} is {self.state}: {why}{way_out}"


def relays(value: Json) -> tuple[Relay, ...] | None:
    """The rows of `relays`; None from a daemon that does not tell."""
    if not isinstance(value, list):
        return None
    return tuple(_relay(as_object(row)) for row in value if isinstance(row, dict))


def _relay(row: dict[str, Json]) -> Relay:
    reason = as_object(row.get("reason"))
    return Relay(*(_text(each) for each in (row.get("url"), row.get("state"), reason.get("kind"), reason.get("text"))))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def shown(url: str) -> str:
    """A relay's address without what may be secret in it: user, password and query; never an escape."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url
    except ValueError:
        text = url
    return text if text.isprintable() and text else ascii(text)


def told(those: Iterable[Relay]) -> str:
    """Some relays in one line."""
    lines = [relay.told() for relay in those]
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more
