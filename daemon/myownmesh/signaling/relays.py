"""Which relays a network uses, and when the public ones step in (spec 03 §4)."""

from __future__ import annotations

import hashlib
import ipaddress
from enum import Enum
from typing import TYPE_CHECKING

from mesh_common.addresses import is_loopback, problems, relay_address, usable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_PRIMARY = ("wss://myownmesh.com",)
PUBLIC_FALLBACK = (
    "wss://nos.lol",
    "wss://relay.nostr.band",
    "wss://nostr.mom",
    "wss://relay.snort.social",
    "wss://relay.primal.net",
    "wss://nostr-pub.wellorder.net",
    "wss://relay.nostr.bg",
    "wss://nostr.wine",
    "wss://offchain.pub",
)
BUILT_IN_DENYLIST = ("relay.damus.io", "chorus.pjv.me")

FALLBACK_POLL_S = 3.0
FALLBACK_GRACE_S = 20.0
"""An outage shorter than this is a restart, not a reason to show a private network to public relays."""

_PRIVATE_NAME_SUFFIXES = (".localhost", ".local", ".lan", ".internal", ".home.arpa")


def denylist_host(url: str) -> str:
    """The host as the denylist compares it; IPv6 literals and user-info deliberately never match."""
    for scheme in ("wss://", "ws://"):
        if url.startswith(scheme):
            url = url[len(scheme) :]
            break
    return url.split("/", 1)[0].split(":", 1)[0]


def is_denied(url: str, extra: Iterable[str]) -> bool:
    host = _ascii_lower(denylist_host(url))
    return any(host == _ascii_lower(denied) for denied in (*BUILT_IN_DENYLIST, *extra))


def relay_score(app_id: str, url: str) -> str:
    return hashlib.sha256(f"{app_id}:{url}".encode()).hexdigest()


def select_primary(app_id: str, servers: Sequence[str], redundancy: int, denylist: Iterable[str]) -> list[str]:
    """The relays that every member with the same list picks, without talking first."""
    denied = tuple(denylist)
    pool = [url for url in (servers or DEFAULT_PRIMARY) if not is_denied(url, denied)]
    return sorted(pool, key=lambda url: (relay_score(app_id, url), url))[: max(redundancy, 0)]


def select_relays(app_id: str, servers: Sequence[str], redundancy: int, denylist: Iterable[str]) -> list[str]:
    """The relays to connect to: each once, however often and in whatever spelling it is listed.

    Addresses that cannot be used are left out, those of `select_primary` that can are always among them: it counts a
    relay for each of its spellings, so members that use it never know a relay that we do not.
    """
    texts = usable(servers, relay_address)
    if servers and not texts:
        return []  # never the built-in relays: the network has its own
    denied = tuple(denylist)
    once: dict[str, str] = {}
    for text in select_primary(app_id, texts, len(texts) or len(DEFAULT_PRIMARY), denied):
        once.setdefault(relay_address(text).url, text)  # the spelling that ranks first stands for all of them
    return [text for url, text in once.items() if not is_denied(url, denied)][: max(redundancy, 0)]


def problems_by_text(servers: Sequence[str]) -> dict[str, str]:
    """Why each address that is left out cannot be used."""
    return {text: problem for text in servers for problem in problems([text], relay_address)}


def select_fallback(primary: Iterable[str], denylist: Iterable[str]) -> list[str]:
    """The public relays, all of them, without those already in use in whatever spelling."""
    taken, denied = {relay_address(url).url for url in primary}, tuple(denylist)
    return [url for url in PUBLIC_FALLBACK if url not in taken and not is_denied(url, denied)]


def all_private(servers: Sequence[str]) -> bool:
    """True when every usable server is on a private network: its members must not surface on public relays."""
    hosts = [relay_address(text).host for text in usable(servers, relay_address)]
    return bool(hosts) and all(map(_is_private, hosts))


class FallbackAction(Enum):
    HOLD = "hold"
    ACTIVATE = "activate"
    STAND_DOWN = "stand_down"


def fallback_action(*, primary_live: int, fallback_active: bool, down_for_s: float) -> FallbackAction:
    """What the poll decides. `down_for_s` counts from the start of the driver or the loss of the last primary link."""
    if primary_live > 0:
        return FallbackAction.STAND_DOWN if fallback_active else FallbackAction.HOLD
    if not fallback_active and down_for_s >= FALLBACK_GRACE_S:
        return FallbackAction.ACTIVATE
    return FallbackAction.HOLD


def _ascii_lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def is_local(host: str) -> bool:
    """Is it on this machine? Then it can be reached without a network."""
    return host.endswith(".localhost") or is_loopback(host)


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_NAME_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local
