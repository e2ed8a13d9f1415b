"""The hosted relay without its sockets: verbs, limits, fan-out (spec 03 §19). One `Hub`, one `Client` per connection.

Everything is a plain synchronous call, so that an event that comes in on one socket is queued on all others before the
caller waits for anything. What goes out are WebSocket frames: an event is written once for all who call their
subscription the same, and clients do.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

from mesh_common.views import RelayActivity
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read_text
from myownmesh.protocol.strict_json import compact_json, decode_array, members
from myownmesh.relay.client import OUTBOUND_BYTES, Client, Subscription
from myownmesh.relay.filters import EVERYTHING, read_filter, tags_of
from myownmesh.relay.frames import text_frame
from myownmesh.relay.known import Known, mark_of
from myownmesh.relay.news import Both, News
from myownmesh.relay.presence import Presence
from myownmesh.relay.store import RETENTION_S, EventStore, departed_device, stored_event
from myownmesh.signaling import nostr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from msgspec import Raw

    from myownmesh.relay.client import Limits
    from myownmesh.relay.presence import Elsewhere, Pair
    from myownmesh.relay.store import Stored
    from myownmesh.signaling.nostr import NostrEvent

REPLAY_EVENTS = 500
_REPLAY_BYTES = OUTBOUND_BYTES // 2
_SUBSCRIPTION_BYTES = 2**20
_ROOMS_PER_CONNECTION = 1024
_PRESENCE_BYTES = 4096
TOLD_LEFT = 16384
"""Leaves that are remembered, should their devices not be gone."""
_EXAMINED_PER_TOKEN = 512
_SHARED_SUB_CHARS = 64

TOO_MANY_CONNECTIONS = text_frame(compact_json(["NOTICE", "too many connections from your address"]).encode())
"""What whoever is not let in gets before its Close."""


class Hub:
    """All rooms of one relay."""

    def __init__(self, limits: Limits, key: nostr.NostrKey, *, any_filter: bool = False) -> None:
        """`key` signs the leaves of devices whose sockets closed; `any_filter` is the switch `relay_any_filter`."""
        self._limits = limits
        self._key = key
        self._any_filter = any_filter
        self._clients: set[Client] = set()
        self._per_address: dict[str, int] = {}
        self._store = EventStore()
        self._presence = Presence()
        self._by_room: dict[str, dict[Subscription, None]] = {}
        self._loose: dict[Subscription, None] = {}
        self._known = Known()
        self._told_left: OrderedDict[Pair, None] = OrderedDict()
        """Whose leave this relay itself has said, and who has not announced itself since."""
        self._accepted = 0
        self._relayed = 0
        self.news = News()
        """Who tells other relays."""
        self.elsewhere: Counter[str] = Counter()
        """Connections to other relays, by address; whoever listens to the news keeps it."""

    def tell(self, news: News) -> None:
        """Also to these."""
        self.news = news if type(self.news) is News else Both(self.news, news)

    @property
    def activity(self) -> RelayActivity:
        return RelayActivity(len(self._clients), self._accepted, self._presence.rooms, self._relayed)

    def connect(self, address: str, now: float) -> Client | None:
        """A new connection, or None when its address has enough of them."""
        count = self._per_address.get(address, 0)
        most = self._limits.max_connections_per_ip
        if most and count + self.elsewhere[address] >= most:
            return None
        self._per_address[address] = count + 1
        self.news.connected(address, count + 1)
        client = Client(address, self._limits, now)
        self._clients.add(client)
        self._accepted += 1
        return client

    def disconnect(self, client: Client, now: float) -> None:
        self._clients.remove(client)
        self._per_address[client.address] -= 1
        self.news.connected(client.address, self._per_address[client.address])
        if not self._per_address[client.address]:
            del self._per_address[client.address]
        for sub in list(client.subscriptions):
            self._unsubscribe(client, sub)
        held = self._presence.held_by(client)
        for room, device in self._presence.ended(client, now):
            self._store.forget_announces(room, device)
        if departed := [pair for pair in held if self._presence.here(pair) is None]:
            self.news.departed(departed, is_told=False)

    def next_timer(self) -> float | None:
        return self._presence.next_leave()

    def handle_timer(self, now: float, wall_s: int) -> None:
        """Tell the rooms about devices that have been gone for 6 s."""
        self._say_leaves(self._presence.take_leaves(now), now, wall_s)

    def _say_leaves(self, pairs: Iterable[Pair], now: float, wall_s: int) -> None:
        for room, device in pairs:
            leave = self._key.sign(
                created_at=wall_s,
                kind=nostr.KIND_EPHEMERAL,
                tags=(("r", room), ("p", room)),
                content=compact_json({"from": device, "kind": "leave", "peer_id": device}),
            )
            self._fan_out(stored_event(leave, now))
            self._told_left[room, device] = None
            if len(self._told_left) > TOLD_LEFT:
                self._told_left.popitem(last=False)

    def receive(self, client: Client, text: bytes, now: float) -> None:
        """Take one text frame of a client; it is UTF-8."""
        limit = self._limits.max_message_bytes
        if limit and len(text) > limit:
            client.strike(now)
            return
        if (event := _event_alone(text)) is not None:
            if self._may_publish(client, event.id, now):
                self._publish(client, event, now)
            return
        verb, rest = _taken_apart(text)
        if verb == "EVENT":
            if self._may_publish(client, _event_id(rest), now) and (event := _event(rest)) is not None:
                self._publish(client, event, now)
        elif self._may_ask(client, now):
            # What nobody understands is not answered, but it is work all the same.
            sub = _text(rest)
            if verb == "REQ" and sub is not None:
                self._subscribe(client, sub, rest[1:], len(text), now)
            elif verb == "CLOSE" and sub is not None:
                self._unsubscribe(client, sub)

    def _may_ask(self, client: Client, now: float) -> bool:
        if client.requests.take(now):
            return True
        client.strike(now)
        return False

    def _may_publish(self, client: Client, event_id: str | None, now: float) -> bool:
        if client.events.take(now):
            return True
        client.strike(now)
        if event_id is not None:
            client.say("OK", event_id, False, "rate-limited: slow down")
        return False

    def _publish(self, client: Client, event: NostrEvent, now: float) -> None:
        text = event.encoded()
        mark = mark_of(text)
        if mark in self._known:
            # Verified before, in these very bytes. It still says where its device is connected now.
            again = stored_event(event, now, text)
            if self._note_presence(client, again):
                self.news.accepted(again, is_present=True)
            client.say("OK", event.id, True, "duplicate:")
            return
        if not nostr.is_genuine(event):
            client.say("OK", event.id, False, "invalid: bad signature")
            return
        self._relayed += 1
        stored = stored_event(event, now, text)
        self.news.accepted(stored, is_present=stored.announces is not None)
        self._note_presence(client, stored)
        self._spread(stored, mark)
        client.send(text_frame(b'["OK","%b",true,""]' % event.id.encode()))  # it is genuine: digits

    def _spread(self, stored: Stored, mark: bytes) -> None:
        """What has not been here before: to whoever asked, and kept for whoever asks later."""
        self._known.add(mark)
        if not nostr.is_ephemeral(stored.event.kind):
            self._store.add(stored)
        self._fan_out(stored)

    def _note_presence(self, client: Client, stored: Stored) -> bool:
        """True when it announces a device that the client had not announced before."""
        if len(stored.text) > _PRESENCE_BYTES:
            # An announce has a few hundred bytes; presence outlives the store and must stay small.
            return False
        if (pair := stored.announces) is not None:
            self._told_left.pop(pair, None)
            return self._presence.announced(client, pair, stored)
        pair = departed_device(stored.event)
        if pair is not None and self._presence.left(client, pair, stored.event.pubkey):
            if not self._presence.is_present(pair):
                self._store.forget_announces(*pair)
            if self._presence.here(pair) is None:
                self.news.departed([pair], is_told=True)
        return False

    # ── one of several relays ─────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, text: bytes, holder: Elsewhere | None, now: float, age_s: float = 0.0) -> Stored | None:
        """What another relay accepted, so long ago; the device that it announces is at `holder`.

        None when it is no genuine event: a relay takes no other, so somebody else speaks there.
        """
        try:
            event = nostr.read_encoded(text)
        except ValueError:
            return None
        mark = mark_of(text)
        is_known = mark in self._known
        if not is_known and not nostr.is_genuine(event):
            return None
        stored = stored_event(event, now - age_s, text)
        if holder is not None and stored.announces is not None and len(stored.text) <= _PRESENCE_BYTES:
            self._presence.announced(holder, stored.announces, stored)
            if is_known and stored.announces in self._told_left and nostr.is_genuine(event):
                self._fan_out(stored)  # it was not gone: its relay stood still, and its members heard that it left
            self._told_left.pop(stored.announces, None)
        if not is_known and age_s < RETENTION_S:
            self._spread(stored, mark)
        return stored

    def departed(self, holder: Elsewhere, pairs: Iterable[Pair], now: float, *, is_told: bool) -> None:
        """Another relay holds these no more; who is nowhere else leaves in 6 s, or has said so itself."""
        for pair in self._presence.released(holder, pairs):
            self._store.forget_announces(*pair)
            if not is_told:
                self._presence.expect_leave(pair, now)

    def forget(self, holder: Elsewhere, now: float, wall_s: int) -> None:
        """Another relay has not been heard for long: whoever is nowhere else leaves at once."""
        gone = self._presence.released(holder, self._presence.held_by(holder))
        for pair in gone:
            self._store.forget_announces(*pair)
        self._say_leaves(gone, now, wall_s)

    def lapse(self, pairs: Iterable[Pair], now: float, wall_s: int) -> None:
        """No relay has said for long that these are there: of whom an announce is kept nevertheless leaves at once."""
        missing = [pair for pair in pairs if not self._presence.is_present(pair)]
        self._say_leaves([pair for pair in missing if self._store.forget_announces(*pair)], now, wall_s)

    def held_by(self, holder: Elsewhere) -> list[Pair]:
        return self._presence.held_by(holder)

    def present_here(self) -> Sequence[Stored]:
        """The newest announce of every device that is connected to this very relay."""
        return self._presence.all_here()

    def is_newest_here(self, announce: Stored) -> bool:
        """Its device is still connected to this relay, and has not announced itself anew."""
        return announce.announces is not None and self._presence.here(announce.announces) is announce

    def stored(self, now: float) -> Iterator[Stored]:
        """All that is kept, in order of arrival."""
        self._store.expire(now)
        return self._store.all()

    @property
    def addresses(self) -> Mapping[str, int]:
        """Connections to this very relay."""
        return self._per_address

    # ── what is asked of it ───────────────────────────────────────────────────────────────────────────────────────────

    def _fan_out(self, stored: Stored) -> None:
        event, tags, frames = stored.event, tags_of(stored.event), dict[bytes, bytes]()
        rooms = tags.get("r", ())
        if len(rooms) == 1 and not self._loose:
            tried = self._by_room.get(rooms[0], {})
        else:
            tried = dict(self._loose)
            for room in rooms:
                tried.update(self._by_room.get(room, {}))
        answers: dict[int, bool] = {}  # by the filters' ids: many subscriptions share theirs
        for subscription in tried:
            for each in subscription.filters:
                answer = answers.get(id(each))
                if answer is None:
                    answer = answers[id(each)] = each.matches(event, tags)
                if answer:
                    prefix = subscription.prefix
                    frame = frames.get(prefix)
                    if frame is None:
                        frame = frames[prefix] = _event_frame(prefix, stored)
                    subscription.client.send(frame)
                    break

    def _subscribe(self, client: Client, sub: str, listed: list[Raw], nbytes: int, now: float) -> None:
        limits = self._limits
        if limits.max_filters_per_req:
            listed = listed[: limits.max_filters_per_req]
        others = [held for name, held in client.subscriptions.items() if name != sub] if client.subscriptions else []
        if limits.max_subscriptions and len(others) >= limits.max_subscriptions:
            client.say("CLOSED", sub, "rate-limited: too many subscriptions")
            return
        known, is_confined = [], bool(listed)
        rooms, is_loose = frozenset[str](), False
        for value in listed:
            each = read_filter(bytes(value))
            if each is None:
                is_confined = False
                continue
            known.append(each)
            if each.rooms is None:
                is_loose = True
                is_confined = is_confined and each.ids is not None
            elif each.rooms is not rooms:  # they mostly name the same, and share it
                rooms = rooms | each.rooms if rooms else each.rooms
        if not is_confined and not self._any_filter:
            client.say("CLOSED", sub, "restricted: a filter needs #r or ids")
            return
        if not listed:  # with the switch on it matches everything, as `{}` does
            known, is_loose = [EVERYTHING], True
        is_short = len(sub) <= _SHARED_SUB_CHARS
        prefix = _shared_prefix(sub) if is_short else _prefix(sub)
        subscription = Subscription(client, sub, tuple(known), prefix, nbytes, rooms, is_loose)
        if (
            sum([held.nbytes for held in others]) + nbytes > _SUBSCRIPTION_BYTES
            or sum([len(held.rooms) for held in others]) + len(rooms) > _ROOMS_PER_CONNECTION
        ):
            client.say("CLOSED", sub, "rate-limited: too many subscriptions")
            return
        self._unsubscribe(client, sub)
        client.subscriptions[sub] = subscription
        for room in rooms:
            self._by_room.setdefault(room, {})[subscription] = None
        if is_loose:
            self._loose[subscription] = None
        frames = self._replay(client, subscription, now)
        frames.append(_shared_end(sub) if is_short else _end(sub))
        client.send(b"".join(frames))

    def _replay(self, client: Client, subscription: Subscription, now: float) -> list[bytes]:
        self._store.expire(now)
        rooms, filters = subscription.rooms, subscription.filters
        stored: Iterable[Stored]
        if subscription.is_loose and not all(f.is_confined for f in filters):
            stored = self._store.all()
            present = self._presence.everyone()
        else:
            ids = [event_id for f in filters if f.ids is not None for event_id in f.ids]
            stored = self._store.find(ids, rooms)
            present = self._presence.newest(rooms)
        unique = {found.event.id: found for found in stored}
        for found in present:
            unique.setdefault(found.event.id, found)
        client.requests.force(now, len(unique) * len(filters) / _EXAMINED_PER_TOKEN)
        matching = []
        for found in unique.values():
            event, tags = found.event, tags_of(found.event)
            for each in filters:
                if each.matches(event, tags):
                    matching.append(found)
                    break
        frames: list[bytes] = []
        room_left = _REPLAY_BYTES
        for found in reversed(matching[-REPLAY_EVENTS:]):
            frame = _event_frame(subscription.prefix, found)
            room_left -= len(frame)
            if room_left < 0:
                break
            frames.append(frame)
        frames.reverse()
        return frames

    def _unsubscribe(self, client: Client, sub: str) -> None:
        subscription = client.subscriptions.pop(sub, None)
        if subscription is None:
            return
        self._loose.pop(subscription, None)
        for room in subscription.rooms:
            held = self._by_room[room]
            del held[subscription]
            if not held:
                del self._by_room[room]


def _prefix(sub: str) -> bytes:
    return f'["EVENT",{compact_json(sub)},'.encode()


def _end(sub: str) -> bytes:
    return text_frame(compact_json(["EOSE", sub]).encode())


_shared_prefix = lru_cache(maxsize=1024)(_prefix)
_shared_end = lru_cache(maxsize=1024)(_end)
"""Clients of one kind call their subscriptions the same."""


def _event_frame(prefix: bytes, stored: Stored) -> bytes:
    return text_frame(prefix, stored.text, b"]")


def _event_alone(text: bytes) -> NostrEvent | None:
    """The event of a client's frame that has nothing else and no character too many, which is what clients send."""
    if not (text.startswith(b'["EVENT",') and text.endswith(b"]")):
        return None
    return nostr.decode_shortest(text[9:-1])


def _taken_apart(text: bytes) -> tuple[str | None, list[Raw]]:
    """The verb of a client's frame and what follows it; None when it is no frame."""
    try:
        frame = decode_array(text)
    except ValueError:
        return None, []
    return _text(frame), frame[1:]


def _text(values: list[Raw]) -> str | None:
    """The first of these values if it is a text."""
    try:
        return read_text(values[0])
    except (JsonError, IndexError):
        return None


def _event(values: list[Raw]) -> NostrEvent | None:
    try:
        return nostr.decode_event(values[0])
    except (JsonError, IndexError):
        return None


def _event_id(values: list[Raw]) -> str | None:
    """The id of an event that nobody has looked at."""
    try:
        return read_text(dict(members(values[0]))["id"])
    except (JsonError, LookupError):
        return None
