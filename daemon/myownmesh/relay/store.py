"""What the hosted relay remembers: stored events and who is present (spec 03 §19.3, §19.4). Pure."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec
from attrs import define
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read_text
from myownmesh.protocol.strict_json import check_limits
from myownmesh.signaling.nostr import KIND_EPHEMERAL, KIND_PRESENCE, is_ephemeral

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from myownmesh.signaling.nostr import NostrEvent

STORED_EVENTS = 8192
STORED_BYTES = 32 * 2**20
RETENTION_S = 900.0
ROOM_EVENTS = 1024
"""One room may fill an eighth of the store: a busy or hostile room cannot flush the others."""
ROOM_BYTES = STORED_BYTES // 8
_MAX_ROOMS_PER_EVENT = 32
_MAX_DEVICE_CHARS = 128


class _Word(Struct, frozen=True):
    """What an envelope says of a device's coming and going; of repeated members the last."""

    kind: str
    device: str = field(name="from")


class _AnyWord(Struct, frozen=True):
    """The same, if not each of the repeated ones is a text."""

    kind: Raw
    device: Raw = field(name="from")


_read_word = msgspec.json.Decoder(_Word).decode
_read_any_word = msgspec.json.Decoder(_AnyWord).decode


@define(eq=False)
class Stored:
    """One verified event with the text that every subscriber gets."""

    event: NostrEvent
    """What filters ask for; of an announce without its content."""
    text: bytes
    rooms: tuple[str, ...]
    """The distinct `r` tags that it can be found by, at most 32; one empty text when there is none."""
    arrived: float
    """Monotonic seconds."""
    announces: tuple[str, str] | None
    """Room and device, of an announce."""
    serial: int = 0
    """Its place in the order of arrival; the store sets it."""


def stored_event(event: NostrEvent, now: float, text: bytes | None = None) -> Stored:
    """`text` is the event as `encoded` writes it, if it is at hand."""
    text = text or event.encoded()
    announces = None
    if not is_ephemeral(event.kind):  # it may stay for long: members of a room name the room in the same bytes
        tags = tuple([tuple(map(sys.intern, tag)) for tag in event.tags])
        if (announces := announced_device(event)) is not None:
            announces = (sys.intern(announces[0]), announces[1])
        # The content of an announce stands in the text, and nobody asks for it.
        event = replace(event, tags=tags, content=event.content if announces is None else "")
    rooms = event.tag_values("r")
    if len(rooms) > 1:
        rooms = list(dict.fromkeys(rooms))[:_MAX_ROOMS_PER_EVENT]
    return Stored(event, text, tuple(rooms) or ("",), now, announces)


class EventStore:
    """First in, first out, bounded by count, bytes and age, over all and per room."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, Stored] = OrderedDict()
        self._rooms: dict[str, _Room] = {}
        self._bytes = 0
        self._added = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, stored: Stored) -> None:
        self.expire(stored.arrived)
        if (known := self._events.get(stored.event.id)) is not None:  # so long ago that the hub does not remember it
            self._remove(known)
        self._added += 1
        stored.serial = self._added
        self._events[stored.event.id] = stored
        self._bytes += len(stored.text)
        for name in stored.rooms:
            self._rooms.setdefault(name, _Room()).add(stored)
        for name in stored.rooms:
            while (room := self._rooms.get(name)) is not None and room.is_over_quota:
                self._remove(room.oldest)
        while len(self._events) > STORED_EVENTS or self._bytes > STORED_BYTES:
            self._remove(next(iter(self._events.values())))

    def expire(self, now: float) -> None:
        while self._events:
            oldest = next(iter(self._events.values()))
            if now - oldest.arrived <= RETENTION_S:
                return
            self._remove(oldest)

    def all(self) -> Iterator[Stored]:
        """In order of arrival."""
        return iter(self._events.values())

    def find(self, ids: Collection[str], rooms: Collection[str]) -> list[Stored]:
        """What has one of these ids or carries one of these rooms, in order of arrival."""
        if not ids and len(rooms) == 1:  # what nearly everybody asks for
            room = self._rooms.get(next(iter(rooms)))
            return [] if room is None else list(room.events.values())
        found = {event_id: self._events[event_id] for event_id in ids if event_id in self._events}
        for name in rooms:
            if (room := self._rooms.get(name)) is not None:
                found.update(room.events)
        return sorted(found.values(), key=lambda stored: stored.serial)

    def forget_announces(self, room: str, device: str) -> bool:
        """Drop the device's stored announces: a joiner must not see who has gone. True: there were some."""
        events = self._rooms[room].events if room in self._rooms else {}
        found = [stored for stored in events.values() if stored.announces == (room, device)]
        for stored in found:
            self._remove(stored)
        return bool(found)

    def _remove(self, stored: Stored) -> None:
        if self._events.pop(stored.event.id, None) is None:
            return
        self._bytes -= len(stored.text)
        for name in stored.rooms:
            room = self._rooms[name]
            room.remove(stored)
            if not room.events:
                del self._rooms[name]


class _Room:
    """The share of one room in the store."""

    def __init__(self) -> None:
        self.events: OrderedDict[str, Stored] = OrderedDict()
        self._bytes = 0

    def add(self, stored: Stored) -> None:
        self.events[stored.event.id] = stored
        self._bytes += len(stored.text)

    def remove(self, stored: Stored) -> None:
        del self.events[stored.event.id]
        self._bytes -= len(stored.text)

    @property
    def oldest(self) -> Stored:
        return next(iter(self.events.values()))

    @property
    def is_over_quota(self) -> bool:
        return len(self.events) > ROOM_EVENTS or self._bytes > ROOM_BYTES


def announced_device(event: NostrEvent) -> tuple[str, str] | None:
    """(room, device) when the event is an announce with a room; device is the text of `from`, whatever it is."""
    return _named_device(event, KIND_PRESENCE, "announce")


def departed_device(event: NostrEvent) -> tuple[str, str] | None:
    """(room, device) when the event is a leave on the ephemeral kind."""
    return _named_device(event, KIND_EPHEMERAL, "leave")


def _named_device(event: NostrEvent, kind: int, word: str) -> tuple[str, str] | None:
    rooms = event.tag_values("r")
    if event.kind != kind or not rooms or word not in event.content:
        return None
    content = event.content.encode()
    try:
        said, device = _said(content)
        check_limits(content)
    except (msgspec.DecodeError, JsonError, RecursionError):
        return None
    # The leave that may follow names the device again, and a name outside ASCII brings old members down (spec 10 §5).
    if said != word or not device.isascii() or len(device) > _MAX_DEVICE_CHARS:
        return None
    return rooms[0], device


def _said(content: bytes) -> tuple[str, str]:
    try:
        found = _read_word(content)
    except msgspec.ValidationError:
        other = _read_any_word(content)
        return read_text(other.kind), read_text(other.device)
    return found.kind, found.device
