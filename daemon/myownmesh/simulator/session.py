"""One end of a WebRTC connection without packets: descriptions, ICE generations, a channel.

It keeps the rules that the engine depends on: an answer needs our open offer, another certificate needs another
session, only the offerer's session makes the channel. A restart makes a generation beside the one that sends, which
goes on sending until the new one works; an offer with credentials that are not known is one, an own open one is taken
back for it. What a path does is told of the newest generation, and of the one that sends meanwhile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from myownmesh.engine.links import (
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
from myownmesh.protocol.ice_credentials import ice_ufrag
from myownmesh.protocol.signals import Candidate
from myownmesh.transport.session import Order, SessionNotOpen

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.links import LinkEvent
    from myownmesh.simulator.clock import VirtualClock

STEP_S = 0.001
"""What building or applying a description takes."""
FAILED_AFTER_S = 30.0

LOW_WATER_BYTES = 64 * 1024
BACKLOG_BYTES = 256 * 1024
"""Where a session calls back that its buffer has drained."""

_SESSION = re.compile(r"^s=(\d+)$", re.MULTILINE)


class Carrier(Protocol):
    """What a session needs of the wire."""

    clock: VirtualClock

    def generation(self, session: FakeSession) -> Generation:
        """New credentials of a session."""
        ...

    def candidates_of(self, owner: str) -> list[str]:
        """Kinds of the addresses that a device tells."""
        ...

    def run_of(self, owner: str, act: Callable[[], None]) -> None: ...

    def try_connect(self, session: FakeSession) -> None: ...

    def carry(self, session: FakeSession, data: bytes) -> None: ...

    def hang_up(self, session: FakeSession) -> None: ...


@define(eq=False)
class Generation:
    """One set of credentials with its addresses."""

    number: int
    """Its credentials: no other generation of the world has it."""
    session: FakeSession
    address: int
    """How often its device had moved when it was gathered: later its addresses are gone."""
    began: float
    remote: int | None = None
    """The other side's, by the description that is applied."""
    gathered: bool = False
    up: bool = False
    silent_since: float | None = None


