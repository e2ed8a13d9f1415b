"""Several relays that are one to their clients: what each tells the others, and what it makes of what it hears. Pure.

Every relay hears every batch of every other one, in the order in which that one said them, by their numbers; its own it
hears again. An event is known by its id, so that hearing it twice changes nothing. Who is where is held for each relay
and is its word alone; it lapses when the relay has not been heard for fifteen seconds, and is asked for whenever
somebody is heard of whom nothing is held, or something may have been missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from myownmesh.cluster import entries
from myownmesh.cluster.entries import (
    Ask,
    Connections,
    Departed,
    EndOfEverything,
    Everything,
    NotOurs,
    Said,
)
from myownmesh.cluster.outbox import BATCH_BYTES, Outbox
from myownmesh.relay.news import News
from myownmesh.relay.presence import Elsewhere
from myownmesh.signaling.nostr import is_ephemeral

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from myownmesh.cluster.entries import Entry, OfRelay
    from myownmesh.relay.hub import Hub
    from myownmesh.relay.presence import Pair
    from myownmesh.relay.store import Stored

BEAT_S: Final = 5.0
LEASE_S: Final = 15.0
"""Three beats: one may be late and one lost."""
RELAYS: Final = 256
"""Others that something is held of. Whoever writes ever new names on the bus fills no memory."""
ADDRESSES: Final = 16384
"""Of one relay: as many as it has connections."""
UNHELD: Final = 16384
"""Devices that may have been left by a relay that ended before this one came."""
ANSWER_PAUSE_S: Final = 5.0
"""Everything is said at most this often, however many ask: all of them hear it."""
COUNTS_PAUSE_S: Final = 0.25
"""Connections come by the thousand, and are told together."""
EPHEMERAL_S: Final = 30.0
"""An offer that nobody could hear for so long has been made anew."""
UNREADABLE_S: Final = 60.0
"""So long after something that was not ours it is still worth a word."""
_ADDRESS_CHARS: Final = 64


class Relay(Elsewhere):
    """Another relay."""

    def __init__(self, now: float, number: int) -> None:
        self.heard_at = now
        self.number = number
        """Of its last batch that was heard."""
        self.counts: dict[str, int] = {}
        self.unsaid: set[Pair] | None = None
        """While it says everything: what it held before and has not said again."""


class Cluster(News):
    """What one of several relays knows of the others."""

    def __init__(self, me: str, hub: Hub, now: float, group: str | None = None) -> None:
        """`me` is this relay's name, which no other one has.

        With a `group`, relays whose names begin so, and are as long, are not heard here: they are heard in another way.
        """
        self._me = me
        self._mine = entries.beginning(me if group is None else group, len(me))
        self._hub = hub
        self._relays: dict[str, Relay] = {}
        self._outbox = Outbox()
        self._number = 0
        self._is_joined = False
        self._reason: str | None = None
        self._beat_at = now
        self._looked_at = now
        self._counts: dict[str, int] = {}
        self._counts_at = now
        self._answer: Iterator[bytes] | None = None
        """What is being said anew."""
        self._answered_at = float("-inf")
        self._answers: set[bool] = set()
        """Whether what is kept is wanted, of questions that have not been answered."""
        self._wants_stored = True
        self._unheld: dict[Pair, float] = {}
        """Devices whose announce was kept elsewhere, from when on: the relay that had one may have ended before this
        one came. Who is nobody's for as long as a lease leaves."""
        self._unreadable = 0
        self._unreadable_at = float("-inf")
        self.on_outgoing: Callable[[], None] = _nobody
        """There is something to say, where there was nothing."""
        hub.tell(self)

    # ── to the others ─────────────────────────────────────────────────────────────────────────────────────────────────

    def accepted(self, stored: Stored, *, is_present: bool) -> None:
        useless_at = stored.arrived + EPHEMERAL_S if is_ephemeral(stored.event.kind) else None
        self._say(Said(stored.text, is_present), useless_at)

    def departed(self, pairs: Sequence[Pair], *, is_told: bool) -> None:
        self._say(Departed(tuple(pairs), is_told))

    def connected(self, address: str, count: int) -> None:
        self._counts[address] = count

    def take_batch(self, now: float) -> bytes | None:
        """What is to be said next; None when there is nothing."""
        taken = self._outbox.take(now)
        if self._answer is not None:
            room = BATCH_BYTES - sum(map(len, taken))
            while self._answer is not None and room > 0:
                if (entry := next(self._answer, None)) is None:
                    self._answer = None
                else:
                    room -= len(entry)
                    taken.append(entry)
        return self._numbered(taken) if taken else None

    def take_beat(self) -> bytes:
        """A batch that says nothing but that this relay is there."""
        return self._numbered([])

    def _numbered(self, said: list[bytes]) -> bytes:
        self._number += 1
        return entries.batch(self._me, self._number, said)

    def _say(self, entry: Entry, useless_at: float | None = None) -> None:
        self._outbox.add(entries.encoded(entry), useless_at)
        self.on_outgoing()

    # ── from the others ───────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, data: bytes, now: float, *, age_s: float = 0.0, is_past: bool = False) -> None:
        """A batch that somebody said so long ago. `is_past`: before this relay was there, so it is for the replay."""
        if data.startswith(self._mine):
            return
        try:
            name, number, said = entries.read_batch(data)
        except NotOurs:
            self._note_unreadable(now)
            return
        relay = None
        if not is_past:
            is_again = (known := self._relays.get(name)) is not None and number <= known.number
            relay = self._relay(name, number, now)
            if is_again:
                return  # it has been heard, or its relay was asked for everything since
        for entry in said:
            if isinstance(entry, Said):
                holder = relay if entry.is_present else None
                stored = self._hub.hear(entry.text, holder, now, max(0.0, age_s) + max(0.0, entry.age_s))
                if stored is None:
                    self._note_unreadable(now)
                elif stored.announces is not None:
                    self._announced(stored.announces, holder, now, is_kept=is_past or entry.age_s > 0)
            elif relay is not None:
                self._take(relay, entry, now)

    def _announced(self, pair: Pair, holder: Relay | None, now: float, *, is_kept: bool) -> None:
        if holder is not None and holder.unsaid is not None:
            holder.unsaid.discard(pair)
        elif holder is None and is_kept and len(self._unheld) < UNHELD:
            self._unheld.setdefault(pair, now)

    def _relay(self, name: str, number: int, now: float) -> Relay | None:
        relay = self._relays.get(name)
        if relay is None:
            if len(self._relays) >= RELAYS:
                return None
            relay = self._relays[name] = Relay(now, number)
            self._ask(name)
        elif number > relay.number + 1:
            self._wants_stored = True
            self._ask(name)
        relay.number = max(relay.number, number)
        relay.heard_at = now
        return relay

    def _take(self, relay: Relay, entry: OfRelay, now: float) -> None:
        match entry:
            case Departed():
                self._hub.departed(relay, entry.pairs, now, is_told=entry.is_told)
            case Connections():
                self._count(relay, entry.counts)
            case Ask():
                if entry.of == self._me:
                    self._answers.add(entry.wants_stored)
            case Everything():
                relay.unsaid = set(self._hub.held_by(relay))
                self._count(relay, dict.fromkeys(relay.counts, 0))
            case EndOfEverything():
                unsaid, relay.unsaid = relay.unsaid, None
                self._hub.departed(relay, sorted(unsaid or ()), now, is_told=False)
            case _:
                assert_never(entry)

    def _count(self, relay: Relay, counts: Mapping[str, int]) -> None:
        everywhere = self._hub.elsewhere
        for address, count in counts.items():
            before = relay.counts.pop(address, 0)
            if len(address) > _ADDRESS_CHARS or len(relay.counts) >= ADDRESSES or not 0 <= count <= ADDRESSES:
                count = 0
            if count:
                relay.counts[address] = count
            everywhere[address] += count - before
            if not everywhere[address]:
                del everywhere[address]

    def _note_unreadable(self, now: float) -> None:
        self._unreadable += 1
        self._unreadable_at = now

    # ── what may have been missed ─────────────────────────────────────────────────────────────────────────────────────

    def missed(self) -> None:
        """Something that others said was not heard and never will be: they are to say everything anew."""
        self._wants_stored = True
        for name in self._relays:
            self._ask(name)

    def jumped(self, now: float) -> None:
        """Something stood there that is too long to be read, and what came behind it was left out with it."""
        self._note_unreadable(now)
        self.missed()

    def _ask(self, name: str) -> None:
        """What it keeps is wanted of the first one only: all keep the same."""
        self._say(Ask(name, self._wants_stored))
        self._wants_stored = False

    def _everything(self, now: float, *, with_stored: bool) -> Iterator[bytes]:
        """Made as it is said: it may be as much as everything that a relay holds."""
        hub = self._hub
        kept = list(hub.stored(now)) if with_stored else []
        yield entries.encoded(Everything())
        yield entries.encoded(Connections(dict(hub.addresses)))
        for stored in hub.present_here():
            if hub.is_newest_here(stored):  # else it is gone, or was announced anew, and that has been said
                yield entries.encoded(Said(stored.text, True))
        yield entries.encoded(EndOfEverything())
        for stored in kept:
            yield entries.encoded(Said(stored.text, False, now - stored.arrived))

    # ── the way to the others ─────────────────────────────────────────────────────────────────────────────────────────

    def joined(self, now: float) -> None:
        """They can be heard, and hear. Whoever could not be heard meanwhile has all of its time before it."""
        if not self._is_joined:
            self._is_joined, self._reason = True, None
            self._beat_at = now
            self._spare_all(now)
            self.on_outgoing()

    def parted(self, reason: str) -> None:
        """They cannot. Rooms go on with whoever is here; what is said waits, as much as there is room for."""
        self._is_joined, self._reason = False, reason

    def problem(self, now: float) -> str | None:
        """What somebody should look after."""
        if self._reason is not None:
            return f"the other relays cannot be reached, and rooms go on without them: {self._reason}"
        if now - self._unreadable_at < UNREADABLE_S:
            return f"somebody else speaks among the relays: {self._unreadable} words were not theirs"
        return None

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def next_timer(self) -> float:
        """When `handle_timer` has something to do at the latest: leases are looked at as often as relays are heard."""
        look_at = self._looked_at + BEAT_S
        return min(look_at, self._counts_at) if self._counts else look_at

    def next_beat(self) -> float:
        return self._beat_at

    def is_beat_due(self, now: float) -> bool:
        """Say that this relay is there, if nothing else is said. True once in five seconds."""
        if now < self._beat_at:
            return False
        self._beat_at = now + BEAT_S
        return True

    def handle_timer(self, now: float, wall_s: int) -> None:
        """Due at `next_timer`, and at any other time."""
        if now - self._looked_at > LEASE_S - BEAT_S:
            self._spare_all(now)  # this process itself stood still, and has not read what came meanwhile
        self._looked_at = now
        if self._counts and now >= self._counts_at:
            counts, self._counts = self._counts, {}
            self._counts_at = now + COUNTS_PAUSE_S
            self._say(Connections(counts))
        if not self._is_joined:
            return
        if self._outbox.has_lost:
            self._outbox.has_lost = False
            self._answers.add(True)
        if self._answers and self._answer is None and now - self._answered_at >= ANSWER_PAUSE_S:
            self._answer = self._everything(now, with_stored=True in self._answers)
            self._answers.clear()
            self._answered_at = now
            self.on_outgoing()
        for name, relay in list(self._relays.items()):
            if now - relay.heard_at >= LEASE_S:
                del self._relays[name]
                self._count(relay, dict.fromkeys(relay.counts, 0))
                self._hub.forget(relay, now, wall_s)
        if due := [pair for pair, since in self._unheld.items() if now - since >= LEASE_S]:
            for pair in due:
                del self._unheld[pair]
            self._hub.lapse(due, now, wall_s)

    def _spare_all(self, now: float) -> None:
        self._unheld = dict.fromkeys(self._unheld, now)
        for relay in self._relays.values():
            relay.heard_at = max(relay.heard_at, now)


def _nobody() -> None:
    """Nobody listens yet."""
