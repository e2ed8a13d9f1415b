"""The room: a relay that stores announces and passes on the rest, as badly as it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
    SendAnswer,
    SendCandidate,
    SendOffer,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from myownmesh.protocol.signals import (
        InboundSignal,
        OutboundSignal,
    )
    from simulation.sim.clock import VirtualClock

STORED_FOR_S = 300.0


class Member(Protocol):
    """Who can be in a room."""

    device_id: str

    def hear(self, item: InboundSignal) -> None: ...


@frozen
class Faults:
    """What happens to one kind of signal; probabilities and a span of delays in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (0.002, 0.004)


@define
class Room:
    """Everybody hears everybody's announces; the rest goes to whom it names."""

    clock: VirtualClock
    rng: random.Random
    faults: dict[type[OutboundSignal], Faults] = field(factory=dict)
    members: dict[str, Member] = field(factory=dict)
    stored: dict[str, float] = field(factory=dict)
    """When each device last announced itself."""
    published: list[tuple[float, str, OutboundSignal]] = field(factory=list)
    lost: Callable[[str, OutboundSignal], bool] = field(default=lambda _sender, _signal: False)
    """What else gets lost, by sender and signal."""
    like_the_reference: set[str] = field(factory=set)
    """Devices whose offers have any id and whose answers have none."""
    copies: tuple[float, ...] = ()
    """Seconds that each of several relays takes; the members hear every event from all of them."""

    def join(self, node: Member) -> None:
        """Subscribe: stored announces come first, then our own goes out, as on a real relay link."""
        self.members[node.device_id] = node
        for device_id, at in self.stored.items():
            if device_id != node.device_id and self.clock.seconds - at <= STORED_FOR_S:
                self._deliver(node, PeerAnnounced(device_id), Announce)
        self.publish(node.device_id, Announce())

    def quit(self, node: Member) -> None:
        if self.members.get(node.device_id) is node:
            del self.members[node.device_id]

    def publish(self, sender: str, signal: OutboundSignal) -> None:
        self.published.append((self.clock.seconds, sender, signal))
        if self.lost(sender, signal):
            return
        match signal:
            case Announce():
                self.stored[sender] = self.clock.seconds
                self._to_all(sender, PeerAnnounced(sender), Announce)
                self._echo(sender)
            case Leave():
                self.stored.pop(sender, None)
                self._to_all(sender, PeerLeft(sender), Leave)
            case SendOffer(peer, sdp, offer_id):
                self._to(peer, OfferReceived(sender, sdp, self._id_of(sender, offer_id)), SendOffer)
            case SendAnswer(peer, sdp, offer_id):
                self._to(peer, AnswerReceived(sender, sdp, self._id_of(sender, offer_id)), SendAnswer)
            case SendCandidate(peer, candidate):
                self._to(peer, CandidateReceived(sender, candidate), SendCandidate)

    def count(self, kind: type[OutboundSignal], sender: str | None = None) -> int:
        return sum(1 for _, who, signal in self.published if isinstance(signal, kind) and sender in (None, who))

    def _echo(self, sender: str) -> None:
        """Relays bring an announce to its writer, too."""
        node = self.members.get(sender)
        faults = self.faults.get(Announce, Faults())
        if node is not None and self.rng.random() >= faults.drop:
            late_s = min(self.copies) if self.copies else self.rng.uniform(*faults.delay)
            self.clock.after(late_s, lambda: node.hear(EchoHeard(sender, late_s)))

    def _to_all(self, sender: str, item: InboundSignal, kind: type[OutboundSignal]) -> None:
        for device_id, node in self.members.items():
            if device_id != sender:
                self._deliver(node, item, kind)

    def _to(self, peer: str, item: InboundSignal, kind: type[OutboundSignal]) -> None:
        if (node := self.members.get(peer)) is not None:
            self._deliver(node, item, kind)

    def _deliver(self, node: Member, item: InboundSignal, kind: type[OutboundSignal]) -> None:
        if self.copies:
            self._deliver_copies(node, item)
            return
        faults = self.faults.get(kind, Faults())
        copies = 1 + (self.rng.random() < faults.duplicate)
        for _ in range(copies):
            if self.rng.random() >= faults.drop:
                self.clock.after(self.rng.uniform(*faults.delay), lambda: node.hear(item))

    def _deliver_copies(self, node: Member, item: InboundSignal) -> None:
        """Every relay brings the event; the signaling layer passes its first copy on."""
        heard: list[InboundSignal] = []

        def hear() -> None:
            if not heard:
                heard.append(item)
                node.hear(item)

        for delay_s in self.copies:
            self.clock.after(delay_s, hear)

    def _id_of(self, sender: str, offer_id: str) -> str:
        return "" if sender in self.like_the_reference else offer_id
