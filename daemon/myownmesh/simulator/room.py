"""The room: a relay that stores announces and passes on the rest, as badly as it is told to."""

from __future__ import annotations

from collections import Counter
from operator import methodcaller
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from attrs import define, field, frozen

from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    CandidateReceived,
    EchoHeard,
    Leave,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SealedReceived,
    SendAnswer,
    SendCandidate,
    SendOffer,
    SendSealed,
)
from myownmesh.simulator.history import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from myownmesh.protocol.signals import (
        Carried,
        InboundSignal,
        OutboundSignal,
    )
    from myownmesh.sealing.announce import Signed
    from myownmesh.simulator.clock import VirtualClock
    from myownmesh.simulator.sources import Sources

STORED_FOR_S = 300.0
_FIRST = frozenset({0})


class Announced(PeerAnnounced, frozen=True):
    """An announce as it is in the room."""

    key: str = ""
    """Of the process that made it: a device takes a new one at each start."""
    at: int = 0
    """Unix second by its writer's clock; only what is signed has one."""
    caps: tuple[str, ...] = ()
    signed: Signed | None = None


class Left(PeerLeft, frozen=True):
    """A leave as it is in the room."""

    key: str = ""
    at: int = 0
    signed: Signed | None = None


class Sealed(SealedReceived, frozen=True):
    """A sealed message as it is in the room."""

    key: str = ""


_SEALED: Final[Mapping[str, type[OutboundSignal]]] = {
    "offer": SendOffer,
    "answer": SendAnswer,
    "candidate": SendCandidate,
}


A = TypeVar("A", bound="Announced | Left")


class Member(Protocol):
    """Who can be in a room."""

    device_id: str

    def hear(self, item: InboundSignal | Sealed) -> None: ...


