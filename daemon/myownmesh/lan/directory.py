"""Who is in the room, by the adverts that were heard: found, refreshed and given up (spec 03 §18.2).

Bounded whatever is heard: so many adverts, so many addresses of each, and no lifetime beyond `MAX_LIFE_S`.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from myownmesh.lan.endpoints import MAX_ADDRESSES, Endpoint, in_order
from myownmesh.lan.names import label_of, room_prefix
from myownmesh.lan.txt import Advert, accepted, parse
from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ADVERTS: Final = 512
MAX_LIFE_S: Final = 240.0
"""Whatever the record says: twice what every device of ours and of v0.3.8 writes."""
REFRESH_AT: Final = (0.8, 0.9, 0.95)
"""Parts of its life after which an advert is asked for again."""
COMPLETE_AT_S: Final = (0.0, 1.0, 3.0)
"""When the rest of an advert is asked for."""
GIVE_UP_S: Final = 10.0
"""An advert that is not complete by then is forgotten."""
AGAIN_S: Final = 1.0
"""An advert that is heard again sooner says nothing new."""
NEW_BURST: Final = 256.0
NEW_PER_S: Final = 20.0
"""Adverts of names that were not heard before: a large room at once, and no flood. What is not taken is heard again."""
GRACE_S: Final = 10.0
"""After a time without a network every advert may show that it is still there."""


# ── what is heard ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Pointer(Struct, frozen=True):
    """PTR: there is an advert of this name. A lifetime of 0 takes it back, here and below."""

    name: str
    ttl_s: float


class Service(Struct, frozen=True):
    """SRV: where it listens."""

    name: str
    host: str
    port: int
    ttl_s: float


class Text(Struct, frozen=True):
    """TXT: what it says of itself."""

    name: str
    rdata: bytes
    ttl_s: float


class Address(Struct, frozen=True):
    """A: one address of a host."""

    host: str
    address: bytes
    ttl_s: float


Record = Pointer | Service | Text | Address

# ── what follows ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Found(Struct, frozen=True):
    """A device is there, or there still."""

    advert: Advert
    endpoint: Endpoint
    again: bool
    """With the same listener as when it was found last."""


class Lost(Struct, frozen=True):
    """Its advert was taken back, or has run out."""

    peer: str
    endpoint: Endpoint


Change = Found | Lost


class Question(Struct, frozen=True):
    """What to ask the local network for."""

    name: str
    kind: str
    """SRV, TXT or A."""


class _Held(Struct, eq=False):
    """One advert."""

    name: str
    since: float
    host: str | None = None
    port: int = 0
    life_s: float = 0.0
    until: float = 0.0
    heard_at: float = 0.0
    text: bytes | None = None
    addresses: dict[str, float] = field(default_factory=dict)
    """Until when each holds, the one that was heard last at the end."""
    asked: int = 0
    """How often, since it was heard last."""
    is_proved: bool = False
    told: Advert | None = None
    told_at: float = 0.0

    def missing(self) -> tuple[str, ...]:
        """The kinds of records that are not there."""
        return tuple(
            kind
            for kind, there in (("SRV", self.host), ("TXT", self.text is not None), ("A", self.addresses))
            if not there
        )

    @property
    def ask_at(self) -> float | None:
        """When it is to be asked for again."""
        if self.missing():
            return self.since + COMPLETE_AT_S[self.asked] if self.asked < len(COMPLETE_AT_S) else None
        return self.heard_at + self.life_s * REFRESH_AT[self.asked] if self.asked < len(REFRESH_AT) else None

    @property
    def ends_at(self) -> float:
        return self.since + GIVE_UP_S if self.missing() else self.until


class Directory:
    """The adverts of one room. `now` is monotonic seconds and handed in."""

    def __init__(self, room: str, device_id: str, now: float) -> None:
        self._room = room
        self._device_id = device_id
        self._prefix = room_prefix(room)
        self._held: OrderedDict[str, _Held] = OrderedDict()
        """By name, the one that was heard last at the end."""
        self._by_host: dict[str, dict[str, None]] = {}
        """The names of the adverts of each host."""
        self._endpoints: dict[str, Endpoint] = {}
        self._new = TokenBucket(NEW_PER_S, NEW_BURST, now)
        self.is_paused = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def peers(self) -> list[str]:
        """Every device that is there."""
        return list(self._endpoints)

    def endpoint(self, peer: str) -> Endpoint | None:
        """Where a device listens."""
        return self._endpoints.get(peer)

    def is_about(self, name: str) -> bool:
        """Whether records of this name may belong to an advert of the room: by its label, or as the host of one."""
        name = name.lower()
        label = label_of(name)
        if label is not None:
            return label.startswith(self._prefix)
        return name in self._by_host

    def answered(self, peer: str) -> None:
        """The device was reached where its advert says: where there are too many, others go first."""
        for held in self._held.values():
            if held.told is not None and held.told.peer == peer:
                held.is_proved = True

    def heard(self, records: Iterable[Record], now: float) -> list[Change]:
        """Take in what one packet brought."""
        changes: list[Change] = []
        touched: dict[str, _Held] = {}
        addresses: list[Address] = []
        for record in records:
            if isinstance(record, Address):
                addresses.append(record)
                continue
            name = record.name.lower()
            label = label_of(name)
            if label is None or not label.startswith(self._prefix):
                continue
            if record.ttl_s <= 0:
                if not isinstance(record, Text):
                    touched.pop(name, None)
                    changes += self._drop(name)
                continue
            if name not in self._held:
                if not self._new.take(now):
                    continue
                changes += self._hold(name, now)
            held = touched[name] = self._held[name]
            self._held.move_to_end(name)
            match record:
                case Service(_, host, port, ttl_s):
                    self._is_at(held, host.lower(), port, now)
                    held.life_s = min(ttl_s, MAX_LIFE_S)
                    held.until, held.heard_at = now + held.life_s, now
                case Text(_, rdata):
                    held.text = rdata
                case _:
                    pass
        for record in addresses:
            touched.update((held.name, held) for held in self._take_address(record, now))
        for held in touched.values():
            if self._held.get(held.name) is held:  # a crowd in one packet puts some of itself out
                changes += self._judge(held, now)
        return changes

    def reminders(self) -> list[Change]:
        """Everybody who is there, once more."""
        told = {held.told.peer: held.told for held in self._held.values() if held.told is not None}
        return [Found(advert, self._endpoints[peer], again=True) for peer, advert in told.items()]

    def next_due(self) -> float | None:
        """When `handle_timer` has something to do."""
        if self.is_paused:
            return None
        times = [held.ends_at for held in self._held.values()]
        times += [held.ask_at for held in self._held.values() if held.ask_at is not None]
        return min(times, default=None)

    def handle_timer(self, now: float) -> tuple[list[Change], list[Question]]:
        """Give up what has run out, and ask again for what soon will."""
        changes: list[Change] = []
        questions: list[Question] = []
        if self.is_paused:
            return changes, questions
        for held in list(self._held.values()):
            if held.ends_at <= now:
                changes += self._drop(held.name)
            elif held.ask_at is not None and held.ask_at <= now:
                held.asked += 1
                questions += self._questions(held)
        return changes, questions

    def pause(self) -> None:
        """There is no network: that nothing is heard says nothing."""
        self.is_paused = True

    def resume(self, now: float) -> None:
        """There is a network, perhaps another one."""
        self.is_paused = False
        for held in self._held.values():
            held.until = max(held.until, now + GRACE_S)
            held.heard_at, held.life_s, held.asked = now, held.until - now, 0

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _hold(self, name: str, now: float) -> list[Change]:
        self._held[name] = _Held(name, since=now)
        if len(self._held) <= MAX_ADVERTS:
            return []
        *others, _ = self._held.values()
        oldest = next((held for held in others if not held.is_proved), others[0])
        return self._drop(oldest.name)

    def _is_at(self, held: _Held, host: str, port: int, now: float) -> None:
        if (held.host, held.port) == (host, port):
            return
        if held.host != host:
            self._unlist(held)
            names = self._by_host.setdefault(host, {})
            held.addresses = next((dict(self._held[name].addresses) for name in names), {})
            names[held.name] = None
        held.host, held.port, held.since = host, port, now

    def _unlist(self, held: _Held) -> None:
        if held.host is not None:
            names = self._by_host[held.host]
            del names[held.name]
            if not names:
                del self._by_host[held.host]

    def _take_address(self, record: Address, now: float) -> list[_Held]:
        address = str(ipaddress.IPv4Address(record.address))
        concerned = [self._held[name] for name in self._by_host.get(record.host.lower(), ())]
        for held in concerned:
            held.addresses.pop(address, None)
            if record.ttl_s > 0:
                held.addresses[address] = now + min(record.ttl_s, MAX_LIFE_S)
                if len(held.addresses) > MAX_ADDRESSES:
                    del held.addresses[next(iter(held.addresses))]
            elif not held.addresses:
                held.since = now  # another one may follow
        return concerned

    def _judge(self, held: _Held, now: float) -> list[Change]:
        if held.missing() or held.text is None:
            return []
        if held.heard_at == now:
            held.asked = 0
        advert = accepted(parse(held.text), self._room, self._device_id)
        if advert is None:
            # Of another room with the same eight digits, or our own; kept, so that it is not asked for all the time.
            return self._untell(held)
        changes = [] if held.told is None or held.told.peer == advert.peer else self._untell(held)
        before = self._endpoints.get(advert.peer)
        fresh = Endpoint(in_order(address for address, until in held.addresses.items() if until > now), held.port)
        merged = fresh if before is None else before.merged(fresh)
        again = before == merged and held.told == advert
        if again and now - held.told_at < AGAIN_S:
            return changes
        held.told, held.told_at = advert, now
        self._endpoints[advert.peer] = merged
        return [*changes, Found(advert, merged, again)]

    def _drop(self, name: str) -> list[Change]:
        held = self._held.pop(name, None)
        if held is None:
            return []
        self._unlist(held)
        return self._untell(held)

    def _untell(self, held: _Held) -> list[Change]:
        """This advert is not one of its device any more."""
        told, held.told = held.told, None
        if told is None or any(each.told is not None and each.told.peer == told.peer for each in self._held.values()):
            return []
        return [Lost(told.peer, self._endpoints.pop(told.peer))]

    def _questions(self, held: _Held) -> Iterator[Question]:
        missing = held.missing()
        if missing == ("A",) and held.host is not None:
            yield Question(held.host, "A")
            return
        for kind in ("SRV", "TXT") if missing else ("SRV",):
            yield Question(held.name, kind)
        if held.host is not None:
            yield Question(held.host, "A")
