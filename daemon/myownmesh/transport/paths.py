"""The ICE generations of one session: which one is offered, which one sends, and whether the path lives.

At most three at a time: `_pending` belongs to an own offer that nobody has answered, `_current` is the newest whose
remote credentials are known, `_sending` the newest that found a path. Data is received on all of them, so a restart
is a switch and nothing is lost but what was in flight (spec 04 §11.2).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from myownmesh.engine.ice_snapshot import snapshot
from myownmesh.engine.links import (
    CandidateRejected,
    GatheringDone,
    LocalCandidate,
    PairSelected,
    PathChanged,
    PathState,
)
from myownmesh.protocol.signals import Candidate
from myownmesh.transport.addresses import HostAddresses
from myownmesh.transport.candidates import MAX_CANDIDATE_CHARS, parse_candidate
from myownmesh.transport.ice import Generation
from myownmesh.transport.interfaces import host_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mesh_common.views import TurnPath
    from myownmesh.engine.ice_snapshot import IceSnapshot
    from myownmesh.engine.links import LinkEvent
    from myownmesh.transport.resolving import Resolver
    from myownmesh.transport.servers import StunServer, TurnServer

OLD_GENERATION_SECONDS = 3.0
"""A replaced generation still receives this long: packets of the old path are under way."""
PROBE_AFTER_SECONDS = 2.0
"""Silence after which the path is probed; v0.3.8 does it every 2 s."""
PROBE_EVERY_SECONDS = 0.5
DISCONNECTED_SECONDS = 4.0
"""After some unanswered probes, so that a peer that stands still is restarted, and explained, within 6 s."""
MAX_DISCONNECTED_SECONDS = 10.0
PATIENCE_ROUND_TRIPS = 3
"""A path that answers probes late is given so much more time than `PROBE_AFTER_SECONDS`."""
FAILED_SECONDS = 30.0


class PathOwner(Protocol):
    """Who is told."""

    def path_event(self, event: LinkEvent) -> None:
        """A candidate, the end of gathering, a path state or a selected pair."""
        ...

    def path_datagram(self, data: bytes) -> None:
        """A DTLS datagram of any generation."""
        ...

    def path_ready(self) -> None:
        """A generation found a path: the first one, or another than before."""
        ...


class Paths:
    """All generations of a session."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owner: PathOwner,
        *,
        controlling: bool,
        stun_servers: tuple[StunServer, ...],
        turn_servers: tuple[TurnServer, ...],
        resolver: Resolver,
        relay_sources: Callable[[], Collection[str]],
    ) -> None:
        self._loop = loop
        self._owner = owner
        self.controlling = controlling
        """The ICE role: who made the first offer of this transport. Fixed once a description is applied."""
        self._stun_servers = stun_servers
        self._turn_servers = turn_servers
        self._resolver = resolver
        self._relay_sources = relay_sources
        self._pending: Generation | None = None
        self._current: Generation | None = None
        self._sending: Generation | None = None
        self._living: list[Generation] = []
        self._addresses = HostAddresses(())
        """Those of the newest generation."""
        self._state = PathState.NEW
        self._fallback: PathState | None = None
        self._kinds: tuple[str, str] | None = None
        self._closed = False
        self._gathering: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    # Negotiation.

    def for_offer(self, *, restart: bool) -> Generation:
        """The generation that an own offer describes. A repeated restart offer keeps its credentials, unless this
        machine has other addresses by now."""
        if self._pending is not None and self._current is not None and restart and self._has_moved():
            self._drop(self._pending)
            self._pending = None
        if self._pending is None and (self._current is None or restart):
            self._pending = self._new_generation()
        if self._pending is not None and self._current is not None:
            self._pending.created_at = self._loop.time()
            self._report_state(PathState.CHECKING)
        generation = self._pending or self._current
        assert generation is not None
        return generation

    @property
    def is_restarting(self) -> bool:
        """Whether an own restart offer is open."""
        return self._pending is not None and self._current is not None

    def take_back_offer(self) -> None:
        """The own open offer is void (spec 04 §5.9: roll-back is local)."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self._drop(pending)
        if self._current is None:
            self.controlling = False  # the peer's offer is the first one of this transport now
        else:
            self._report_state(self.state_of(self._current, self._loop.time()))

    def for_answer(self, ufrag: str, pwd: str) -> Generation:
        """The generation that answers an offer: a new one, if the offer has credentials that we do not know."""
        if self._current is None or self._current.remote_username != ufrag:
            self._adopt(self._new_generation())
        assert self._current is not None
        self._current.set_remote(ufrag, pwd)
        return self._current

    def answered(self, ufrag: str, pwd: str) -> None:
        """The own offer is answered with these credentials."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._adopt(pending)
        if self._current is not None:
            self._current.set_remote(ufrag, pwd)

    def start(self) -> None:
        """Begin the checks of the newest generation, unless they have begun."""
        generation = self._current
        if generation is not None and not generation.is_started:
            generation.created_at = self._loop.time()
            self._report_state(PathState.CHECKING)
            generation.start_checks()

    def add_candidates(self, lines: tuple[str, ...]) -> None:
        """Add remote candidates to the newest generation; unusable ones are ignored."""
        generation = self._current
        if generation is None:
            return
        for line in lines:
            candidate = parse_candidate(line)
            if candidate is not None:
                generation.add_remote(candidate)
            else:
                self._owner.path_event(CandidateRejected(line[:MAX_CANDIDATE_CHARS], "malformed, or of no use here"))
        self._report_pair()

    def announce(self, generation: Generation) -> None:
        """Report its candidates, once, and look for more at the servers."""
        if generation.announced:
            return
        generation.announced = True
        for line in generation.candidate_lines():
            self._announce_line(line)
        if self._stun_servers or self._turn_servers:
            _keep(asyncio.ensure_future(self._gather_late(generation), loop=self._loop), self._gathering)
        else:
            self._gathered()

    async def _gather_late(self, generation: Generation) -> None:
        await generation.gather_servers(self._stun_servers, self._turn_servers, self._resolver, self._announce_line)
        self._gathered()

    def _gathered(self) -> None:
        self._owner.path_event(GatheringDone(tuple(map(str, self._addresses.left_out))))

    def _announce_line(self, line: str) -> None:
        self._owner.path_event(LocalCandidate(Candidate(f"candidate:{line}", sdp_mid="", sdp_mline_index=0)))

    # Traffic and life.

    def send(self, data: bytes) -> None:
        """Send a datagram on the newest generation that has a path; without one it is lost."""
        if self._sending is not None:
            self._sending.send_now(data)

    def send_burst(self, datagrams: list[bytes]) -> None:
        """Send several datagrams in their order."""
        if self._sending is not None:
            self._sending.send_burst(datagrams)

    def forgive_silence(self, now: float) -> None:
        """The process did not run for a while; silence up to now says nothing about the path."""
        for generation in self._living:
            generation.last_received = max(generation.last_received, now)

    def stand_still(self, *, still: bool) -> None:
        """Answer nobody meanwhile: whoever would hear what they say does not run."""
        for generation in self._living:
            generation.stand_still(still=still)

    def tick(self, now: float) -> float:
        """Watch the path (spec 04 §10.6): probe after 2 s of silence, Disconnected after 5, Failed after 30.

        Returns the seconds for which nothing can come of another look; 0 unless the path is up and heard of lately.
        """
        newest = self._pending or self._current
        if newest is None or self._closed:
            return 0.0
        if newest.is_up or self._state is not PathState.NEW:
            self._report_state(self.state_of(newest, now))
        watched = newest if newest.is_up else self._sending
        if watched is None:
            return 0.0
        self._report_pair()
        watched.note_lag()
        # The answerer waits longer, so that one request and its answer keep both sides informed.
        patience = PROBE_AFTER_SECONDS if self.controlling else 1.5 * PROBE_AFTER_SECONDS
        silence = now - watched.last_received
        if silence < patience:
            return patience - silence if watched is newest else 0.0
        if now - watched.last_probe >= PROBE_EVERY_SECONDS:
            watched.probe(now)
        return 0.0

    def ice_snapshot(self) -> IceSnapshot:
        """How the newest generation stands (spec 04 §9.4)."""
        newest = self._pending or self._current
        return snapshot((), (), ()) if newest is None else newest.ice_snapshot()

    def turn_path(self) -> TurnPath | None:
        """What lends the address by which frames go, if they go over TURN."""
        return None if self._sending is None else self._sending.turn_path

    def close(self) -> list[asyncio.Task[None]]:
        """Close all of it in the background; returns what is closing. Nothing is reported any more."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        for task in self._gathering:
            task.cancel()
        for generation in list(self._living):
            self._drop(generation)
        self._pending = self._current = self._sending = None
        return [*self._closing, *self._gathering]

    @staticmethod
    def state_of(generation: Generation, now: float) -> PathState:
        """What a generation's silence up to `now` means."""
        if not generation.is_up:
            return PathState.FAILED if now - generation.created_at >= FAILED_SECONDS else PathState.CHECKING
        silence = now - generation.last_received
        if silence >= FAILED_SECONDS:
            return PathState.FAILED
        late = min(PROBE_AFTER_SECONDS + PATIENCE_ROUND_TRIPS * generation.lag, MAX_DISCONNECTED_SECONDS)
        return PathState.DISCONNECTED if silence >= max(DISCONNECTED_SECONDS, late) else PathState.CONNECTED

    def _report_state(self, state: PathState) -> None:
        """Tell the state of the newest generation, and of the one that sends while that has no path."""
        older = self._sending
        is_older = older is not None and not state.is_up and older is not (self._pending or self._current)
        fallback = self.state_of(older, self._loop.time()) if older is not None and is_older else None
        if state is not self._state or fallback is not self._fallback:
            self._state, self._fallback = state, fallback
            if not state.is_up and (fallback is None or not fallback.is_up):
                self._kinds = None
            self._owner.path_event(PathChanged(state, fallback))

    def _report_pair(self) -> None:
        kinds = self._current.selected_kinds if self._current is not None else None
        if kinds is not None and self._current is self._sending and self._state.is_up and kinds != self._kinds:
            self._kinds = kinds
            self._owner.path_event(PairSelected(*kinds))

    def _new_generation(self) -> Generation:
        generation = Generation(
            self._loop, controlling=self.controlling, on_data=self._owner.path_datagram, on_up=self._came_up
        )
        self._addresses = host_addresses(self._relay_sources())
        generation.gather_host(self._addresses)
        self._living.append(generation)
        return generation

    def _has_moved(self) -> bool:
        """Whether the newest generation was gathered from other addresses than there are now."""
        now = host_addresses(self._relay_sources())
        return (now.offered, now.loopback) != (self._addresses.offered, self._addresses.loopback)

    def _adopt(self, generation: Generation) -> None:
        """Make it the newest one; an older one that never found a path is of no more use."""
        old, self._current = self._current, generation
        if old is not None and old is not self._sending:
            self._drop(old)

    def _came_up(self, generation: Generation) -> None:
        if self._closed or generation is not self._current:
            return
        old, self._sending = self._sending, generation
        self._report_state(PathState.CONNECTED)
        self._report_pair()
        if old is generation:
            return
        self._owner.path_ready()
        if old is not None:
            self._later(OLD_GENERATION_SECONDS, old)

    def _later(self, seconds: float, generation: Generation) -> None:
        def fire() -> None:
            self._timers.discard(handle)
            self._drop(generation)

        handle = self._loop.call_later(seconds, fire)
        self._timers.add(handle)

    def _drop(self, generation: Generation) -> None:
        if generation in self._living:
            self._living.remove(generation)
            _keep(generation.close_soon(), self._closing)


def _keep(task: asyncio.Task[None], where: set[asyncio.Task[None]]) -> None:
    where.add(task)
    task.add_done_callback(where.discard)