@frozen
class Faults:
    """What happens to one kind of signal; probabilities and a span of delays in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (0.002, 0.004)


_NONE = Faults()


@define
class Room:
    """Everybody hears everybody's announces; the rest goes to whom it names."""

    clock: VirtualClock
    sources: Sources
    faults: dict[type[OutboundSignal], Faults] = field(factory=dict)
    members: dict[str, Member] = field(factory=dict)
    starts: dict[str, int] = field(factory=dict)
    """How often each device has joined."""
    stored: dict[str, tuple[float, Announced, frozenset[int]]] = field(factory=dict)
    """What each device last announced, when, and on which relays it is."""
    published: Recent[tuple[float, str, Carried]] = field(factory=Recent)
    counts: Counter[tuple[type[OutboundSignal], str]] = field(factory=Counter)
    lost: Callable[[str, OutboundSignal], bool] = field(default=lambda _sender, _signal: False)
    """What else gets lost, by sender and signal."""
    like_the_reference: set[str] = field(factory=set)
    """Devices whose offers have any id and whose answers have none."""
    relays_of: dict[str, frozenset[int]] = field(factory=dict)
    """The relays that each device uses; without an entry the first one."""
    away: set[int] = field(factory=set)
    """Relays that serve nobody."""
    apart: set[str] = field(factory=set)
    """Devices that reach no relay, and do not know."""
    signers: dict[str, Callable[[Announced | Left], Announced | Left]] = field(factory=dict)
    """How devices that do sign what they say of themselves."""
    stripped: set[str] = field(factory=set)
    """Devices whose signatures a hostile relay takes away."""
    copies: tuple[float, ...] = ()
    """Seconds that each of several relays takes; the members hear every event from all of them."""

    def join(self, node: Member, *, has_network: bool = True) -> None:
        """Subscribe: stored announces come first, then our own goes out, as on a real relay link."""
        self.members[node.device_id] = node
        self.starts[node.device_id] = self.starts.get(node.device_id, 0) + 1
        if has_network:
            self.rejoin(node)

    def rejoin(self, node: Member) -> None:
        """The same process connects again: what is stored comes, and its announce goes out."""
        mine = self._ways(node.device_id)
        for device_id, (at, announced, kept_by) in self.stored.items():
            if device_id != node.device_id and self.clock.seconds - at <= STORED_FOR_S and mine & kept_by:
                self._bring(node, announced, Announce)
        self.publish(node.device_id, Announce())

    def quit(self, node: Member) -> None:
        if self.members.get(node.device_id) is node:
            del self.members[node.device_id]

    def publish(self, sender: str, signal: Carried) -> None:
        if isinstance(signal, SendSealed):
            self._seal(sender, signal)
            return
        self.published.append((self.clock.seconds, sender, signal))
        self.counts[type(signal), sender] += 1
        if self.lost(sender, signal):
            return
        match signal:
            case Announce():
                announced = self._signed(Announced(sender, key=self.key_of(sender)))
                if ways := self._ways(sender):
                    self.stored[sender] = self.clock.seconds, announced, ways
                self._to_all(sender, announced, Announce)
                self._echo(sender)
            case Leave():
                self.stored.pop(sender, None)
                self._to_all(sender, self._signed(Left(sender, key=self.key_of(sender))), Leave)
            case SendOffer(peer, sdp, offer_id):
                self._to(peer, OfferReceived(sender, sdp, self._id_of(sender, offer_id)), SendOffer)
            case SendAnswer(peer, sdp, offer_id):
                self._to(peer, AnswerReceived(sender, sdp, self._id_of(sender, offer_id)), SendAnswer)
            case SendCandidate(peer, candidate):
                self._to(peer, CandidateReceived(sender, candidate), SendCandidate)

    def _seal(self, sender: str, signal: SendSealed) -> None:
        """As what it stands for: it is counted, lost and late like that."""
        kind = _SEALED[signal.kind]
        self.published.append((self.clock.seconds, sender, signal))
        self.counts[kind, sender] += 1
        item = Sealed(sender, signal.kind, signal.offer_id, signal.eseal, key=self.key_of(sender))
        if (node := self.members.get(signal.peer)) is not None and self._brings(sender, signal.peer):
            self._bring(node, item, kind)

    def _signed(self, item: A) -> A:
        sign = self.signers.get(item.peer)
        return item if sign is None or item.peer in self.stripped else cast("A", sign(item))

    def speak(self, item: InboundSignal | Sealed) -> None:
        """Anybody brings this to everybody, its supposed writer too."""
        self._deliver(self.members.values(), item, Announce)

    def count(self, kind: type[OutboundSignal], sender: str | None = None) -> int:
        """How many of a kind were published since the beginning, by one device or by all."""
        if sender is not None:
            return self.counts[kind, sender]
        return sum(number for (each, _), number in self.counts.items() if each is kind)

    def _echo(self, sender: str) -> None:
        """Relays bring an announce to its writer, too."""
        node = self.members.get(sender)
        faults = self.faults.get(Announce, Faults())
        rng = self.sources.of(f"room {sender}")
        if node is not None and rng.random() >= faults.drop and self.serves(sender):
            late_s = min(self.copies) if self.copies else rng.uniform(*faults.delay)
            self.clock.after(late_s, lambda: node.hear(EchoHeard(sender, late_s)))

    def _to_all(self, sender: str, item: InboundSignal | Sealed, kind: type[OutboundSignal]) -> None:
        has_one_relay = self._has_one_relay
        receivers = [
            node
            for device_id, node in self.members.items()
            if device_id != sender and (has_one_relay or self._brings(sender, device_id))
        ]
        if self.copies:
            for node in receivers:
                self._deliver_copies(node, item)
        else:
            self._deliver(receivers, item, kind)

    def _to(self, peer: str, item: InboundSignal, kind: type[OutboundSignal]) -> None:
        if (node := self.members.get(peer)) is not None and self._brings(item.peer, peer):
            self._bring(node, item, kind)

    # ── relays ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def serves(self, device_id: str) -> bool:
        """Whether any relay of the device serves it."""
        return bool(self._ways(device_id))

    def uses(self, device_id: str, relay: int) -> bool:
        return relay in self.relays_of.get(device_id, _FIRST)

    def is_shared(self, one: str, other: str) -> bool:
        """Whether two devices use a relay in common."""
        return bool(self.relays_of.get(one, _FIRST) & self.relays_of.get(other, _FIRST))

    def _brings(self, sender: str, receiver: str) -> bool:
        """Whether a relay brings now what one of them sends to the other."""
        return self._has_one_relay or bool(self._ways(sender) & self._ways(receiver))

    @property
    def _has_one_relay(self) -> bool:
        """All use the same one, and it serves all."""
        return not self.away and not self.apart and not self.relays_of

    def _ways(self, device_id: str) -> frozenset[int]:
        if device_id in self.apart:
            return frozenset()
        return self.relays_of.get(device_id, _FIRST) - self.away

    # ── deliveries ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _bring(self, node: Member, item: InboundSignal | Sealed, kind: type[OutboundSignal]) -> None:
        if self.copies:
            self._deliver_copies(node, item)
        else:
            self._deliver((node,), item, kind)

    def _deliver(self, nodes: Iterable[Member], item: InboundSignal | Sealed, kind: type[OutboundSignal]) -> None:
        faults = self.faults.get(kind, _NONE)
        drop, duplicate, (least_s, most_s) = faults.drop, faults.duplicate, faults.delay
        random = self.sources.of(f"room {item.peer}").random
        self.clock.all_after(
            (
                (least_s + (most_s - least_s) * random(), node)
                for node in nodes
                for _ in range(1 + (random() < duplicate))
                if random() >= drop
            ),
            methodcaller("hear", item),
        )

    def _deliver_copies(self, node: Member, item: InboundSignal | Sealed) -> None:
        """Every relay brings the event; the signaling layer passes its first copy on."""
        heard: list[InboundSignal | Sealed] = []

        def hear() -> None:
            if not heard:
                heard.append(item)
                node.hear(item)

        for delay_s in self.copies:
            self.clock.after(delay_s, hear)

    def key_of(self, sender: str) -> str:
        return f"start {self.starts.get(sender, 0)}"

    def _id_of(self, sender: str, offer_id: str) -> str:
        return "" if sender in self.like_the_reference else offer_id
