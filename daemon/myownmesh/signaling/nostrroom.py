"""One network's presence on all of its relays, without sockets: what to say, on which link, and what was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.protocol.signals import Announce, Leave, StandAside
from myownmesh.signaling.clockoffset import NEGLIGIBLE_MS
from myownmesh.signaling.conversation import Conversation
from myownmesh.signaling.membership import Membership
from myownmesh.signaling.pacing import announce_wait_ms
from myownmesh.signaling.timepiece import Timepiece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import Carried, InboundSignal
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.gate import ContentGate
    from myownmesh.signaling.outbound import Outbound


_RESTAMP_GAP_S = 10.0
"""Whoever makes us change our mind about the time must not make us announce at their pace."""


class NostrRoom:
    """Owns the membership and the links that share it. Every method is plain and synchronous; `now` is handed in."""

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
        timepiece: Timepiece | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        desk: Desk | None = None,
    ) -> None:
        self._member = Membership(
            device_id=device_id,
            network_id=network_id,
            app_id=app_id,
            listen_only=listen_only,
            rng=rng,
            gate=gate,
            timepiece=timepiece or Timepiece(lambda: now, lambda: now.mono),
            sign=sign,
            now=now,
            desk=desk,
        )
        self._announced_by = _epoch_ms(now)
        """The clock of the last announce: when its wall clock read zero, by the monotonic one."""
        self._restamped_at: float | None = None
        self._links: list[Conversation] = []
        self._ticks = 0
        self._quiet = False
        self._last_tick = now.mono
        self._next_tick = now.mono + announce_wait_ms(device_id, 0) / 1000

    @property
    def handle(self) -> str:
        """The room's name on the relays (spec 03 §2)."""
        return self._member.handle

    # ── the engine's side ─────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, signal: Carried, now: Instant) -> None:
        """Queue a signal on every link. After a leave nothing is queued any more (spec 04 §1.2)."""
        if self._member.leaving:
            return
        match signal:
            case Announce():
                self._announce(now)
            case StandAside(silent):
                self._member.stands_aside = silent
            case Leave():
                for link in self._links:
                    link.discard_queue()
                self._send(self._member.leave(now))
            case _:
                self._send(self._member.write(signal, now))

    def next_tick(self) -> float | None:
        """When the periodic announce is due; None when there is none."""
        return self._next_tick if self._member.announces or self._keeps_telling else None

    def handle_tick(self, now: Instant) -> None:
        if now.mono < self._next_tick or self.next_tick() is None:
            return
        self._ticks += 1
        self._last_tick = now.mono
        self._next_tick = now.mono + self._wait_s()
        if self._keeps_telling:
            self._send(self._member.notice(now, to_known=True))
        else:
            self._announce(now)

    def set_pace(self, mono: float, *, quiet: bool) -> None:
        """Announce us seldom, or as often as v0.3.8 does; what is late by the new pace is due now."""
        self._quiet = quiet
        self._next_tick = max(mono, self._last_tick + self._wait_s())

    def _wait_s(self) -> float:
        return announce_wait_ms(self._member.device_id, self._ticks, quiet=self._quiet) / 1000

    @property
    def _keeps_telling(self) -> bool:
        """While we stand aside, whoever speaks in our name hears that we are here, in place of our announces."""
        return self._member.stands_aside and not self._member.leaving

    @property
    def leaving(self) -> bool:
        return self._member.leaving

    # ── the relays' side ──────────────────────────────────────────────────────────────────────────────────────────────

    def open_link(self, relay: str, now: Instant) -> Conversation:
        if not self._links:
            self._announced_by = _epoch_ms(now)  # by the announce of this link
        link = Conversation(self._member, relay, now)
        link.open(now)
        self._links.append(link)
        return link

    def close_link(self, link: Conversation) -> None:
        self._links.remove(link)

    @property
    def links(self) -> Iterator[Conversation]:
        return iter(self._links)

    def receive(self, link: Conversation, text: str, now: Instant) -> InboundSignal | None:
        """Take one text frame of a link; return the signal that it carried for the engine, if any."""
        demanded = self._member.needs_catch_all
        signal = link.receive(text, now)
        self._send(self._member.notice(now))
        if self._member.takes_up_correction(now):
            self._announce(now)
        if self._member.needs_catch_all != demanded:
            # What one link heard decides what all of them subscribe to.
            for each in self._links:
                each.fit_catch_all(now)
                # Even what is not done now is done by a timer.
                each.on_output()
        self._restamp(now)
        return signal

    def _restamp(self, now: Instant) -> None:
        """Announce anew when the last announce carries a time that is known to be wrong by now."""
        if not self._member.announces or abs(_epoch_ms(now) - self._announced_by) < NEGLIGIBLE_MS:
            return
        if self._restamped_at is None or now.mono - self._restamped_at >= _RESTAMP_GAP_S:
            self._restamped_at = now.mono
            self._announce(now)

    def _announce(self, now: Instant) -> None:
        self._announced_by = _epoch_ms(now)
        if self._links:  # otherwise nobody would hear it, and every link announces when it opens
            self._send(self._member.announce({link.relay for link in self._links}, now))

    def _send(self, outbound: Outbound | None) -> None:
        if outbound is not None:
            for link in self._links:
                link.send(outbound)


def _epoch_ms(now: Instant) -> int:
    return now.wall_ms - round(now.mono * 1000)