@define(eq=False)
class FakeSession:
    """One end of one connection. Implements `transport.session.Session`."""

    wire: Carrier
    owner: str
    number: int
    offerer: bool
    on_event: Callable[[LinkEvent], None]
    on_frame: Callable[[bytes], None]
    fingerprint: str
    disconnected_after_s: float
    """Silence after which its ICE says so."""
    version: int = 0
    has_local_offer: bool = False
    pending: Generation | None = None
    """Of an own offer that nobody has answered."""
    current: Generation | None = None
    """The newest whose remote credentials are known."""
    sending: Generation | None = None
    generations: list[int] = field(factory=list)
    """Numbers of all that it ever had."""
    told: tuple[PathState, PathState | None] = (PathState.NEW, None)
    remote: int | None = None
    remote_fingerprint: str | None = None
    heard_candidates: set[int] = field(factory=set)
    channel: bool = False
    closed: bool = False
    buffered_bytes: int = 0
    backlog_bytes: int = BACKLOG_BYTES
    busy_until: float = 0.0
    newest_arrival_s: float = 0.0
    """When the newest frame that is on its way to this end arrives."""
    on_drained: Callable[[], None] | None = None

    # ── what the switch calls ─────────────────────────────────────────────────────────────────────────────────────────

    def make_offer(self, *, restart: bool = False) -> None:
        assert not self.closed
        self.has_local_offer = True
        if self.pending is None and (self.current is None or restart):
            self.pending = self.wire.generation(self)
        generation = self.pending or self.current
        assert generation is not None
        if self.pending is not None and self.current is not None:
            self.pending.began = self.wire.clock.seconds
            self.report()
        self._describe(SdpType.OFFER, generation)

    def take_offer(self, sdp: str) -> None:
        if not self._fits(SdpType.OFFER, sdp):
            return
        self.has_local_offer = False
        self.pending = None
        ufrag = int(ice_ufrag(sdp) or 0)
        if self.current is None or self.current.remote != ufrag:
            self.current = self.wire.generation(self)
            self.current.remote = ufrag
        self._apply(SdpType.OFFER, sdp)
        self._describe(SdpType.ANSWER, self.current)

    def take_answer(self, sdp: str) -> None:
        error = None if self.has_local_offer else "no offer of ours is open"
        ufrag = int(ice_ufrag(sdp) or 0)
        if self.has_local_offer and self.pending and self.current and self.current.remote == ufrag:
            error = "the peer did not restart ICE"
            self.has_local_offer, self.pending = False, None
            self.report()
        if error is not None:
            self._later(NegotiationFailed(SdpType.ANSWER, local=False, error=error))
            return
        if not self._fits(SdpType.ANSWER, sdp):
            return
        self.has_local_offer = False
        self.current, self.pending = self.pending or self.current, None
        assert self.current is not None
        self.current.began = self.wire.clock.seconds
        self.current.remote = ufrag
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

    def ice_snapshot(self) -> None:
        """There is no ICE here."""

    def turn_path(self) -> None:
        """Nor TURN."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        assert self.buffered_bytes > LOW_WATER_BYTES
        self.on_drained = callback

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.wire.hang_up(self)

    # ── what the wire calls ───────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, event: LinkEvent) -> None:
        if not self.closed:
            self.wire.run_of(self.owner, lambda: None if self.closed else self.on_event(event))

    def came_up(self, generation: Generation, local: str, remote: str) -> None:
        """A path of the newest generation was found, between addresses of these kinds."""
        if not generation.up:
            generation.up, self.sending = True, generation
            self.report()
            self.tell(PairSelected(local, remote))

    def report(self) -> None:
        """Tell what became of the paths, if it is something else than before."""
        newest = self.pending or self.current
        if newest is None or self.closed:
            return
        state, fallback = self._state_of(newest), None
        if not state.is_up and self.sending not in (None, newest):
            assert self.sending is not None
            fallback = self._state_of(self.sending)
        if state is PathState.CHECKING and self.told[0] is PathState.NEW and newest.remote is None:
            return
        if (state, fallback) != self.told:
            self.told = (state, fallback)
            self.tell(PathChanged(state, fallback))
        if state is PathState.CHECKING:
            self.wire.clock.at(newest.began + FAILED_AFTER_S, self.report)

    def _state_of(self, generation: Generation) -> PathState:
        now = self.wire.clock.seconds
        if not generation.up:
            return PathState.FAILED if now >= generation.began + FAILED_AFTER_S else PathState.CHECKING
        since = generation.silent_since
        if since is None or now < since + self.disconnected_after_s:
            return PathState.CONNECTED
        return PathState.FAILED if now >= since + FAILED_AFTER_S else PathState.DISCONNECTED

    def left(self, size: int) -> None:
        """So many bytes are out of the buffer."""
        self.buffered_bytes -= size
        if self.buffered_bytes <= LOW_WATER_BYTES and not self.closed and self.on_drained is not None:
            callback, self.on_drained = self.on_drained, None
            callback()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _later(self, event: LinkEvent, delay: float = STEP_S) -> None:
        self.wire.clock.after(delay, lambda: self.tell(event))

    def _describe(self, what: SdpType, generation: Generation) -> None:
        self.version += 1
        text = (
            f"v=0\r\no=- {self.number} {self.version} IN IP4 0.0.0.0\r\ns={self.number}\n"
            f"a=fingerprint:{self.fingerprint}\r\na=ice-ufrag:{generation.number}\r\na=max-message-size:65535\r\n"
        )
        self._later(LocalDescription(what, text))
        if not generation.gathered:
            generation.gathered = True
            number = generation.number
            for kind in self.wire.candidates_of(self.owner):
                text = f"candidate:{number} 1 udp 1 192.0.2.1 {1024 + number % 60_000} typ {kind}"
                self._later(LocalCandidate(Candidate(text, "", 0)), 2 * STEP_S)
            self._later(GatheringDone(), 3 * STEP_S)

    def _fits(self, kind: SdpType, sdp: str) -> bool:
        fingerprint = first_fingerprint(sdp)
        error = None
        if _SESSION.search(sdp) is None or fingerprint is None:
            error = "unreadable"
        elif self.remote_fingerprint not in (None, fingerprint):
            error = "another certificate"
        if error is not None:
            self._later(NegotiationFailed(kind, local=False, error=error))
        return error is None

    def _apply(self, kind: SdpType, sdp: str) -> None:
        found = _SESSION.search(sdp)
        assert found is not None
        self.remote, self.remote_fingerprint = int(found[1]), first_fingerprint(sdp)
        self._later(RemoteApplied(kind, self.remote_fingerprint))
        self.report()
        self.wire.try_connect(self)
