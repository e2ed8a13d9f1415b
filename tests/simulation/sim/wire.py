"""WebRTC without packets: sessions that connect when their descriptions and candidates fit together.

It keeps the rules that the engine depends on: an answer needs our open offer, another certificate needs another
session, only the offerer's session makes the channel, and a dead far end shows first as `Disconnected`, then `Failed`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import define, field

from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    PathState,
    RemoteApplied,
    SdpType,
)
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.signals import Candidate
from myownmesh.transport.session import Order, SessionNotOpen

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from myownmesh.engine.links import (
        LinkEvent,
    )
    from simulation.sim.clock import VirtualClock

STEP_S = 0.001
"""What building or applying a description takes."""
CHECKS_S = 0.02
"""ICE checks, DTLS and SCTP."""
DISCONNECTED_AFTER_S = 5.0
FAILED_AFTER_S = 30.0

LOW_WATER_BYTES = 64 * 1024
BACKLOG_BYTES = 256 * 1024
"""Where a session calls back that its buffer has drained."""

_SESSION = re.compile(r"^s=(\d+)$", re.MULTILINE)


@define(eq=False)
class FakeSession:
    """One end of one connection. Implements `transport.session.Session`."""

    wire: Wire
    owner: str
    number: int
    offerer: bool
    on_event: Callable[[LinkEvent], None]
    on_frame: Callable[[bytes], None]
    fingerprint: str
    version: int = 0
    has_local_offer: bool = False
    gathered: bool = False
    remote: int | None = None
    remote_fingerprint: str | None = None
    heard_candidates: set[int] = field(factory=set)
    channel: bool = False
    closed: bool = False
    buffered_bytes: int = 0
    backlog_bytes: int = BACKLOG_BYTES
    busy_until: float = 0.0
    on_drained: Callable[[], None] | None = None

    # ── what the switch calls ─────────────────────────────────────────────────────────────────────────────────────────

    def make_offer(self, *, restart: bool = False) -> None:
        assert not self.closed
        self.has_local_offer = True
        self._describe(SdpType.OFFER)

    def take_offer(self, sdp: str) -> None:
        self.has_local_offer = False
        if self._apply(SdpType.OFFER, sdp):
            self._describe(SdpType.ANSWER)

    def take_answer(self, sdp: str) -> None:
        if not self.has_local_offer:
            self._later(NegotiationFailed(SdpType.ANSWER, local=False, error="no offer of ours is open"))
            return
        self.has_local_offer = False
        self._apply(SdpType.ANSWER, sdp)

    def add_candidate(self, candidate: Candidate) -> None:
        self.heard_candidates.add(int(candidate.candidate.split(":")[1].split()[0]))
        self.wire.try_connect(self)

    def send(self, data: bytes, _order: Order = Order.IN_TURN) -> None:
        if not self.channel:
            raise SessionNotOpen
        assert 0 < len(data) <= 65_535
        self.wire.carry(self, data)

    def admit(self) -> None:
        assert self.channel

    def when_drained(self, callback: Callable[[], None]) -> None:
        assert self.buffered_bytes > LOW_WATER_BYTES
        self.on_drained = callback

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.wire.hang_up(self)

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _later(self, event: LinkEvent, delay: float = STEP_S) -> None:
        self.wire.clock.after(delay, lambda: self.tell(event))

    def tell(self, event: LinkEvent) -> None:
        if not self.closed:
            self.on_event(event)

    def left(self, size: int) -> None:
        """So many bytes are out of the buffer."""
        self.buffered_bytes -= size
        if self.buffered_bytes <= LOW_WATER_BYTES and not self.closed and self.on_drained is not None:
            callback, self.on_drained = self.on_drained, None
            callback()

    def _describe(self, kind: SdpType) -> None:
        self.version += 1
        self._later(LocalDescription(kind, self.wire.sdp(self)))
        if not self.gathered:
            self.gathered = True
            candidate = Candidate(f"candidate:{self.number} 1 udp 1 192.0.2.1 {self.number} typ host", "", 0)
            self._later(LocalCandidate(candidate), 2 * STEP_S)
            self._later(GatheringDone(), 3 * STEP_S)

    def _apply(self, kind: SdpType, sdp: str) -> bool:
        fingerprint = first_fingerprint(sdp)
        found = _SESSION.search(sdp)
        if found is None or fingerprint is None:
            self._later(NegotiationFailed(kind, local=False, error="unreadable"))
            return False
        if self.remote_fingerprint not in (None, fingerprint):
            self._later(NegotiationFailed(kind, local=False, error="another certificate"))
            return False
        self.remote, self.remote_fingerprint = int(found[1]), fingerprint
        self._later(RemoteApplied(kind, fingerprint))
        self.wire.try_connect(self)
        return True


@define(eq=False)
class Wire:
    """All sessions of a world, and whether packets pass between two nodes."""

    clock: VirtualClock
    rng: random.Random
    sessions: dict[int, FakeSession] = field(factory=dict)
    dead: set[int] = field(factory=set)
    """Sessions whose process is gone without a word."""
    cut: set[frozenset[str]] = field(factory=set)
    """Pairs of devices between which no packet passes."""
    held: list[tuple[FakeSession, FakeSession, bytes]] = field(factory=list)
    """Frames between those, from and to which session."""
    latency_s: float = 0.0005
    bytes_per_s: dict[str, float] = field(factory=dict)
    """Of each session of a device; without an entry nothing waits. What the far end does not get counts as sent."""
    arrivals: dict[int, float] = field(factory=dict)

    def open(
        self,
        owner: str,
        *,
        offerer: bool,
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
    ) -> FakeSession:
        number = len(self.sessions) + 1
        octets = self.rng.randbytes(32).hex(":").upper()
        session = FakeSession(self, owner, number, offerer, on_event, on_frame, f"sha-256 {octets}")
        self.sessions[number] = session
        return session

    def sdp(self, session: FakeSession) -> str:
        return (
            f"v=0\r\no=- {session.number} {session.version} IN IP4 0.0.0.0\r\ns={session.number}\n"
            f"a=fingerprint:{session.fingerprint}\r\na=max-message-size:65535\r\n"
        )

    def far_end(self, session: FakeSession) -> FakeSession | None:
        """The session at the other end, if each has the other's description."""
        other = self.sessions.get(session.remote) if session.remote is not None else None
        return other if other is not None and other.remote == session.number else None

    def passes(self, one: FakeSession, other: FakeSession) -> bool:
        if {one.number, other.number} & self.dead:
            return False
        return frozenset({one.owner, other.owner}) not in self.cut

    def try_connect(self, session: FakeSession) -> None:
        self.clock.after(CHECKS_S, lambda: self._connect(session))

    def _connect(self, session: FakeSession) -> None:
        other = self.far_end(session)
        if other is None or session.closed or other.closed or session.channel:
            return
        # One known candidate is enough: the checks from that side show the other its own.
        knows = other.number in session.heard_candidates or session.number in other.heard_candidates
        if not knows or not self.passes(session, other) or session.offerer == other.offerer:
            return
        first, second = (session, other) if session.offerer else (other, session)
        for end in (first, second):
            end.channel = True
        for end, far in ((first, second), (second, first)):
            end.tell(PathChanged(PathState.CONNECTED))
            end.tell(PairSelected("host", "host"))
            end.tell(ChannelOpened(end.fingerprint.lower(), far.fingerprint.lower()))

    def carry(self, session: FakeSession, data: bytes) -> None:
        departs_at = self.clock.seconds
        if (rate := self.bytes_per_s.get(session.owner)) is not None:
            session.buffered_bytes += len(data)
            departs_at = session.busy_until = max(departs_at, session.busy_until) + len(data) / rate
            self.clock.at(departs_at, lambda: session.left(len(data)))
        other = self.far_end(session)
        if other is not None:
            self._travel(session, other, data, departs_at)

    def _travel(self, session: FakeSession, other: FakeSession, data: bytes, departs_at: float) -> None:
        """In order and without loss, as SCTP delivers."""
        at = max(departs_at + self.latency_s, self.arrivals.get(other.number, 0.0))
        self.arrivals[other.number] = at
        self.clock.at(at, lambda: self._arrive(session, other, data))

    def _arrive(self, session: FakeSession, other: FakeSession, data: bytes) -> None:
        """What meets a cut arrives when it heals."""
        if frozenset({session.owner, other.owner}) in self.cut:
            self.held.append((session, other, data))
        elif not other.closed and other.channel and self.passes(session, other):
            other.on_frame(data)

    def mend(self, pair: frozenset[str]) -> None:
        """Packets pass again between these two; what was sent meanwhile arrives, before anything that is under way."""
        self.cut.discard(pair)
        held, self.held = self.held, []
        for session, other, data in held:
            self._arrive(session, other, data)

    def hang_up(self, session: FakeSession) -> None:
        other = self.far_end(session)
        if other is not None and session.channel and self.passes(session, other):
            at = max(self.clock.seconds + self.latency_s, self.arrivals.get(other.number, 0.0))
            self.clock.at(at, lambda: self.lose(other, "closed by the peer"))

    def kill(self, session: FakeSession) -> None:
        """The process of this end is gone; the other end finds out by itself."""
        self.dead.add(session.number)
        session.closed = True
        if (other := self.far_end(session)) is not None:
            self.watch(other)

    def watch(self, session: FakeSession) -> None:
        """Let the ICE of this end notice that nothing comes any more."""

        def look(state: PathState) -> None:
            other = self.far_end(session)
            if other is not None and not self.passes(session, other) and session.channel:
                session.tell(PathChanged(state))

        self.clock.after(DISCONNECTED_AFTER_S, lambda: look(PathState.DISCONNECTED))
        self.clock.after(FAILED_AFTER_S, lambda: look(PathState.FAILED))

    def lose(self, session: FakeSession, reason: str) -> None:
        """The channel of this end is over; what was on its way to it is lost."""
        if not session.closed:
            session.channel = False
            session.tell(ChannelClosed(reason))
