"""One network's presence on all of its relays, without sockets: what to say, on which link, and what was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.protocol.signals import (
    Announce,
    Leave,
    SendAnswer,
    SendOffer,
)
from myownmesh.signaling.conversation import Conversation
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.outbound import EventWriter, Ledger
from myownmesh.signaling.pacing import announce_wait_ms
from myownmesh.signaling.receive import OfferBook, Receiver
from myownmesh.signaling.room import offer_id, room_handle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import (
        InboundSignal,
        OutboundSignal,
    )
    from myownmesh.signaling.gate import ContentGate
    from myownmesh.signaling.outbound import Outbound
    from myownmesh.signaling.receive import Dropped


class NostrRoom:
    """The shared part of a driver's links. Every method is plain and synchronous; `now` is always handed in."""

    def __init__(
        self,
        *,
        device_id: str,
        network_id: str,
        app_id: str,
        listen_only: bool,
        rng: Rng,
        now: Instant,
        gate: ContentGate | None = None,
    ) -> None:
        self.device_id = device_id
        self.handle = room_handle(app_id, network_id)
        self.key = NostrKey.generate(rng)
        self._rng = rng
        self._listen_only = listen_only
        self._leaving = False
        self._offers = OfferBook()
        self._receiver = Receiver(
            device_id=device_id, room=self.handle, pubkey=self.key.pubkey, gate=gate, offers=self._offers
        )
        self._writer = EventWriter(device_id=device_id, room=self.handle, key=self.key)
        self._ledger = Ledger()
        self._tags_refused_by: set[str] = set()
        self._links: list[Conversation] = []
        self._ticks = 0
        self._next_tick = now.mono + announce_wait_ms(device_id, 0) / 1000

    # -- the engine's side -------------------------------------------------------------------------------------------

    def publish(self, signal: OutboundSignal, now: Instant) -> None:
        """Queue a signal on every link. After a leave nothing is queued any more (spec 04 §1.2)."""
        if self._leaving:
            return
        mono, wall_s = now.mono, now.wall_ms // 1000
        match signal:
            case Announce():
                self._announce(now)
                return
            case Leave():
                self._leaving = True
                self._ledger.clear()
                for link in self._links:
                    link.discard_queue()
                if self._listen_only:
                    return
                outbound = self._writer.leave(mono, wall_s)
            case SendOffer(peer=peer):
                identifier = offer_id(self._rng)
                self._offers.sent(peer, identifier)
                outbound = self._writer.offer(signal, identifier, mono, wall_s)
            case SendAnswer(peer=peer):
                outbound = self._writer.answer(signal, self._offers.latest_from(peer), mono, wall_s)
            case _:
                outbound = self._writer.candidate(signal, mono, wall_s)
        self._ledger.add(outbound)
        for link in self._links:
            link.send(outbound)

    def next_tick(self) -> float | None:
        """When the periodic announce is due; None when there is none."""
        return None if self._listen_only or self._leaving else self._next_tick

    def handle_tick(self, now: Instant) -> None:
        if self._listen_only or self._leaving or now.mono < self._next_tick:
            return
        self._ticks += 1
        self._next_tick = now.mono + announce_wait_ms(self.device_id, self._ticks) / 1000
        self._announce(now)

    @property
    def leaving(self) -> bool:
        return self._leaving

    # -- the relays' side --------------------------------------------------------------------------------------------

    def open_link(self, relay: str, now: Instant) -> Conversation:
        link = Conversation(self, relay, now)
        link.open(now)
        self._links.append(link)
        return link

    def close_link(self, link: Conversation) -> None:
        self._links.remove(link)

    @property
    def links(self) -> Iterator[Conversation]:
        return iter(self._links)

    def receive(self, event: object, replay_began_s: int | None, now: Instant) -> InboundSignal | Dropped:
        demanded = self.needs_catch_all
        outcome = self._receiver.receive(event, replay_began_s=replay_began_s)
        if self.needs_catch_all != demanded:
            for link in self._links:
                link.fit_catch_all(now)
                # Even what is not done now is done by a timer.
                link.on_output()
        return outcome

    def announce_for(self, relay: str, now: Instant) -> Outbound | None:
        if self._listen_only or self._leaving:
            return None
        return self._writer.announce_on(relay, now.mono, now.wall_ms // 1000)

    def unconfirmed(self, now: Instant) -> list[Outbound]:
        return self._ledger.fresh(now.mono)

    def confirmed(self, outbound: Outbound) -> None:
        self._ledger.confirmed(outbound)

    @property
    def needs_catch_all(self) -> bool:
        return self._receiver.tags.needs_catch_all

    def tags_accepted_by(self, relay: str) -> bool:
        return relay not in self._tags_refused_by

    def tags_refused_by(self, relay: str) -> None:
        self._tags_refused_by.add(relay)

    def _announce(self, now: Instant) -> None:
        if self._listen_only or not self._links:
            # Nobody would hear it, and every link announces when it opens.
            return
        outbound = self._writer.announce({link.relay for link in self._links}, now.mono, now.wall_ms // 1000)
        if outbound is not None:
            for link in self._links:
                link.send(outbound)
