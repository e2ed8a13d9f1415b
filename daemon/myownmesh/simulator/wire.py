"""WebRTC without packets: which sessions meet, over which paths, and what becomes of what they send."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from attrs import define, field

from myownmesh.engine.links import ChannelClosed, ChannelOpened
from myownmesh.simulator.nat import Nat, meet
from myownmesh.simulator.session import FAILED_AFTER_S, FakeSession, Generation

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from myownmesh.engine.links import LinkEvent
    from myownmesh.simulator.clock import VirtualClock
    from myownmesh.simulator.sources import Sources

CHECKS_S = 0.02
"""ICE checks, DTLS and SCTP, at least."""
CHECKS_WAYS = 8
"""Ways through the network that these take."""
LOST_FOR_S = 0.2
"""What a lost packet costs at least until it comes again: SCTP's shortest wait for an acknowledgement."""
DISCONNECTED_AFTER_S = 4.0
QUIET_S = 2.0
"""The last packet before a path breaks is at most this old: each side probes a quiet path this often."""
FORGOTTEN_AFTER_S = 300.0
NOTICED_S = 0.5
"""How soon a path that works again is seen to."""


@define(eq=False)
class Wire:
    """All sessions of a world, and whether packets pass between two nodes."""

    clock: VirtualClock
    sources: Sources
    sessions: dict[int, FakeSession] = field(factory=dict)
    by_owner: dict[str, dict[int, FakeSession]] = field(factory=dict)
    generations: dict[int, Generation] = field(factory=dict)
    dead: set[int] = field(factory=set)
    """Sessions whose process is gone without a word."""
    frozen: dict[str, list[Callable[[], None]]] = field(factory=dict)
    """Devices whose process stands still, and what it will find when it goes on."""
    cut: set[frozenset[str]] = field(factory=set)
    """Pairs of devices between which no packet passes."""
    unplugged: set[str] = field(factory=set)
    """Devices without a network."""
    moves: dict[str, int] = field(factory=dict)
    """How often each device got other addresses."""
    unreachable: set[int] = field(factory=set)
    """Generations at which nothing arrives any more, while what they send does: a router has forgotten them."""
    held: list[tuple[FakeSession, FakeSession, bytes]] = field(factory=list)
    """Frames that found no path, from and to which session."""
    nats: dict[str, Nat] = field(factory=dict)
    """Behind which router each device is; without an entry behind none."""
    turn: set[str] = field(factory=set)
    """Devices that have a TURN server."""
    latency_s: float = 0.0005
    loss: float = 0.0
    """Share of the packets."""
    bytes_per_s: dict[str, float] = field(factory=dict)
    """Of each session of a device; without an entry nothing waits. What the far end does not get counts as sent."""
    frames: int = 0
    """How many were sent."""
    _numbers: Iterator[int] = field(factory=lambda: count(1))

    def _source(self, session: FakeSession) -> random.Random:
        return self.sources.of(f"wire {session.owner}")

    def open(
        self,
        owner: str,
        *,
        offerer: bool,
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
        disconnected_after_s: float = DISCONNECTED_AFTER_S,
    ) -> FakeSession:
        number = next(self._numbers)
        octets = self.sources.of(f"wire {owner}").randbytes(32).hex(":").upper()
        session = FakeSession(
            self, owner, number, offerer, on_event, on_frame, f"sha-256 {octets}", disconnected_after_s
        )
        self.sessions[number] = session
        self.by_owner.setdefault(owner, {})[number] = session
        return session

    def generation(self, session: FakeSession) -> Generation:
        number = next(self._numbers)
        made = Generation(number, session, self.moves.get(session.owner, 0), self.clock.seconds)
        self.generations[number] = made
        session.generations.append(number)
        return made

    def run_of(self, owner: str, act: Callable[[], None]) -> None:
        """Let the process of a device do something, when it runs."""
        if owner in self.frozen:
            self.frozen[owner].append(act)
        else:
            act()

    # ── who reaches whom ──────────────────────────────────────────────────────────────────────────────────────────────

    def far_end(self, session: FakeSession) -> FakeSession | None:
        """The session at the other end, if each has the other's description."""
        other = self.sessions.get(session.remote) if session.remote is not None else None
        return other if other is not None and other.remote == session.number else None

    def can_meet(self, one: str, other: str) -> bool:
        """Whether two devices find a path when nothing is wrong: by themselves, or over a TURN server of either."""
        return bool(self.turn & {one, other}) or meet(self.nat_of(one), self.nat_of(other))

    def nat_of(self, owner: str) -> Nat:
        return self.nats.get(owner, Nat.NONE)

    def candidates_of(self, owner: str) -> list[str]:
        """Kinds of the addresses that a device tells."""
        return [*self.nat_of(owner).candidates, *(["relay"] if owner in self.turn else [])]

    def _selected(self, one: str, other: str) -> str:
        """The kind of the first one's end of a path between two devices."""
        if meet(self.nat_of(one), self.nat_of(other)):
            return self.nat_of(one).selected
        return "relay" if one in self.turn else self.nat_of(one).selected

    def passes(self, one: Generation, other: Generation) -> bool:
        """Whether packets pass both ways between two sets of addresses."""
        return self._hears(one, other) and self._hears(other, one)

    def _hears(self, one: Generation, other: Generation) -> bool:
        """Whether what is sent from `other` arrives at `one`."""
        here, there = one.session, other.session
        if here.closed or there.closed or one.number in self.unreachable:
            return False
        if self.dead and (here.number in self.dead or there.number in self.dead):
            return False
        mine, theirs = here.owner, there.owner
        if self.moves and (one.address != self.moves.get(mine, 0) or other.address != self.moves.get(theirs, 0)):
            return False
        if self.frozen and (mine in self.frozen or theirs in self.frozen):
            return False
        if self.unplugged and (mine in self.unplugged or theirs in self.unplugged):
            return False
        if self.cut and frozenset((mine, theirs)) in self.cut:
            return False
        return not self.nats or self.can_meet(mine, theirs)

    @property
    def _is_calm(self) -> bool:
        """Nothing has been wrong anywhere: what is up carries."""
        wrong = self.dead or self.frozen or self.cut or self.unplugged or self.moves or self.unreachable or self.held
        return not wrong and not self.nats

    def _carries(self, session: FakeSession) -> bool:
        """Whether what a session sends now gets there."""
        mine = session.sending
        other = self.generations.get(mine.remote) if mine is not None and mine.remote is not None else None
        return mine is not None and other is not None and self._hears(other, mine)

    def try_connect(self, session: FakeSession) -> None:
        self.clock.after(max(CHECKS_S, CHECKS_WAYS * self.latency_s), lambda: self._connect(session))

    def _connect(self, session: FakeSession) -> None:
        other, mine = self.far_end(session), session.current
        theirs = None if other is None else other.current
        if other is None or mine is None or theirs is None or session.closed or other.closed:
            return
        if mine.remote != theirs.number or theirs.remote != mine.number or (mine.up and theirs.up):
            return
        # One known candidate is enough: the checks from that side show the other its own.
        knows = theirs.number in session.heard_candidates or mine.number in other.heard_candidates
        if not knows or not self.passes(mine, theirs) or session.offerer == other.offerer:
            return
        first, second = (session, other) if session.offerer else (other, session)
        is_new = not session.channel
        for end in (first, second):
            end.channel = True
        for end, far in ((first, second), (second, first)):
            assert end.current is not None
            end.came_up(end.current, self._selected(end.owner, far.owner), self._selected(far.owner, end.owner))
            if is_new:
                end.tell(ChannelOpened(end.fingerprint.lower(), far.fingerprint.lower()))
        self._deliver_held()

    def look(self, *owners: str) -> None:
        """Something changed about whom these devices reach: let every ICE that it concerns notice, in its time."""
        concerned: dict[int, FakeSession] = {}
        for owner in owners:
            for session in self.by_owner.get(owner, {}).values():
                concerned[session.number] = session
                other = self.sessions.get(session.remote) if session.remote is not None else None
                if other is not None:
                    concerned[other.number] = other
        for session in concerned.values():
            self._look(session)

    def _look(self, session: FakeSession) -> None:
        if session.closed or session.number in self.dead:
            return
        for generation in {session.sending, session.current} - {None}:
            assert generation is not None
            self._look_at(session, generation)
        if session.current is not None and not session.current.up:
            self.try_connect(session)

    def _end(self, session: FakeSession) -> None:
        """A session is over: the one at the other end may notice, and after a while nothing is asked of it."""
        other = self.sessions.get(session.remote) if session.remote is not None else None
        if other is not None:
            self._look(other)
        self._forget_soon(session)

    def _look_at(self, session: FakeSession, generation: Generation) -> None:
        other = self.generations.get(generation.remote) if generation.remote is not None else None
        if not generation.up or other is None:
            return
        is_silent = not self._hears(generation, other)
        if is_silent and generation.silent_since is None:
            since = generation.silent_since = self.clock.seconds - self._source(session).uniform(0.0, QUIET_S)
            for after_s in (session.disconnected_after_s, FAILED_AFTER_S):
                self.clock.at(since + after_s, session.report)
        elif not is_silent and generation.silent_since is not None:
            generation.silent_since = None
            self.clock.after(self._source(session).uniform(0.0, NOTICED_S), session.report)

    # ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def carry(self, session: FakeSession, data: bytes) -> None:
        self.frames += 1
        departs_at = self.clock.seconds
        if self.bytes_per_s and (rate := self.bytes_per_s.get(session.owner)) is not None:
            session.buffered_bytes += len(data)
            departs_at = session.busy_until = max(departs_at, session.busy_until) + len(data) / rate
            self.clock.at(departs_at, lambda: session.left(len(data)))
        if (other := self.far_end(session)) is None:
            return
        # In order and without loss, as SCTP delivers.
        delay_s = self.latency_s
        while self.loss and self._source(session).random() < self.loss:
            delay_s += max(LOST_FOR_S, 3 * self.latency_s)
        at = other.newest_arrival_s = max(departs_at + delay_s, other.newest_arrival_s)
        self.clock.at(at, partial(self._arrive, session, other, data))

    def _arrive(self, session: FakeSession, other: FakeSession, data: bytes) -> None:
        """What meets no path arrives when there is one, before what was sent later."""
        if other.closed or not other.channel:
            return
        if self._is_calm and not session.closed and session.sending is not None:
            other.on_frame(data)
            return
        if self.dead and (session.number in self.dead or other.number in self.dead):
            return
        if not self._carries(session) or (self.held and any(waiting[1] is other for waiting in self.held)):
            self.held.append((session, other, data))
        else:
            other.on_frame(data)

    def _deliver_held(self) -> None:
        held, self.held = self.held, []
        for session, other, data in held:
            self._arrive(session, other, data)

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def mend(self, pair: frozenset[str]) -> None:
        """Packets pass again between these two; what was sent meanwhile arrives, before anything that is under way."""
        self.cut.discard(pair)
        self._deliver_held()
        self.look(*sorted(pair))  # a set of texts has another order in every process

    def move(self, owner: str) -> None:
        """A device gets other addresses: what it had gathered is of no more use."""
        self.moves[owner] = self.moves.get(owner, 0) + 1
        self.look(owner)

    def unplug(self, owner: str) -> None:
        """A device loses its network."""
        self.unplugged.add(owner)
        self.look(owner)

    def plug_in(self, owner: str) -> None:
        """It has one again."""
        self.unplugged.discard(owner)
        self._deliver_held()
        self.look(owner)

    def forget(self, session: FakeSession) -> None:
        """A router forgets the path of a session: it still sends, and hears nothing over that path."""
        assert session.sending is not None
        self.unreachable.add(session.sending.number)
        self.look(session.owner)

    def freeze(self, owner: str) -> None:
        """The process of a device stands still; the others find out by themselves."""
        self.frozen[owner] = []
        self.look(owner)

    def thaw(self, owner: str) -> None:
        """It goes on, with what has waited for it."""
        waiting = self.frozen.pop(owner)
        for act in waiting:
            act()
        self._deliver_held()
        self.look(owner)

    def hang_up(self, session: FakeSession) -> None:
        other = self.far_end(session)
        session.closed = False  # so that its last packet may pass
        passes = session.channel and self._carries(session)
        session.closed = True
        if other is not None and passes:
            at = max(self.clock.seconds + self.latency_s, other.newest_arrival_s)
            self.clock.at(at, lambda: self.lose(other, "closed by the peer"))
        self._end(session)

    def kill(self, session: FakeSession) -> None:
        """The process of this end is gone; the other end finds out by itself."""
        self.dead.add(session.number)
        session.closed = True
        self._end(session)

    def _forget_soon(self, session: FakeSession) -> None:
        """Of a session that is over nothing is asked after a while: the history of a run is bounded."""

        def forget() -> None:
            self.sessions.pop(session.number, None)
            self.by_owner[session.owner].pop(session.number, None)
            self.dead.discard(session.number)
            for number in session.generations:
                self.generations.pop(number, None)

        self.clock.after(FORGOTTEN_AFTER_S, forget)

    def lose(self, session: FakeSession, reason: str) -> None:
        """The channel of this end is over; what was on its way to it is lost."""
        if not session.closed:
            session.channel = False
            session.tell(ChannelClosed(reason))
