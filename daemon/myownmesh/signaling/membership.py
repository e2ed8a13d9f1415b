"""One device in one room, whatever the link: what it has said, what it has heard, and which relays mind its tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.protocol.signals import SendAnswer, SendOffer, SendSealed
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.outbound import EventWriter, Ledger
from myownmesh.signaling.receive import Receiver
from myownmesh.signaling.room import room_handle
from myownmesh.signaling.twins import Twins

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import InboundSignal, SendCandidate
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.gate import ContentGate
    from myownmesh.signaling.outbound import Outbound
    from myownmesh.signaling.receive import Dropped
    from myownmesh.signaling.timepiece import Timepiece


class Membership:
    """What the links of one room share. It knows none of them; `now` is always handed in."""

    def __init__(
        self,
        *,
        device_id: str,
        network_id: str,
        app_id: str,
        listen_only: bool,
        rng: Rng,
        gate: ContentGate | None,
        timepiece: Timepiece,
        sign: Callable[[bytes], bytes] | None,
        now: Instant,
        desk: Desk | None = None,
    ) -> None:
        self.device_id = device_id
        self.handle = room_handle(app_id, network_id)
        self.key = NostrKey.generate(rng)
        self.leaving = False
        """After our leave nothing is said any more (spec 04 §1.2)."""
        self._listen_only = listen_only
        self.timepiece = timepiece
        self.stands_aside = False
        """Another process has our name: it speaks, we only tell it that we are here."""
        pubkey = self.key.pubkey
        self._twins = Twins(device_id=device_id, room=self.handle, pubkey=pubkey, sign=sign, began=now)
        self._writer = EventWriter(device_id=device_id, room=self.handle, key=self.key, desk=desk)
        self._receiver = Receiver(
            device_id=device_id,
            room=self.handle,
            pubkey=pubkey,
            twins=self._twins,
            echoes=self._writer.echoes,
            gate=gate,
            stamped=timepiece.room_said,
            desk=desk,
        )
        self._desk = desk
        self._ledger = Ledger()
        self._tags_refused_by: set[str] = set()

    # ── saying ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def announces(self) -> bool:
        """False when nobody is to know that we are here, or here still."""
        return not (self._listen_only or self.leaving or self.stands_aside)

    def announce(self, relays: set[str], now: Instant) -> Outbound | None:
        """One announce for all of these relays; None when it must not or need not be made."""
        return self._writer.announce(relays, now.mono, now.wall_ms // 1000) if self.announces else None

    def announce_on(self, relay: str, now: Instant) -> Outbound | None:
        """The announce of a link that has just opened."""
        return self._writer.announce_on(relay, now.mono, now.wall_ms // 1000) if self.announces else None

    def write(self, signal: SendOffer | SendAnswer | SendCandidate | SendSealed, now: Instant) -> Outbound:
        """The event of a directed signal; it stays unconfirmed until a relay has it."""
        mono, wall_s = now.mono, now.wall_ms // 1000
        match signal:
            case SendOffer():
                outbound = self._writer.offer(signal, mono, wall_s)
            case SendAnswer():
                outbound = self._writer.answer(signal, mono, wall_s)
            case SendSealed():
                outbound = self._writer.sealed(signal, mono, wall_s)
            case _:
                outbound = self._writer.candidate(signal, mono, wall_s)
        self._ledger.add(outbound)
        return outbound

    def leave(self, now: Instant) -> Outbound | None:
        """The last event, which replaces all that is unconfirmed; None when nobody knows that we were here."""
        self.leaving = True
        self._ledger.clear()
        if self._listen_only or self.stands_aside:  # or the others would believe that the one who speaks has left
            return None
        outbound = self._writer.leave(now.mono, now.wall_ms // 1000)
        self._ledger.add(outbound)
        return outbound

    def notice(self, now: Instant, *, to_known: bool = False) -> Outbound | None:
        """What a process that speaks in our name is to hear from us, if anything.

        With `to_known` the one that proved itself hears that we are here still.
        """
        body = self._twins.notice() if to_known else self._twins.take_notice()
        if body is None or self.leaving:
            return None
        return self._writer.notice(body, now.mono, now.wall_ms // 1000)

    def takes_up_correction(self, now: Instant) -> bool:
        """Whether somebody announced us in clear and we are to say what we are: a relay may have stripped it."""
        is_asked, self._receiver.is_misspoken_for = self._receiver.is_misspoken_for, False
        return is_asked and self.announces and self._desk is not None and self._desk.should_correct(now.mono)

    def unconfirmed(self, now: Instant) -> list[Outbound]:
        """What no relay has acknowledged and is worth sending still, oldest first."""
        return self._ledger.fresh(now.mono)

    def confirmed(self, outbound: Outbound) -> None:
        self._ledger.confirmed(outbound)

    # ── hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, event: Raw, now: Instant, replay_began_s: int | None) -> InboundSignal | Dropped:
        """Judge one event from whatever relay, as `Receiver.receive` does."""
        return self._receiver.receive(event, now, replay_began_s=replay_began_s)

    @property
    def needs_catch_all(self) -> bool:
        """True while the room may hold a peer whose events can only be found by the room (spec 03 §7.1)."""
        return self._receiver.tags.needs_catch_all

    def tags_accepted_by(self, relay: str) -> bool:
        return relay not in self._tags_refused_by

    def tags_refused_by(self, relay: str) -> None:
        """This relay takes our `p` tags for Nostr keys (spec 03 §23-A)."""
        self._tags_refused_by.add(relay)
