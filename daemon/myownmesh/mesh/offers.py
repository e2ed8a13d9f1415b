"""Services that members host, as they advertise them: which of them this device may use, and which it does (06 K, L).

Pure. Whoever owns links, files and time is `mesh.adopting`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from mesh_common.addresses import BadAddress, relay_address, stun_address, turn_address
from myownmesh.turn.targets import Targets, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mesh_common.views import CapabilityAdvert

Kind = Literal["relay", "stun", "turn"]

MOST_OF_A_KIND: Final = 4
KEPT_S: Final = 30 * 86400
"""How long what nobody has advertised any more is used."""
SETTLED_S: Final = 60.0
"""A service that restarts is not given up, and addresses that change more often are not followed."""
_SEEN_TO_S: Final = 86400
"""The file need not be written for each advert."""
MOST_URLS: Final = 4
"""Of one service: UDP, TCP, TLS."""
_MOST_CHARS: Final = 255

_TAGS: Final[dict[Kind, str]] = {"relay": "service:signaling", "stun": "service:stun", "turn": "service:turn"}
_INNER_SUFFIXES: Final = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
_INNER: Final = Targets("0.0.0.0", private_allowed=False)


class Offer(Struct, frozen=True):
    """One service of one device."""

    kind: Kind
    urls: tuple[str, ...]


class Adopted(Struct, frozen=True):
    """One that is used."""

    device_id: str
    kind: Kind
    urls: tuple[str, ...]
    seen: int
    """Unix seconds when it was advertised last, to a day."""


class Waiting(Struct, frozen=True):
    """One that is not, and why."""

    device_id: str
    kind: Kind
    urls: tuple[str, ...]
    why: str


class _Services(Struct, frozen=True):
    signaling_url: object = None
    stun_url: object = None
    turn_url: object = None
    turn_urls: object = None


class _Extra(Struct, frozen=True):
    services: _Services = _Services()


_decode_extra: Final = msgspec.json.Decoder(_Extra).decode


def hosts_anything(advert: CapabilityAdvert) -> bool:
    """Whether it is worth reading."""
    return any(tag in advert.tags for tag in _TAGS.values())


def offers_of(advert: CapabilityAdvert) -> tuple[Offer, ...]:
    """What a device says that it hosts, with addresses; a malformed `extra.services` counts as absent (06 §4)."""
    if advert.extra is None:
        return ()
    try:
        told = _decode_extra(bytes(advert.extra)).services
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()
    many = told.turn_urls if isinstance(told.turn_urls, list) else [told.turn_url]
    addresses: dict[Kind, list[object]] = {"relay": [told.signaling_url], "stun": [told.stun_url], "turn": many}
    found = [
        Offer(kind, tuple(dict.fromkeys(_texts(urls)))[:MOST_URLS])
        for kind, urls in addresses.items()
        if _TAGS[kind] in advert.tags
    ]
    return tuple(offer for offer in found if offer.urls)


def _texts(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and len(value) <= _MOST_CHARS)


def usable_urls(offer: Offer, reached: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Those of its addresses that may be used, and what is wrong with the first of the others.

    `reached`: the addresses at which the device itself is linked. A device may name those, and global ones: any other
    would have this machine ask a place for it that is nobody's business.
    """
    good: list[str] = []
    wrong = ""
    for url in offer.urls:
        problem = _problem(offer.kind, url, reached)
        if problem is None:
            good.append(url)
        else:
            wrong = wrong or problem
    return tuple(good), wrong


def _problem(kind: Kind, url: str, reached: Collection[str]) -> str | None:
    try:
        if kind == "relay":
            relay = relay_address(url)
            host, tls = relay.host, relay.tls
        else:
            server = stun_address(url) if kind == "stun" else turn_address(url)
            host, tls = server.host, server.scheme == "turns"
    except BadAddress as error:
        return str(error)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if "." not in host or host.endswith(_INNER_SUFFIXES):
            return f"{host} is a name of some local network"
        # A name may mean an inner address to this machine alone; only TLS shows that it is the host's.
        return None if tls else f"{host} is a name, which is taken with TLS only"
    if str(address) in reached:
        return None
    if _INNER.verdict(str(address)) in (Verdict.ALLOWED, Verdict.OTHER_FAMILY):
        return None
    return f"{host} is an inner address at which the device itself was not reached"


class Member(Struct, frozen=True):
    """A device that is linked, with what it says."""

    device_id: str
    offers: tuple[Offer, ...]
    reached: frozenset[str]
    distrust: str | None
    """Why what it hosts waits for a person; None for a device that a person here approved, or an authority."""


class Adoption:
    """What is used of one network's members, and what waits."""

    def __init__(self, adopted: Iterable[Adopted]) -> None:
        self._adopted: dict[tuple[str, Kind], Adopted] = {(each.device_id, each.kind): each for each in adopted}
        self._changed: dict[tuple[str, Kind], float] = {}
        self._missed_since: dict[tuple[str, Kind], float] = {}
        self.waiting: tuple[Waiting, ...] = ()

    @property
    def adopted(self) -> tuple[Adopted, ...]:
        """In the order of their adoption."""
        return tuple(self._adopted.values())

    def of_kind(self, kind: Kind) -> tuple[Adopted, ...]:
        return tuple(each for each in self._adopted.values() if each.kind == kind)

    def keep_only(self, trusted: Collection[str], unix_s: int) -> None:
        """Forget what is of other devices, and what nobody has advertised for 30 days."""
        kept = {
            key: each
            for key, each in self._adopted.items()
            if each.device_id in trusted and unix_s - each.seen <= KEPT_S
        }
        for key in self._adopted.keys() - kept.keys():
            self._changed.pop(key, None)
            self._missed_since.pop(key, None)
        self._adopted = kept

    def look(self, members: Iterable[Member], steady_s: float, unix_s: int) -> None:
        """Take what linked members say now."""
        waiting: list[Waiting] = []
        for member in members:
            offers = {offer.kind: offer for offer in member.offers}
            for kind in _TAGS:
                offer = offers.get(kind)
                key = (member.device_id, kind)
                if offer is None:
                    self._missed(key, steady_s)
                    continue
                urls, wrong = usable_urls(offer, member.reached)
                why = member.distrust or (None if urls else wrong)
                if why is None:
                    why = self._take(key, urls, steady_s, unix_s)
                if why is not None:
                    waiting.append(Waiting(member.device_id, kind, offer.urls, why))
        self.waiting = tuple(waiting)

    def _missed(self, key: tuple[str, Kind], steady_s: float) -> None:
        if key in self._adopted and steady_s - self._missed_since.setdefault(key, steady_s) >= SETTLED_S:
            del self._adopted[key], self._missed_since[key]

    def _take(self, key: tuple[str, Kind], urls: tuple[str, ...], steady_s: float, unix_s: int) -> str | None:
        """Use them; otherwise why not."""
        device_id, kind = key
        known = self._adopted.get(key)
        if known is None and len(self.of_kind(kind)) >= MOST_OF_A_KIND:
            return f"{MOST_OF_A_KIND} of its kind are in use already"
        self._missed_since.pop(key, None)
        if known is None or known.urls != urls:
            if known is not None and steady_s - self._changed.get(key, -SETTLED_S) < SETTLED_S:
                return "its addresses change too often"
            self._changed[key] = steady_s
            self._adopted[key] = Adopted(device_id, kind, urls, unix_s)
        elif unix_s - known.seen >= _SEEN_TO_S:
            self._adopted[key] = msgspec.structs.replace(known, seen=unix_s)
        return None
